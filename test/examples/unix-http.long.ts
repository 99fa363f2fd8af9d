/** unix-http: asked by curl, killed, started again, and started where it must not. */

import { existsSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { printsAsInPage } from '../docs/pages.ts';
import { startExample } from '../support/examples.ts';
import { hasProgram, Program } from '../support/programs.ts';

function pathFor(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return join(folder, 'http.sock');
}

async function started(t: Test, path: string): Promise<Program> {
  const server = startExample(t, 'unix-http', path);
  await server.prints(/try: curl --unix-socket \S+ http:\/\/localhost\/hello\n/);
  return server;
}

function curl(path: string, ...options: readonly string[]): Program {
  return new Program('curl', ['-sS', '--max-time', '20', ...options, '--unix-socket', path, 'http://localhost/hello']);
}

test('curl is told who it is', async (t) => {
  const path = pathFor(t);
  const server = await started(t, path);
  t.ok(statSync(path).isSocket());
  t.equal(statSync(path).mode & 0o777, 0o600, 'nobody but the owner may connect');
  if (hasProgram('curl')) {
    const client = curl(path);
    const { stdout, stderr } = await client.ends();
    const you = { pid: client.child.pid, uid: process.getuid?.(), gid: process.getgid?.() };
    t.same(JSON.parse(stdout || '{}'), { path: '/hello', you }, stderr);
    const command = 'curl --unix-socket /tmp/hello.sock http://localhost/hello';
    t.ok(printsAsInPage(command, stdout), 'as docs/examples.md says');
  } else t.pass('skipped: curl is not installed');
  const printed = server.stdout.replace(path, '/tmp/hello.sock');
  t.ok(printsAsInPage('npm run example -- unix-http /tmp/hello.sock', printed), 'as docs/examples.md says');
  server.kill('SIGINT');
  const { code, stderr } = await server.ends();
  t.same([code, stderr], [0, '']);
  t.notOk(existsSync(path), 'and it cleans up');
});

test('other users are kept out', async (t) => {
  if (process.getuid?.() !== 0 || !hasProgram('curl')) return void t.pass('skipped: it takes root, and curl');
  const folder = mkdtempSync('/tmp/simplenet-');
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'http.sock');
  await new Program('chmod', ['755', folder]).ends();
  await started(t, path);
  const nobody = new Program('curl', ['-sS', '--max-time', '20', '--unix-socket', path, 'http://localhost/'], {
    uid: 65_534,
    gid: 65_534,
  });
  const { code, stdout } = await nobody.ends();
  t.same([code, stdout], [7, ''], 'could not connect');
});

test('what a killed server left behind is removed, a living one is not', async (t) => {
  const path = pathFor(t);
  const first = await started(t, path);
  const second = await startExample(t, 'unix-http', path).ends();
  t.match(
    [second.code, second.stderr],
    [1, /^bind EADDRINUSE: [^\n]+ \(the path exists: stop the server that listens there, [^\n]+\)\n$/],
  );
  first.kill('SIGKILL');
  await first.ends();
  t.ok(existsSync(path), 'nobody has removed it');
  await started(t, path);
});

test('files that are no sockets are left alone', async (t) => {
  const path = pathFor(t);
  writeFileSync(path, 'precious');
  const server = await startExample(t, 'unix-http', path).ends();
  t.match([server.code, server.stderr], [1, /^bind EADDRINUSE: [^\n]+\n$/]);
  t.equal(statSync(path).size, 8);
  symlinkSync(path, `${path}.link`);
  t.equal((await startExample(t, 'unix-http', `${path}.link`).ends()).code, 1);
  t.ok(existsSync(`${path}.link`));
});

test('wrong use is told', async (t) => {
  const none = await startExample(t, 'unix-http').ends();
  t.match([none.code, none.stderr], [1, /^Usage: [^\n]+\n$/]);
  const long = await startExample(t, 'unix-http', `/tmp/${'x'.repeat(108)}`).ends();
  t.match([long.code, long.stderr], [1, /^the path of a Unix socket must have at most 107 bytes, not 113: [^\n]+\n$/]);
});
