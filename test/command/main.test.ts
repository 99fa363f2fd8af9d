/** The command as a process: what only that shows. */

import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'tap';
import { buildFolder, Program } from '../support/programs.ts';

const main = join(buildFolder, 'command/main.js');
const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

test('it can be started by its path, and ends with the exit code', async (t) => {
  t.ok(statSync(main).mode & 0o100, 'the build makes it executable');
  const { code, stderr } = await new Program(main, ['--nothing'], { isCounted: true }).ends();
  t.equal(code, 2);
  t.match(stderr, /^simplenet: unknown option '--nothing' /);
});

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
