import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'tap';
import type { CommandOptions } from '../../command/options.ts';
import { parseOptions } from '../../command/options.ts';
import { siteOf } from '../../command/site.ts';
import { inject, serve } from '../../http/index.ts';
import { buildFolder } from '../support/programs.ts';
import { RawClient } from '../support/raw-client.ts';

const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

const site = (...args: string[]) => siteOf(parseOptions(args) as CommandOptions);

function moduleOf(name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text.replaceAll('simplenet/http', `file://${buildFolder}/http/index.js`));
  return file;
}

const router = moduleOf(
  'router.mjs',
  `import { Router } from 'simplenet/http';
export default new Router()
  .get('/', (_request, response) => response.text('hello'))
  .post('/large', { limits: { bodyBytes: 100 } }, async (request, response) => response.text(await request.text()));`,
);
const handler = moduleOf('handler.mjs', "export default (_request, response) => response.text('hello');");
const app = moduleOf('app.mjs', "export default { fetch: () => new Response('hello') };");

test('without --cors the program alone is served', async (t) => {
  const { source, what } = await site(handler);
  t.equal(what, `the module ${handler}`);
  t.type(source, 'function');
  const answer = await inject(source, { headers: { Origin: 'https://a.example' } });
  t.notOk(answer.headers.has('access-control-allow-origin'));
});

test('--cors stands around each kind of program, and around what it does not find', async (t) => {
  for (const file of [router, handler, app]) {
    const { source } = await site(file, '--cors');
    const answer = await inject(source, { headers: { Origin: 'https://a.example' } });
    t.equal(answer.text(), 'hello', file);
    t.equal(answer.headers.get('access-control-allow-origin'), '*');
  }
  const { source } = await site(router, '--cors');
  const missing = await inject(source, { url: '/missing', headers: { Origin: 'https://a.example' } });
  t.equal(missing.status, 404);
  t.equal(missing.headers.get('access-control-allow-origin'), '*');
});

test('--cors and --compress leave CONNECT to a program that takes it', async (t) => {
  const tunnels = moduleOf(
    'tunnels.mjs',
    `export default {
  [Symbol.for('wintertc.server.protocol')]: 1,
  fetch: () => new Response('hello'),
  async connect(ctx) {
    const tunnel = await ctx.accept();
    await tunnel.readable.pipeTo(tunnel.writable);
  },
};`,
  );
  const server = serve((await site(tunnels, '--cors', '--compress')).source);
  const client = new RawClient(server.port as number).write('CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\nping');
  await client.until(() => client.text.endsWith('\r\n\r\nping'), 'the echo');
  t.match(client.text, /^HTTP\/1\.1 200 /);
  client.destroy();
  await server.close({ graceMs: 0 });
});

test('the limits of routes stay in force behind --cors', async (t) => {
  for (const [file, path, status] of [
    [router, '/large', 200],
    [router, '/', 413],
    [handler, '/', 413],
  ] as const) {
    const server = serve((await site(file, '--cors')).source, { limits: { bodyBytes: 10 } });
    const answer = await fetch(server.url + path, { method: 'POST', body: 'x'.repeat(100) });
    await answer.text();
    t.equal(answer.status, status, `${file} ${path}`);
    await server.close();
  }
});

const directory = join(folder, 'public');
mkdirSync(join(directory, 'bare'), { recursive: true });
mkdirSync(join(directory, 'docs'));
writeFileSync(join(directory, 'index.html'), '<h1>home</h1>');
writeFileSync(join(directory, 'docs/index.html'), '<h1>docs</h1>');
writeFileSync(join(directory, 'bare/large.txt'), 'large '.repeat(1_000));
writeFileSync(join(directory, '.secret'), 'secret');

/** What clients get of the paths of the directory: status, and Location or the text. */
async function answersOf(paths: readonly string[], ...args: string[]): Promise<string[]> {
  const { source, what } = await site(directory, ...args);
  const server = serve(source);
  const answers = paths.map(async (path) => {
    const answer = await fetch(server.url + path, { redirect: 'manual', headers: { Accept: 'text/html' } });
    const text = await answer.text();
    return `${answer.status} ${answer.status === 200 ? text.slice(0, 15) : (answer.headers.get('location') ?? '')}`;
  });
  const all = await Promise.all(answers);
  await server.close();
  return what === `the directory ${directory}` ? all : [what];
}

test('a directory: its index, 301 to a folder, and 404 for what is hidden or missing', async (t) => {
  t.same(await answersOf(['/', '/docs', '/docs/', '/bare/', '/bare/large.txt', '/.secret', '/missing']), [
    '200 <h1>home</h1>',
    '301 /docs/',
    '200 <h1>docs</h1>',
    '404 ',
    '200 large large lar',
    '404 ',
    '404 ',
  ]);
});

test('--spa sends the index for what is missing, --listing shows a folder', async (t) => {
  t.same(await answersOf(['/missing', '/bare/large.txt'], '--spa'), ['200 <h1>home</h1>', '200 large large lar']);
  const [page, home] = await answersOf(['/bare/', '/'], '--listing');
  t.match(page, /^200 <!doctype html/i);
  t.equal(home, '200 <h1>home</h1>');
});

test('a directory without index.html has a hint, and a module none', async (t) => {
  const hintOf = async (...args: string[]) => (await site(...args)).hint;
  const bare = join(directory, 'bare');
  t.equal(await hintOf(bare), 'There is no index.html: --listing shows the files.');
  t.equal(await hintOf(bare, '--spa'), 'There is no index.html.');
  t.same([await hintOf(bare, '--listing'), await hintOf(directory), await hintOf(handler)], [null, null, null]);
});

test('what is neither a directory nor a file, and what may not be read', async (t) => {
  await t.rejects(site('/dev/null'), { message: "'/dev/null' is neither a directory nor a file", exitCode: 1 });
  await t.rejects(site(join(directory, 'index.html/x')), { message: /^cannot read '.*': ENOTDIR/, exitCode: 1 });
  if (process.getuid?.() === 0) return void t.pass('root may read everything');
  chmodSync(join(directory, 'docs'), 0);
  await t.rejects(site(join(directory, 'docs')), { message: /^cannot read '.*docs': EACCES/, exitCode: 1 });
  chmodSync(join(directory, 'docs'), 0o755);
});

test('--compress compresses, also beside --cors', async (t) => {
  const server = serve((await site(directory, '--compress', '--cors')).source);
  const answer = await fetch(`${server.url}/bare/large.txt`, {
    headers: { 'Accept-Encoding': 'gzip', Origin: 'https://a.example' },
  });
  t.equal(answer.headers.get('content-encoding'), 'gzip');
  t.equal(answer.headers.get('access-control-allow-origin'), '*');
  t.equal((await answer.text()).length, 6_000);
  await server.close();
});
