/** The command as a process: what only that shows. */

import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'tap';
import { buildFolder, Program } from '../support/programs.ts';
import { until } from '../support/waiting.ts';

const main = join(buildFolder, 'command/main.js');
const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

test('it can be started by its path, and ends with the exit code', async (t) => {
  t.ok(statSync(main).mode & 0o100, 'the build makes it executable');
  const { code, stderr } = await new Program(main, ['--nothing'], { isCounted: true }).ends();
  t.equal(code, 2);
  t.match(stderr, /^simplenet: unknown option '--nothing' /);
});

test('it goes on serving when its outputs break', async (t) => {
  const site = join(folder, 'mute.mjs');
  writeFileSync(site, "export default (_request, response) => response.text('hello');");
  const gone = new Program(main, [site, '--port', '0'], { isCounted: true });
  t.teardown(() => gone.kill());
  const [url] = await gone.prints(/^http:.*(?=\n)/);
  for (const output of [gone.child.stdout, gone.child.stderr]) output?.destroy(); // the reader has gone: EPIPE
  for (let i = 0; i < 3; i++) t.equal(await (await fetch(url)).text(), 'hello');
  gone.kill('SIGTERM');
  t.equal((await gone.ends()).code, 0);

  const path = join(folder, 'full');
  const full = new Program('sh', ['-c', `exec ${main} ${site} --unix ${path} >/dev/full 2>/dev/full`]);
  t.teardown(() => full.kill());
  await until(() => existsSync(path));
  for (let i = 0; i < 3; i++) t.equal(await helloAt(path), 'hello');
  full.kill('SIGTERM');
  t.equal((await full.ends()).code, 0);
});

async function helloAt(socketPath: string): Promise<string> {
  const [response] = (await once(get({ socketPath }), 'response')) as [IncomingMessage];
  return text(response);
}

test('Ctrl-C ends the process, and whatever the module holds', async (t) => {
  const site = join(folder, 'site.mjs');
  writeFileSync(site, "setInterval(() => {}, 1_000); export default (_request, response) => response.text('hello');");
  const path = join(folder, 'socket');
  const server = new Program(process.execPath, [main, site, '--unix', path]);
  t.teardown(() => server.kill());
  await server.prints(/^unix:.*socket\n$/);
  t.ok(existsSync(path));
  server.kill('SIGINT');
  const { code, stdout, stderr } = await server.ends();
  t.equal(code, 0);
  t.equal(stdout, `unix:${path}\n`);
  t.match(stderr, /╯\nStopping\.\n$/);
  t.notOk(existsSync(path));
});
