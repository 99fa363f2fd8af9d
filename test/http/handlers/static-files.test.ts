/** staticFiles and sendFile over real sockets, and a hostile tree of names and links. */

import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { createGzip, gunzipSync } from 'node:zlib';
import { type Test, test } from 'tap';
import type { HttpRequest, ResponseWriter } from '../../../http/handler.ts';
import { answerFile } from '../../../http/handlers/file-answer.ts';
import { inject } from '../../../http/handlers/inject.ts';
import { OpenFile } from '../../../http/handlers/open-files.ts';
import {
  type SendFileOptions,
  type StaticFilesOptions,
  sendFile,
  staticFiles,
} from '../../../http/handlers/static-files.ts';
import { Router } from '../../../http/router/router.ts';
import { serve } from '../../../http/serve.ts';
import { abi, libc } from '../../../simplenet/index.ts';
import { openDescriptors } from '../../support/open-descriptors.ts';
import { until } from '../../support/waiting.ts';

const PAST = new Date('2024-01-02T03:04:05Z');
const LAST_MODIFIED = 'Tue, 02 Jan 2024 03:04:05 GMT';
const large = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7 + (i >> 8)) & 0xff));

interface Site {
  readonly folder: string;
  readonly url: string;
  ask(path: string, init?: RequestInit): Promise<Response>;
  /** The raw answer to a raw target, which fetch would change. */
  raw(target: string, fields?: string): Promise<string>;
}

function folderOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function put(folder: string, name: string, content: string | Uint8Array, time: Date = PAST): void {
  writeFileSync(join(folder, name), content);
  utimesSync(join(folder, name), time, time);
}

function site(t: Test, options: StaticFilesOptions = {}, fill: (folder: string) => void = () => {}): Site {
  const folder = folderOf(t);
  put(folder, 'hello.txt', 'hello, world');
  put(folder, 'large.bin', large);
  put(folder, 'empty.css', '');
  mkdirSync(join(folder, 'docs'));
  put(folder, 'docs/index.html', '<p>docs</p>');
  mkdirSync(join(folder, 'bare'));
  fill(folder);
  const files = staticFiles(folder, { revalidateMs: 0, ...options });
  const server = serve(files, { onError: (error) => t.comment(String(error)) });
  t.teardown(async () => {
    await server.close({ idleGraceMs: 1 });
    files.close();
  });
  const raw = async (target: string, fields = '') => {
    const socket = connect(server.port as number, '127.0.0.1');
    socket.write(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${fields}\r\n`);
    return (await buffer(socket)).toString('latin1');
  };
  return {
    folder,
    url: server.url,
    ask: (path, init) => fetch(server.url + path, { redirect: 'manual', ...init }),
    raw,
  };
}

const fieldsOf = (response: Response, ...names: string[]) => names.map((name) => response.headers.get(name));

test('onDone counts the bytes of a file that the kernel sends', async (t) => {
  const folder = folderOf(t);
  put(folder, 'large.bin', large);
  const files = staticFiles(folder);
  const outcomes: number[] = [];
  const server = serve(files, { onDone: ({ bytesOut }) => void outcomes.push(bytesOut) });
  t.teardown(async () => {
    await server.close({ idleGraceMs: 1 });
    files.close();
  });
  const answer = await fetch(`${server.url}/large.bin`);
  t.equal((await answer.arrayBuffer()).byteLength, large.length);
  await until(() => outcomes.length > 0);
  t.ok((outcomes[0] as number) > large.length && (outcomes[0] as number) < large.length + 1_000, `${outcomes[0]}`);
});

test('a file, small and large, whole and its head alone', async (t) => {
  const { ask } = site(t);
  for (const [name, content, type] of [
    ['hello.txt', Buffer.from('hello, world'), 'text/plain; charset=utf-8'],
    ['large.bin', large, 'application/octet-stream'],
    ['empty.css', Buffer.alloc(0), 'text/css; charset=utf-8'],
  ] as const) {
    const response = await ask(`/${name}`);
    t.equal(response.status, 200);
    t.same(fieldsOf(response, 'content-type', 'content-length', 'last-modified', 'accept-ranges', 'cache-control'), [
      type,
      String(content.length),
      LAST_MODIFIED,
      'bytes',
      'no-cache',
    ]);
    t.match(response.headers.get('etag'), /^"[\w-]+"$/);
    t.ok(Buffer.from(await response.arrayBuffer()).equals(content));
    const head = await ask(`/${name}`, { method: 'HEAD' });
    t.same([head.status, await head.text()], [200, '']);
    for (const field of ['content-length', 'etag', 'content-type'])
      t.equal(head.headers.get(field), response.headers.get(field));
  }
});

test('conditions', async (t) => {
  const { ask } = site(t);
  const etag = (await ask('/large.bin')).headers.get('etag') as string;
  const statusOf = async (headers: Record<string, string>, method = 'GET') => {
    const response = await ask('/large.bin', { headers, method });
    await response.arrayBuffer();
    return response.status;
  };
  t.equal(await statusOf({ 'If-None-Match': etag }), 304);
  t.equal(await statusOf({ 'If-None-Match': etag }, 'HEAD'), 304);
  t.equal(await statusOf({ 'If-None-Match': '"x"' }), 200);
  t.equal(await statusOf({ 'If-Modified-Since': LAST_MODIFIED }), 304);
  t.equal(await statusOf({ 'If-Match': '"x"' }), 412);
  t.equal(await statusOf({ 'If-Match': etag }), 200);
  t.equal(await statusOf({ 'If-Range': etag, Range: 'bytes=0-1' }), 206);
  t.equal(await statusOf({ 'If-Range': LAST_MODIFIED, Range: 'bytes=0-1' }), 206);
  t.equal(await statusOf({ 'If-Range': '"x"', Range: 'bytes=0-1' }), 200);
  t.equal(await statusOf({ Range: 'bytes=0-1' }, 'HEAD'), 200);
  const unchanged = await ask('/hello.txt', { headers: { 'If-None-Match': '*' } });
  t.same(fieldsOf(unchanged, 'etag', 'cache-control').includes(null), false);
});

test('ranges: one, several, refused and ignored', async (t) => {
  const { ask } = site(t, { maxRanges: 2 });
  for (const [name, content] of [
    ['large.bin', large],
    ['hello.txt', Buffer.from('hello, world')],
  ] as const) {
    const size = content.length;
    const one = await ask(`/${name}`, { headers: { Range: 'bytes=2-5' } });
    t.same([one.status, ...fieldsOf(one, 'content-range', 'content-length')], [206, `bytes 2-5/${size}`, '4']);
    t.ok(Buffer.from(await one.arrayBuffer()).equals(content.subarray(2, 6)));
    const two = await ask(`/${name}`, { headers: { Range: 'bytes=-3,0-1' } });
    t.equal(two.status, 206);
    const boundary = /^multipart\/byteranges; boundary=([\w-]+)$/.exec(two.headers.get('content-type') ?? '')?.[1];
    const type = name === 'hello.txt' ? 'text/plain; charset=utf-8' : 'application/octet-stream';
    const part = (start: number, end: number) =>
      `--${boundary}\r\nContent-Type: ${type}\r\nContent-Range: bytes ${start}-${end - 1}/${size}\r\n\r\n${content.toString('latin1', start, end)}\r\n`;
    const body = Buffer.from(await two.arrayBuffer());
    t.equal(body.toString('latin1'), `${part(size - 3, size)}${part(0, 2)}--${boundary}--\r\n`);
    t.equal(two.headers.get('content-length'), String(body.length));
    for (const range of [`bytes=${size}-`, 'bytes=0-1,1-2', 'bytes=0-0,2-2,4-4']) {
      const refused = await ask(`/${name}`, { headers: { Range: range } });
      t.same([refused.status, ...fieldsOf(refused, 'content-range')], [416, `bytes */${size}`], range);
      await refused.text();
    }
    const ignored = await ask(`/${name}`, { headers: { Range: 'lines=0-1' } });
    t.equal(ignored.status, 200);
    await ignored.arrayBuffer();
  }
});

test('folders: index, the slash, and what is missing', async (t) => {
  const { ask } = site(t, {}, (folder) => mkdirSync(join(folder, 'odd/index.html'), { recursive: true }));
  t.equal(await (await ask('/docs/')).text(), '<p>docs</p>');
  const moved = await ask('/docs?q=1');
  t.same([moved.status, moved.headers.get('location')], [301, '/docs/?q=1']);
  t.same([(await ask('/bare')).status, (await ask('/bare')).headers.get('location')], [301, '/bare/']);
  for (const path of ['/bare/', '/none', '/hello.txt/', '/docs/index.html/x', '/odd/', '/']) {
    t.equal((await ask(path)).status, 404, path);
  }
  const posted = await ask('/hello.txt', { method: 'POST' });
  t.same([posted.status, posted.headers.get('allow')], [405, 'GET, HEAD']);
  const without = site(t, { index: null });
  t.equal((await without.ask('/docs/')).status, 404);
});

test('a route with a wildcard, one page for all paths, and Cache-Control', async (t) => {
  const folder = folderOf(t);
  put(folder, 'app.4f3c9a1b.js', 'x');
  put(folder, 'report-20240131.js', 'x');
  put(folder, 'index.html', '<p>app</p>');
  const files = staticFiles(folder, { spa: 'index.html', cacheControl: 'max-age=60' });
  const server = serve(new Router().get('/assets/*', files).get('/assets', files));
  t.teardown(async () => {
    await server.close({ idleGraceMs: 1 });
    files.close();
  });
  const ask = (path: string, accept = '*/*') =>
    fetch(`${server.url}${path}`, { headers: { Accept: accept }, redirect: 'manual' });
  t.equal((await ask('/assets/app.4f3c9a1b.js')).headers.get('cache-control'), 'public, max-age=31536000, immutable');
  t.equal((await ask('/assets/report-20240131.js')).headers.get('cache-control'), 'max-age=60');
  t.equal(await (await ask('/assets/')).text(), '<p>app</p>');
  t.equal(await (await ask('/assets/deep/link', 'text/html')).text(), '<p>app</p>');
  t.equal((await ask('/assets/missing.js')).status, 404);
  t.equal((await ask('/assets/%2e%2e%2findex.html')).status, 404);
  const broken = staticFiles(folder, { spa: 'none.html' });
  t.equal((await inject(broken, { url: '/x', headers: { accept: 'text/html' } })).status, 404);
  broken.close();
});

test('siblings that are compressed', async (t) => {
  const { ask, folder } = site(t, {}, (folder) => {
    put(folder, 'a.js', 'plain');
    put(folder, 'a.js.br', 'brotli');
    put(folder, 'a.js.gz', 'gzipped');
    put(folder, 'b.js', 'plain', new Date(PAST.getTime() + 5_000));
    put(folder, 'b.js.gz', 'stale');
    put(folder, 'c.js', 'plain');
    mkdirSync(join(folder, 'c.js.gz'));
  });
  const answerOf = async (path: string, encoding: string) => {
    const head = await ask(path, { method: 'HEAD', headers: { 'Accept-Encoding': encoding } });
    return [...fieldsOf(head, 'content-encoding', 'content-length', 'vary', 'content-type')];
  };
  const type = 'text/javascript; charset=utf-8';
  t.same(await answerOf('/a.js', 'gzip, br'), ['br', '6', 'Accept-Encoding', type]);
  t.same(await answerOf('/a.js', 'gzip, br;q=0.5'), ['gzip', '7', 'Accept-Encoding', type]);
  t.same(await answerOf('/a.js', 'identity'), [null, '5', 'Accept-Encoding', type]);
  t.same(await answerOf('/a.js', 'identity;q=0, deflate'), [null, '5', 'Accept-Encoding', type]);
  t.same(await answerOf('/b.js', 'gzip'), [null, '5', null, type]);
  t.same(await answerOf('/c.js', 'gzip'), [null, '5', null, type]);
  rmSync(join(folder, 'a.js.br'));
  t.same(await answerOf('/a.js', 'gzip, br'), ['gzip', '7', 'Accept-Encoding', type]);
  for (const encoding of ['gzip', 'identity']) {
    const answers = [{}, { 'If-None-Match': '"of another version"' }].map(async (conditions) => {
      const answer = await ask('/a.js', { headers: { 'Accept-Encoding': encoding, ...conditions } });
      const names = ['content-encoding', 'vary', 'etag', 'last-modified', 'cache-control', 'accept-ranges'];
      return [answer.status, ...fieldsOf(answer, ...names, 'content-type', 'content-length')];
    });
    t.same(await answers[0], await answers[1], 'without conditions as with conditions that do not hold');
  }
  const plain = site(t, { precompressed: false }, (folder) => {
    put(folder, 'a.js', 'plain');
    put(folder, 'a.js.gz', 'gzipped');
  });
  t.equal(
    (await plain.ask('/a.js', { method: 'HEAD', headers: { 'Accept-Encoding': 'gzip' } })).headers.get('vary'),
    null,
  );
});

test('a hostile tree: no name and no link leads outside, or to what is no file', async (t) => {
  const secret = folderOf(t);
  put(secret, 'secret', 'SECRET');
  const fill = (folder: string) => {
    symlinkSync(join(secret, 'secret'), join(folder, 'absolute'));
    symlinkSync(`../${secret.split('/').at(-1)}/secret`, join(folder, 'relative'));
    symlinkSync(secret, join(folder, 'away'));
    symlinkSync('/', join(folder, 'root'));
    symlinkSync('/proc/self/fd/0', join(folder, 'magic'));
    symlinkSync('loop', join(folder, 'loop'));
    symlinkSync('../hello.txt', join(folder, 'docs/up'));
    symlinkSync('hello.txt', join(folder, 'inside'));
    mkdirSync(join(folder, '.git'));
    put(folder, '.git/config', 'SECRET');
    put(folder, '.env', 'SECRET');
    execFileSync('mkfifo', [join(folder, 'fifo')]);
  };
  const targets = [
    ...['/absolute', '/relative', '/away/secret', '/away/', '/root/etc/passwd', '/magic', '/loop', '/fifo'],
    ...[
      '/../secret',
      '/..%2fsecret',
      '/%2e%2e/secret',
      '/docs/../../secret',
      '/docs/%2e%2e%2f%2e%2e%2fsecret',
      '//etc/passwd',
    ],
    ...[
      '/.git/config',
      '/.env',
      '/%2egit/config',
      '/%2Eenv',
      '/hello.txt%00',
      '/%00',
      '/..%c0%af',
      '/%ff',
      '/%',
      '/a%2f..%2f..%2fsecret',
    ],
    ...[`/${'a'.repeat(300)}`, `/${'a/'.repeat(3_000)}x`, '/hello.txt/..', '/docs\\..\\..\\secret', '/hello.txt%2f'],
  ];
  for (const followSymlinks of [false, true]) {
    const { raw } = site(t, { followSymlinks, listing: true }, fill);
    for (const target of targets) {
      const answer = await raw(target);
      t.match(answer, /^HTTP\/1.1 4\d\d /, `${target.slice(0, 40)}, links ${followSymlinks}`);
      t.notMatch(answer, /SECRET|root:/);
    }
    const status = followSymlinks ? /^HTTP\/1.1 200 / : /^HTTP\/1.1 404 /;
    t.match(await raw('/inside'), status);
    t.match(await raw('/docs/up'), status);
  }
});

test('names cannot put anything into a header or a page', async (t) => {
  const nasty = [
    'a\r\nSet-Cookie: x=1',
    '<img src=x onerror=alert(1)>',
    'javascript:alert(1)',
    '"quote\'.txt',
    'a?b#c%41.txt',
    'é€.txt',
    '&amp;',
  ];
  const { ask, raw } = site(t, { listing: true, download: true }, (folder) => {
    mkdirSync(join(folder, 'nasty'));
    for (const name of nasty) put(folder, `nasty/${name}`, name);
    mkdirSync(join(folder, 'nasty/<b>\r\nX: y'));
    put(folder, 'nasty/<b>\r\nX: y/f', '');
  });
  const page = await (await ask('/nasty/')).text();
  t.notMatch(page, /<img|<b>|href="javascript/);
  const links = [...page.matchAll(/href="(\.\/[^"]*)"/g)].map((match) =>
    (match[1] as string).replaceAll('&#39;', "'").replaceAll('&amp;', '&'),
  );
  for (const name of nasty) {
    const link = links.find((href) => href.endsWith(`/${encodeURIComponent(name)}`)) as string;
    t.ok(link, JSON.stringify(name));
    const response = await ask(`/nasty/${link}`);
    t.equal(await response.text(), name);
    t.equal(response.headers.get('set-cookie'), null);
    t.match(response.headers.get('content-disposition'), /^attachment; filename="[^"\\]*"/);
  }
  const moved = await raw('/nasty/%3Cb%3E%0D%0AX:%20y');
  t.match(moved, /^HTTP\/1.1 301 .*\r\nLocation: \/nasty\/%3Cb%3E%0D%0AX:%20y\/\r\n/s);
  t.notMatch(moved, /^X: y/m);
});

test('a listing: order, sizes, the way up, and what is hidden', async (t) => {
  const { ask } = site(t, { listing: true }, (folder) => {
    put(folder, '.hidden', '');
    symlinkSync('hello.txt', join(folder, 'link'));
  });
  const response = await ask('/');
  t.same(fieldsOf(response, 'content-type', 'cache-control'), ['text/html; charset=utf-8', 'no-cache']);
  t.match(response.headers.get('content-security-policy'), /default-src 'none'/);
  const page = await response.text();
  const names = [...page.matchAll(/<td><a href="[^"]*">([^<]*)</g)].map((match) => match[1]);
  t.same(names, ['bare/', 'docs/', 'empty.css', 'hello.txt', 'large.bin']);
  t.match(page, '<td>300 KB</td>');
  t.match(page, '2024-01-02 03:04');
  const below = await (await ask('/bare/')).text();
  t.match(below, 'This folder is empty.');
  t.match(below, '<a href="../">..</a>');
  t.match(below, '<h1><a href="./../">/</a> bare</h1>');
  const head = await ask('/bare/', { method: 'HEAD' });
  t.same([head.status, await head.text()], [200, '']);
});

test('a file that changes is seen, after revalidateMs at the latest', async (t) => {
  const { ask, folder } = site(t);
  const before = await ask('/hello.txt');
  t.equal(await before.text(), 'hello, world');
  put(folder, 'next', 'another');
  renameSync(join(folder, 'next'), join(folder, 'hello.txt'));
  const after = await (
    await ask('/hello.txt', { headers: { 'If-None-Match': before.headers.get('etag') as string } })
  ).text();
  t.equal(after, 'another');
  rmSync(join(folder, 'hello.txt'));
  t.equal((await ask('/hello.txt')).status, 404);
});

test('a file that shrinks while it is sent breaks the connection', async (t) => {
  const { folder, ask } = site(t, {}, (folder) => put(folder, 'huge', Buffer.alloc(20_000_000, 'x')));
  const response = await ask('/huge');
  truncateSync(join(folder, 'huge'), 10);
  await t.rejects(response.arrayBuffer(), /terminated/);
  t.equal((await ask('/huge')).headers.get('content-length'), '10');
});

test('a client that leaves in the middle leaves no descriptor behind', async (t) => {
  const folder = folderOf(t);
  put(folder, 'huge', Buffer.alloc(20_000_000, 'x'));
  const files = staticFiles(folder);
  const server = serve(files);
  t.teardown(() => server.close({ idleGraceMs: 1 }));
  const opened = () => openDescriptors().filter((descriptor) => descriptor.includes(folder)).length;
  for (let i = 0; i < 3; i++) {
    const socket = connect(server.port as number, '127.0.0.1');
    socket.write('GET /huge HTTP/1.1\r\nHost: x\r\n\r\n');
    await new Promise<void>((resolve) => socket.once('readable', resolve));
    t.ok(opened() > 0);
    files.close();
    t.ok(opened() > 0, 'it is in use');
    socket.destroy();
    while (opened() > 0) await new Promise((resolve) => setImmediate(resolve));
  }
  t.pass('closed with the connection');
});

test('through a transform, and to a client in memory', async (t) => {
  const folder = folderOf(t);
  put(folder, 'large.bin', large);
  const files = staticFiles(folder);
  t.teardown(() => files.close());
  const answer = await inject(files, { url: '/large.bin' });
  t.ok(Buffer.from(await answer.bytes()).equals(large));
  const parts = await inject(files, { url: '/large.bin', headers: { range: 'bytes=0-1,70000-140000' } });
  t.equal((await parts.bytes()).length, Number(parts.headers.get('content-length')));
  const router = new Router().use((_request, response, next) => {
    response.transformBody(() => createGzip());
    return next();
  });
  const server = serve(router.get('/*', files));
  t.teardown(() => server.close({ idleGraceMs: 1 }));
  const zipped = Buffer.from(await (await fetch(`${server.url}/large.bin`)).arrayBuffer());
  t.ok(gunzipSync(zipped).equals(large));
});

test('sendFile', async (t) => {
  const folder = folderOf(t);
  put(folder, 'report.pdf', large);
  symlinkSync('/etc/hostname', join(folder, 'link'));
  const answer = (name: string, options?: SendFileOptions, headers = {}) =>
    inject((request, response) => sendFile(request, response, join(folder, name), options), { headers });
  const plain = await answer('report.pdf');
  t.same(
    [plain.status, plain.headers.get('content-type'), plain.headers.get('content-disposition')],
    [200, 'application/pdf', null],
  );
  const named = await answer(
    'report.pdf',
    { download: '€.pdf', contentType: 'text/x', cacheControl: 'private', maxRanges: 1 },
    { range: 'bytes=0-0' },
  );
  t.equal(named.status, 206);
  t.equal(named.headers.get('content-type'), 'text/x');
  t.equal(named.headers.get('cache-control'), 'private');
  t.equal(named.headers.get('content-disposition'), `attachment; filename="_.pdf"; filename*=UTF-8''%E2%82%AC.pdf`);
  t.equal(
    (await answer('report.pdf', { download: true })).headers.get('content-disposition'),
    'attachment; filename="report.pdf"',
  );
  t.equal((await answer('report.pdf', { contentType: 'text/x\n' })).status, 500);
  t.equal((await answer('link')).status, 200, 'the program has chosen it');
  t.equal((await answer('none')).status, 404);
  t.equal((await answer('.')).status, 404);
  t.notOk(
    openDescriptors().some((descriptor) => descriptor.includes(folder)),
    'all are closed',
  );
  t.throws(() => sendFile(null as never, null as never, 'x', { donwload: true } as never), /did you mean 'download'/);
});

test('a file from the future, a page for all paths that is a folder', async (t) => {
  const { ask } = site(t, { spa: 'docs' }, (folder) => put(folder, 'later', 'x', new Date('2100-01-01')));
  t.same(fieldsOf(await ask('/later'), 'last-modified'), [null]);
  t.equal((await ask('/none', { headers: { Accept: 'text/html' } })).status, 404);
});

test('a file that cannot be read, and one that has become shorter, in pieces', async (t) => {
  const folder = folderOf(t);
  put(folder, 'short', 'x');
  const short = libc.open(join(folder, 'short'), abi.O_RDONLY | abi.O_CLOEXEC);
  t.teardown(() => libc.close(short));
  const fields = {
    contentType: 'x/y',
    contentEncoding: null,
    cacheControl: 'no-cache',
    disposition: null,
    varies: false,
    maxRanges: 1,
    lines: null,
  };
  for (const [fd, message] of [
    [short, /shorter/],
    [2 ** 30, /EBADF/],
  ] as const) {
    const errors: unknown[] = [];
    const file = new OpenFile({ ...libc, close: () => 0 }, fd, false, 100, 0n, 1n, 5_000);
    const handler = (request: HttpRequest, response: ResponseWriter) =>
      answerFile(request, response, file, fields, Date);
    await inject(handler, { onError: (error) => errors.push(error) }).catch(() => {});
    t.match(String(errors[0]), message);
  }
});

test('a file is released if the answer has begun already', async (t) => {
  const path = join(folderOf(t), 'a');
  writeFileSync(path, 'a');
  const before = openDescriptors();
  const errors: unknown[] = [];
  const handler = (request: HttpRequest, response: ResponseWriter) => {
    response.text('done');
    return sendFile(request, response, path);
  };
  await inject(handler, { onError: (error) => errors.push(error) });
  t.equal(errors.length, 1);
  t.same(openDescriptors(), before);
});

test('mistakes of the program', async (t) => {
  t.throws(() => staticFiles('/no/such/folder'), { code: 'ENOENT' });
  t.throws(() => staticFiles('/etc/passwd'), TypeError);
});
