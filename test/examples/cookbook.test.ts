/** The programs of docs/cookbook.md, each used as a user would, with the usual mistakes. */

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { missingPeer } from '../peers/peers.ts';
import { runExampleWith } from '../support/examples.ts';
import { buildFolder, Program } from '../support/programs.ts';
import { RawClient } from '../support/raw-client.ts';
import { until } from '../support/waiting.ts';
import { WebSocketClient } from '../support/web-socket-client.ts';
import { BINARY, TEXT } from '../support/web-socket-frames.ts';

interface Site {
  readonly program: Program;
  readonly url: string;
  readonly port: number;
  ask(path: string, init?: RequestInit): Promise<Response>;
  /** The lines that it has printed after its URL. */
  lines(): string[];
}

async function siteOf(t: Test, program: Program): Promise<Site> {
  t.teardown(() => program.kill());
  const [, url = ''] = await program.prints(/^(http:\/\/\S+)\n/);
  return {
    program,
    url,
    port: Number(new URL(url).port),
    ask: (path, init) => fetch(url + path, { redirect: 'manual', ...init }),
    lines: () => program.stdout.split('\n').slice(1, -1),
  };
}

function cook(t: Test, name: string, variables: Readonly<Record<string, string>> = {}): Promise<Site> {
  return siteOf(t, runExampleWith({ PORT: '0', ...variables }, `cookbook/${name}`));
}

function jsonOf(value: unknown, method = 'POST'): RequestInit {
  return { method, body: JSON.stringify(value), headers: { 'Content-Type': 'application/json' } };
}

const statusAndText = async (response: Response) => [response.status, await response.text()] as const;

test('json-crud', async (t) => {
  const { ask } = await cook(t, 'json-crud');
  t.same(await (await ask('/tasks')).json(), []);
  const created = await ask('/tasks', jsonOf({ title: 'learn' }));
  const task = (await created.json()) as { id: string };
  const path = `/tasks/${task.id}`;
  t.same(
    [created.status, created.headers.get('location'), task],
    [201, path, { ...task, title: 'learn', isDone: false }],
  );
  const changed = await ask(path, jsonOf({ title: 'learn more', isDone: true }, 'PUT'));
  t.same([changed.status, await changed.json()], [200, { id: task.id, title: 'learn more', isDone: true }]);
  t.same(await (await ask(path)).json(), { id: task.id, title: 'learn more', isDone: true });

  t.same(
    await statusAndText(await ask('/tasks', { method: 'POST', body: '{"title":\n"a",}' })).then(([status]) => status),
    400,
  );
  t.match(await (await ask('/tasks', { method: 'POST', body: '{"title":\n"a",}' })).text(), /line 2, column 5/);
  for (const input of [null, 7, [], {}, { title: '' }, { title: 'x'.repeat(201) }, { title: 'a', isDone: 'yes' }]) {
    const { status } = await ask('/tasks', jsonOf(input));
    t.equal(status, 422, JSON.stringify(input));
  }
  t.equal((await ask('/tasks', jsonOf({ title: 'x'.repeat(200) }))).status, 201);
  const refused = await ask(path, { ...jsonOf({}, 'PUT'), headers: { Accept: 'application/json' } });
  const detail = 'title must be a text of 1 to 200 characters';
  t.same(await refused.json(), { status: 422, title: 'Unprocessable Content', detail });

  const head = await ask(path, { method: 'HEAD' });
  t.same([head.status, await head.text()], [200, '']);
  t.equal(
    Number(head.headers.get('content-length')),
    JSON.stringify({ id: task.id, title: 'learn more', isDone: true }).length,
  );
  const patched = await ask(path, jsonOf({}, 'PATCH'));
  t.same([patched.status, patched.headers.get('allow')], [405, 'DELETE, GET, HEAD, OPTIONS, PUT']);
  t.equal((await ask(path, { method: 'OPTIONS' })).status, 204);

  t.equal((await ask(path, { method: 'DELETE' })).status, 204);
  for (const init of [{}, { method: 'DELETE' }, jsonOf({ title: 'late' }, 'PUT')]) {
    t.same(await statusAndText(await ask(path, init)), [404, `there is no task ${task.id}\n`]);
  }
});

const MiB = 1024 ** 2;

/** The head of an upload whose body has no end yet. */
/** An upload whose last bytes do not come. */
const openUpload = (contentLength: number) =>
  [
    `POST /photos HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: ${contentLength}\r\n\r\n`,
    '--b\r\nContent-Disposition: form-data; name="photo"; filename="half.jpg"\r\n\r\n',
  ].join('');

test('upload', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const { ask, port } = await cook(t, 'upload', { UPLOADS: folder });
  t.match(await (await ask('/')).text(), /enctype="multipart\/form-data"/);
  const post = (form: FormData) => ask('/photos', { method: 'POST', body: form });

  const form = new FormData();
  const photo = Buffer.alloc(3 * MiB, 'photo');
  form.append('title', 'Two photos');
  form.append('photo', new Blob([photo]), '../../etc/passwd');
  form.append('photo', new Blob(['small']), 'b.jpg');
  const sent = await post(form);
  t.same(
    [sent.status, await sent.json()],
    [
      201,
      [
        { name: 'passwd', bytes: photo.length },
        { name: 'b.jpg', bytes: 5 },
      ],
    ],
  );
  const files = readdirSync(folder).map((name) => readFileSync(join(folder, name)));
  t.same(files.map(({ length }) => length).sort(), [photo.length, 5].sort());
  t.ok(
    files.some((bytes) => bytes.equals(photo)),
    'byte for byte',
  );

  const many = new FormData();
  for (let i = 0; i < 11; i++) many.append('photo', new Blob([`${i}`]), `${i}.jpg`);
  t.equal((await post(many)).status, 413, 'one part too many');
  // It waits for its answer: on busy cores `fetch` went on sending when the server had read on for long enough.
  const large = new RawClient(port).write(openUpload(101 * MiB)).write(Buffer.alloc(100 * MiB + 1));
  await large.until(() => large.answers === 1, 'one byte too many');
  t.match(large.text, /^HTTP\/1\.1 413 /);
  large.destroy();
  t.equal((await ask('/photos', { method: 'POST', body: 'name=a' })).status, 415);
  const boundless = { 'Content-Type': 'multipart/form-data' };
  t.equal((await ask('/photos', { method: 'POST', body: 'x', headers: boundless })).status, 400);
  t.equal((await post(new FormData())).status, 201, 'an empty form');
  t.equal(readdirSync(folder).length, 2, 'what failed has left nothing behind');

  const client = new RawClient(port);
  client.write(`${openUpload(1_000_000)}half`);
  await until(() => readdirSync(folder).length === 3);
  client.reset();
  await until(() => readdirSync(folder).length === 2);
});

test('session', async (t) => {
  const { ask } = await cook(t, 'session');
  const logIn = (name: string, password: string) =>
    ask('/login', { method: 'POST', body: new URLSearchParams({ name, password }) });
  const account = (cookie?: string) => ask('/account', cookie === undefined ? {} : { headers: { Cookie: cookie } });

  t.same(await statusAndText(await account()), [401, 'log in first\n']);
  t.equal((await logIn('ada', 'wrong')).status, 403);
  t.equal((await ask('/login', jsonOf({ name: 'ada', password: 'lovelace' }))).status, 403, 'no form');
  t.equal((await ask('/login', { method: 'POST', body: new FormData() })).status, 415);
  const welcome = await logIn('ada', 'lovelace');
  t.same([welcome.status, welcome.headers.get('location')], [303, '/account']);
  const [line = ''] = welcome.headers.getSetCookie();
  t.match(line, /; Path=\/; .*HttpOnly/);
  t.match(line, 'Max-Age=86400');
  t.match(line, 'SameSite=Lax');
  const [cookie = ''] = line.split(';');
  t.same(await statusAndText(await account(`theme=dark; ${cookie}`)), [200, 'Hello, ada.\n']);

  const [text = '', signature = ''] = cookie.slice('session='.length).split('.');
  const forged = Buffer.from(JSON.stringify({ user: 'bob', expiresAt: Date.now() + 1_000_000 })).toString('base64url');
  for (const value of ['', '.', text, `${text}.`, `${text}.AAAA`, `${forged}.${signature}`, `.${signature}`, '%00']) {
    t.equal((await account(`session=${value}`)).status, 401, value);
  }
  const [gone = ''] = (await ask('/logout', { method: 'POST' })).headers.getSetCookie();
  t.match(gone, /^session=; .*Max-Age=0/);

  const other = await cook(t, 'session');
  t.equal((await other.ask('/account', { headers: { Cookie: cookie } })).status, 401, 'another secret');
});

test('server-sent-events', async (t) => {
  const { ask, port, program } = await cook(t, 'server-sent-events');
  const say = async (text: string) => (await ask('/messages', { method: 'POST', body: text })).json();
  const listen = async (fields = '') => {
    const reader = new RawClient(port);
    reader.write(`GET /events HTTP/1.1\r\nHost: a\r\n${fields}\r\n`);
    await until(() => reader.text.includes('retry: 1000'));
    return reader;
  };
  const [stays, leaves, breaks] = [await listen(), await listen(), await listen()];
  t.match(stays.text, 'Content-Type: text/event-stream');
  t.same(await say('one\ntwo'), { readers: 3 });
  for (const reader of [stays, leaves, breaks]) await until(() => reader.text.includes('data: one\ndata: two\n\n'));
  t.equal((await ask('/messages', { method: 'POST' })).status, 400);

  leaves.socket.end();
  breaks.reset();
  await until(() => leaves.isOver);
  while (((await say('anybody?')) as { readers: number }).readers !== 1);
  const head = await ask('/events', { method: 'HEAD', signal: AbortSignal.timeout(5_000) });
  t.same([head.status, head.headers.get('content-type')], [200, 'text/event-stream']);
  t.equal(head.headers.get('content-length'), null, 'as GET');
  t.same(await say('still one'), { readers: 1 });

  const again = await listen('Last-Event-ID: 1\r\n');
  await until(() => again.text.includes('still one'));
  t.notMatch(again.text, 'data: two', 'it has seen that');
  for (let i = 0; i < 100; i++) await say(`${i}`);
  const late = await listen('Last-Event-ID: 1\r\n');
  await until(() => late.text.includes('data: 99\n'));
  t.notMatch(late.text, 'still one', 'the last hundred are kept');

  program.kill('SIGTERM');
  for (const reader of [stays, again, late]) {
    await reader.ended();
    t.match(reader.text, /\r\n0\r\n\r\n$/);
    reader.destroy();
  }
  const { code, stderr } = await program.ends();
  t.same([code, stderr], [0, '']);
});

test('web-socket', async (t) => {
  const { ask, port, program } = await cook(t, 'web-socket');
  const address = { address: '127.0.0.1', port, family: 'IPv4' } as const;
  const enter = (user: string, more: Readonly<Record<string, string>> = {}) =>
    WebSocketClient.open(t, { address }, '/room', { Cookie: `user=${user}`, ...more });
  await t.rejects(WebSocketClient.open(t, { address }, '/room'), /401 Unauthorized[\s\S]*log in first/);
  await t.rejects(enter('eve', { Origin: 'http://evil.example' }), /403 Forbidden/);
  t.equal((await ask('/room')).status, 426, 'a request that is not for a WebSocket');

  const ann = await enter('ann');
  const bob = await enter('bob', { Host: 'shop.example', Origin: 'http://shop.example' });
  await ann.untilFrames(1);
  t.same(ann.texts, ['bob has come']);
  ann.send(TEXT, 'hello');
  await bob.untilFrames(1);
  t.same(bob.texts, ['ann: hello']);
  t.same(await (await ask('/people')).json(), { people: 2 });
  bob.send(BINARY, Buffer.from([0]));
  await bob.until(() => bob.closed !== null, 'the close frame');
  t.equal(bob.closed?.code, 1_003);
  bob.close(1_003).raw.socket.end();
  await ann.untilFrames(3);
  t.same(ann.texts.slice(1), ['ann: hello', 'bob has left']);
  ann.send(TEXT, 'x'.repeat(4_097));
  t.equal((await ann.untilClosed())?.code, 1_009, 'too long');

  const carl = await enter('carl');
  program.kill('SIGTERM');
  await carl.until(() => carl.closed !== null, 'the close frame');
  t.equal(carl.closed?.code, 1_001);
  carl.close(1_001).raw.socket.end();
  t.equal((await program.ends()).code, 0);
});

test('cors', async (t) => {
  const { ask } = await cook(t, 'cors');
  const origin = 'https://shop.example';
  const from = (path: string, init: RequestInit = {}, own = origin) =>
    ask(path, { ...init, headers: { ...(init.headers as object), Origin: own } });
  const allowed = (response: Response) => response.headers.get('access-control-allow-origin');

  const preflight = await from('/orders', { method: 'OPTIONS', headers: { 'Access-Control-Request-Method': 'POST' } });
  t.same([preflight.status, allowed(preflight)], [204, origin]);
  t.match(preflight.headers.get('access-control-allow-methods'), 'POST');
  const bare = await from('/orders', { method: 'OPTIONS' });
  t.same([bare.status, bare.headers.get('allow'), allowed(bare)], [204, 'OPTIONS, POST', origin], 'no preflight');

  const wrong: [number, string, RequestInit][] = [
    [200, '/price', {}],
    [200, '/price', { method: 'HEAD' }],
    [201, '/orders', jsonOf({ count: 1 })],
    [422, '/orders', jsonOf({})],
    [400, '/orders', { method: 'POST', body: '{' }],
    [500, '/orders', { method: 'POST', body: 'null' }],
    [413, '/orders', { method: 'POST', body: `"${'x'.repeat(MiB)}"` }],
    [404, '/none', {}],
    [405, '/price', { method: 'DELETE' }],
  ];
  for (const [status, path, init] of wrong) {
    const response = await from(path, init);
    t.same([response.status, allowed(response)], [status, origin], `${init.method ?? 'GET'} ${path}`);
    t.match(response.headers.get('vary'), 'Origin');
  }
  t.equal(allowed(await from('/price', {}, 'https://evil.example')), null);
  t.equal((await ask('/price')).headers.get('vary'), 'Origin');
});

test('access-log', async (t) => {
  const site = await cook(t, 'access-log');
  t.equal((await site.ask('/users/7?token=secret')).status, 200);
  t.equal((await site.ask('/none', { method: 'HEAD' })).status, 404);
  const client = new RawClient(site.port);
  client.write('NONSENSE\r\n\r\n');
  await client.ended();
  await until(() => site.lines().length === 3);
  const [hello, none, nonsense] = site.lines().map((line) => JSON.parse(line));
  t.match(hello, { client: '127.0.0.1', method: 'GET', path: '/users/7', route: '/users/:id', status: 200 });
  t.type(hello.ms, 'number');
  t.ok(hello.bytes > 10);
  t.ok(Math.abs(Date.parse(hello.time) - Date.now()) < 60_000);
  t.match(none, { method: 'HEAD', path: '/none', route: null, status: 404 });
  t.match(nonsense, { method: '', path: '', status: 400, error: /./ });
  t.notOk('client' in nonsense);
});

test('route-limits', async (t) => {
  const { ask } = await cook(t, 'route-limits');
  const send = (method: string, path: string, body: RequestInit['body']) => ask(path, { method, body: body ?? null });
  t.same(await (await send('POST', '/notes', 'x'.repeat(MiB))).json(), { characters: MiB });
  t.equal((await send('POST', '/notes', 'x'.repeat(MiB + 1))).status, 413);
  const large = await send('PUT', '/backup', Buffer.alloc(20 * MiB));
  t.match(await large.json(), { sha256: /^[0-9a-f]{64}$/ });
  t.equal(await (await send('POST', '/models/answer', '?')).text(), '42\n');
  t.equal((await send('PUT', '/none', Buffer.alloc(MiB + 1))).status, 413, 'no route, the limit of the server');
});

test('graceful-stop', async (t) => {
  const { program, port, lines, ask } = await cook(t, 'graceful-stop');
  const clock = new RawClient(port);
  clock.write('GET /clock HTTP/1.1\r\nHost: a\r\n\r\n');
  await until(() => clock.text.includes('Z\n'));
  const report = ask('/report');
  const left = new RawClient(port);
  left.write('GET /clock HTTP/1.1\r\nHost: a\r\n\r\n');
  await until(() => left.text.includes('Z\n'));
  left.reset();
  program.kill('SIGTERM');
  program.kill('SIGTERM');
  await clock.ended();
  t.match(clock.text, /The server stops\.\n\r\n0\r\n\r\n$/);
  clock.destroy();
  t.same(await statusAndText(await report), [200, 'The report is complete.\n']);
  const { code, stderr } = await program.ends();
  t.same([code, stderr, lines()], [0, '', ['stopped']]);
});

test('without-a-port', async (t) => {
  const file = join(buildFolder, 'examples/cookbook/without-a-port.js');
  const { PATH = '' } = process.env;
  const tests = new Program('env', ['-i', `PATH=${PATH}`, process.execPath, '--test', file]);
  t.teardown(() => tests.kill());
  const { code, stdout } = await tests.ends();
  t.equal(code, 0, stdout);
  t.match(stdout, /pass 4\n/);
});

test('a Hono app', { skip: missingPeer('hono') }, async (t) => {
  const file = join(buildFolder, '../test/peers/cookbook-hono.mjs');
  const { PATH = '' } = process.env;
  const { ask } = await siteOf(t, new Program('env', ['-i', `PATH=${PATH}`, 'PORT=0', process.execPath, file]));
  t.same(await statusAndText(await ask('/')), [200, 'Hello Hono']);
  const head = await ask('/', { method: 'HEAD' });
  t.same([head.status, await head.text()], [200, '']);
  t.same(await (await ask('/api/users/7')).json(), { id: '7' });
  const created = await ask('/api/users', jsonOf({ name: 'Ada' }));
  t.same([created.status, await created.json()], [201, { name: 'Ada' }]);
  const wrong = await ask('/api/users', { method: 'POST', body: '{' });
  t.same(await statusAndText(wrong), [400, 'the body is not JSON']);
  t.equal(wrong.headers.get('access-control-allow-origin'), '*', 'also on errors');
  const preflight = await ask('/api/users', {
    method: 'OPTIONS',
    headers: { 'Access-Control-Request-Method': 'POST' },
  });
  t.equal(preflight.status, 204);
  t.equal((await ask('/none')).status, 404);
});
