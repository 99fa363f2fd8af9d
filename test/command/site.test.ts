import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'tap';
import type { CommandOptions } from '../../command/options.ts';
import { parseOptions } from '../../command/options.ts';
import { siteOf } from '../../command/site.ts';
import { inject, serve } from '../../http/index.ts';
import { buildFolder } from '../support/programs.ts';

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
