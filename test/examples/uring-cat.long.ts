/** uring-cat: files of every size, pipes that take a little at a time, and what it says where it cannot. */

import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Test, test } from 'tap';
import { IoUring, SystemError } from '../../simplenet/index.ts';
import { commandOf, runExample, runExampleWith, startExample, waitsIn } from '../support/examples.ts';
import { missing, Program } from '../support/programs.ts';

const BUFFER_BYTES = 64 * 1024;

/** Why there is nothing to be tested here, or false. */
function refusal(): string | false {
  try {
    new IoUring({ entries: 1, completions: 2 }).close();
    return false;
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    return error.message;
  }
}

const skip = refusal();

/** A file with that text in it. */
function file(t: Test, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'uring-cat-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'file');
  writeFileSync(path, text);
  return path;
}

/** Text that no two parts of are alike, so that nothing can be lost or swapped unseen. */
function text(byteLength: number): string {
  return randomBytes(Math.ceil(byteLength / 2))
    .toString('hex')
    .slice(0, byteLength);
}

test('a file comes out as it is, be it empty, a buffer long, or many', { skip }, async (t) => {
  for (const byteLength of [0, 1, BUFFER_BYTES - 1, BUFFER_BYTES, BUFFER_BYTES + 1, 1_000_000]) {
    const content = text(byteLength);
    const { code, stdout, stderr } = await runExample('uring-cat', file(t, content)).ends();
    t.same([code, stderr], [0, '']);
    t.ok(stdout === content, `${byteLength} bytes`);
  }
});

test('a pipe that is read slowly gets every byte', { skip }, async (t) => {
  const content = text(300_000);
  const script = '"$0" "$@" | { sleep 0.3; cat; }';
  const { code, stdout } = await new Program('sh', ['-c', script, ...commandOf('uring-cat', file(t, content))]).ends();
  t.equal(code, 0);
  t.ok(stdout === content);
});

test('it waits even where read(2) and write(2) would not, O_NONBLOCK', {
  skip: skip || missing('python3'),
}, async (t) => {
  const script = `
import os, subprocess, sys, time
out, into = os.pipe(), os.pipe()
for fd in into[0], out[1]: os.set_blocking(fd, False)
cat = subprocess.Popen(sys.argv[1:], stdin=into[0], stdout=out[1])
os.close(into[0])
os.close(out[1])
time.sleep(0.3)
os.write(into[1], b'a' * 65536)
time.sleep(0.3)
os.write(into[1], b'b' * 65536)
os.close(into[1])
time.sleep(0.3)
got = b''
while True:
  more = os.read(out[0], 4096)
  if not more: break
  got += more
print(got == b'a' * 65536 + b'b' * 65536, cat.wait())
`;
  const { stdout, stderr } = await new Program('python3', ['-c', script, ...commandOf('uring-cat')]).ends();
  t.same([stdout, stderr], ['True 0\n', '']);
});

test('without a name it copies its standard input', { skip }, async (t) => {
  const cat = startExample(t, 'uring-cat');
  cat.child.stdin?.write('one\n');
  await cat.prints(/^one\n$/);
  cat.child.stdin?.end('two\n');
  const { code, stdout } = await cat.ends();
  t.same([code, stdout], [0, 'one\ntwo\n']);
});

test('Ctrl-C ends it while it waits for the kernel', { skip }, async (t) => {
  const cat = startExample(t, 'uring-cat');
  cat.child.stdin?.write('one\n');
  await cat.prints(/one/);
  if (!(await waitsIn(cat.child.pid as number, 'io_uring_enter'))) await sleep(200);
  cat.kill('SIGINT');
  const { code, signal, stderr } = await cat.ends();
  t.same([code, signal, stderr], [null, 'SIGINT', '']);
});

test('what cannot be read, or written, is told in one line', { skip }, async (t) => {
  const absent = await runExample('uring-cat', '/no/such/file').ends();
  t.same([absent.code, absent.stdout], [1, '']);
  t.equal(absent.stderr, 'open ENOENT: no such file or directory /no/such/file\n');
  const folder = await runExample('uring-cat', '/').ends();
  t.same([folder.code, folder.stdout], [1, '']);
  t.equal(folder.stderr, 'read EISDIR: illegal operation on a directory /\n');
  const full = await new Program('sh', ['-c', '"$0" "$@" >/dev/full', ...commandOf('uring-cat', file(t, 'x'))]).ends();
  t.same([full.code, full.stderr], [1, 'write ENOSPC: no space left on device\n']);
});

test('where there is no io_uring it says so', async (t) => {
  const path = join(mkdtempSync(join(tmpdir(), 'uring-cat-')), 'socketd');
  t.teardown(() => rmSync(join(path, '..'), { recursive: true }));
  const daemon = startExample(t, 'socketd', path); // whose table of system calls knows none of io_uring
  await daemon.prints(/are owned by process/);
  const { code, stderr } = await runExampleWith({ SIMPLENET_SOCKETD: path }, 'uring-cat', path).ends();
  t.equal(code, 1);
  t.equal(stderr, 'there is no io_uring for this program: io_uring_setup ENOSYS: function not implemented\n');
});
