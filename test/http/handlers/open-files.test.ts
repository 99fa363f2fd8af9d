/** OpenFiles: what is kept, for how long and how much of it; and a kernel without openat2. */

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { type OpenFile, OpenFiles, openChosenFile, SETTLING_MS } from '../../../http/handlers/open-files.ts';
import { abi, type Libc, libc } from '../../../simplenet/index.ts';
import { CountingLibc } from '../../support/counting-libc.ts';

const OPTIONS = { followSymlinks: false, maxOpenFiles: 2, revalidateMs: 1_000, siblingEndings: new Map() };

function folderOf(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  for (const name of ['a', 'b', 'c']) writeFileSync(join(folder, name), name);
  return folder;
}

test('as many descriptors as the limit allows; one that is in use outlives its place', async (t) => {
  const counting = new CountingLibc();
  const opened = () => counting.openFds.size;
  const files = new OpenFiles(folderOf(t), OPTIONS, openCounted(counting), () => 0);
  const a = files.open('a') as OpenFile;
  files.open('b')?.release();
  t.equal(files.size, 2);
  t.equal(opened(), 2);
  files.open('c')?.release();
  t.equal(files.size, 2);
  t.equal(opened(), 3, 'a is in use');
  a.release();
  t.equal(opened(), 2);
  files.open('b')?.release(); // now c is the oldest
  for (let i = 0; i < 2; i++) t.equal(files.open('none'), null);
  t.equal(opened(), 1);
  files.close();
  t.equal(opened(), 0);
  t.same(counting.violations, []);
});

/** CountingLibc does not know that openat2 opens. */
function openCounted(counting: CountingLibc): Libc {
  return {
    ...counting.libc,
    openat2(...args) {
      const fd = counting.libc.openat2(...args);
      if (fd >= 0) counting.openFds.add(fd);
      return fd;
    },
  };
}

test('a path is looked at again after revalidateMs, and not before', async (t) => {
  let now = 0;
  const folder = folderOf(t);
  const counting = new CountingLibc();
  const files = new OpenFiles(folder, OPTIONS, counting.libc, () => now);
  t.teardown(() => files.close());
  const read = () => {
    const file = files.open('a');
    file?.release();
    return file?.content?.toString() ?? null;
  };
  t.equal(read(), 'a');
  writeFileSync(join(folder, 'a'), 'another');
  counting.take();
  now = 1_000;
  t.equal(read(), 'a');
  t.same(counting.take(), {}, 'no system call');
  now = 1_001;
  t.equal(read(), 'another');
  now = 2_002;
  t.equal(read(), 'another');
  rmSync(join(folder, 'a'));
  now = -5_000; // the clock was set back
  t.equal(read(), null);
});

test('a directory that goes has no files until another one is there', (t) => {
  const folder = join(folderOf(t), 'dist');
  const make = () => {
    mkdirSync(folder);
    writeFileSync(join(folder, 'a'), 'a');
  };
  make();
  const files = new OpenFiles(folder, { ...OPTIONS, revalidateMs: 0 }, libc, nextMs());
  t.teardown(() => files.close());
  const isThere = () => {
    const file = files.open('a');
    file?.release();
    return file !== null;
  };
  t.ok(isThere());
  rmSync(folder, { recursive: true });
  t.notOk(isThere());
  make();
  t.ok(isThere());
  t.end();
});

/** A clock that goes on by a millisecond each time it is read. */
function nextMs(): () => number {
  let now = 0;
  return () => now++;
}

test('within a second of its change a file has a weak tag, which the next look replaces together with its bytes', async (t) => {
  const folder = folderOf(t);
  const path = join(folder, 'a');
  const tick = new Date('2024-01-02T03:04:05.000Z');
  const write = (text: string) => {
    writeFileSync(path, text);
    utimesSync(path, tick, tick);
  };
  let now = tick.getTime();
  const files = new OpenFiles(folder, { ...OPTIONS, revalidateMs: 100 }, libc, () => now);
  t.teardown(() => files.close());
  const look = () => {
    const file = files.open('a') as OpenFile;
    file.release();
    return { etag: file.etag, text: file.content?.toString() };
  };
  write('one');
  const first = look();
  write('two'); // the same size, time and inode
  now += 101;
  const second = look();
  t.match(
    [first, second],
    [
      { etag: /^W\//, text: 'one' },
      { etag: /^W\//, text: 'two' },
    ],
  );
  t.notSame(first.etag, second.etag);
  now = tick.getTime() + SETTLING_MS - 1;
  t.match(look().etag, /^W\//);
  now += 102;
  const settled = look();
  t.match(settled, { etag: /^"/, text: 'two' });
  now += 101;
  t.same(look(), settled);
  now = tick.getTime() - SETTLING_MS; // a time in the future does not change either
  t.same(look(), settled);
});

test('siblings are opened, counted, looked at again and closed with their file', async (t) => {
  let now = 0;
  const folder = folderOf(t);
  const counting = new CountingLibc();
  const options = { ...OPTIONS, maxOpenFiles: 4, siblingEndings: new Map([['gzip', '.gz']]) };
  const files = new OpenFiles(folder, options, openCounted(counting), () => now);
  const opened = () => counting.openFds.size;
  const look = (path = 'a') => {
    const file = files.open(path);
    file?.release();
    return file;
  };
  const zip = (name: string, content: string) => writeFileSync(join(folder, `${name}.gz`), content);
  const alone = look() as OpenFile;
  t.equal(alone.siblings.size, 0);
  zip('a', 'zipped');
  t.equal(look(), alone, 'not looked at yet');
  now += 1_001;
  const together = look() as OpenFile;
  t.equal(together.siblings.get('gzip')?.content?.toString(), 'zipped');
  t.equal(together.descriptors, 2);
  now += 1_001;
  t.equal(look(), together, 'nothing has changed');
  zip('a', 'zipped again');
  now += 1_001;
  const changed = look() as OpenFile;
  t.equal(changed.siblings.get('gzip')?.content?.toString(), 'zipped again');
  t.equal(opened(), 3, 'with the directory, which the constructor has opened');
  zip('b', 'b');
  look('b'); // five are too many: the directory goes
  t.equal(opened(), 4);
  look('.');
  t.equal(opened(), 3, 'a was used longest ago, and leaves with its sibling');
  utimesSync(join(folder, 'b.gz'), 1, 1);
  now += 1_001;
  t.equal(look('b')?.siblings.size, 0, 'one that is older was made of another version');
  rmSync(join(folder, 'b.gz'));
  mkdirSync(join(folder, 'b.gz'));
  now += 1_001;
  t.equal(look('b')?.siblings.size, 0);
  files.close();
  t.equal(opened(), 0);
});

test('a kernel without openat2 looks where the file is', async (t) => {
  const folder = folderOf(t);
  mkdirSync(join(folder, 'sub'));
  writeFileSync(join(folder, 'sub/x'), 'x');
  symlinkSync('../a', join(folder, 'sub/inside'));
  symlinkSync('/etc', join(folder, 'out'));
  const old: Libc = { ...libc, openat2: () => -abi.ENOSYS };
  for (const followSymlinks of [false, true]) {
    const files = new OpenFiles(folder, { ...OPTIONS, followSymlinks }, old);
    t.teardown(() => files.close());
    const isThere = (path: string) => {
      const file = files.open(path);
      file?.release();
      return file !== null;
    };
    t.equal(isThere('.'), true);
    t.equal(isThere('sub/x'), true);
    t.equal(isThere('sub'), true);
    t.equal(isThere('sub/inside'), followSymlinks);
    for (const path of ['out/passwd', 'out', '..', '../..', 'none']) t.equal(isThere(path), false, path);
  }
  const root = new OpenFiles('/', { ...OPTIONS, followSymlinks: true }, old);
  t.teardown(() => root.close());
  const file = root.open('etc/passwd');
  t.ok(file, 'the root of the file system is a directory like others');
  file?.release();
});

test('what the kernel refuses', async (t) => {
  const folder = folderOf(t);
  let results: number[] = [];
  const refusing: Libc = { ...libc, openat2: (...args) => results.shift() ?? libc.openat2(...args) };
  const files = new OpenFiles(folder, { ...OPTIONS, maxOpenFiles: 0 }, refusing);
  results = [-abi.EMFILE];
  t.throws(() => files.open('a'), { message: /no descriptor left/ });
  results = [-abi.ENFILE];
  t.throws(() => files.open('a'), { message: /no descriptor left/ });
  results = [-abi.EIO];
  t.throws(() => files.open('a'), { code: 'EIO', syscall: 'openat2' });
  results = [-abi.EAGAIN];
  t.equal(files.open('a')?.content?.toString(), 'a');
  results = [-abi.EAGAIN, -abi.EAGAIN];
  t.throws(() => files.open('a'), { code: 'EAGAIN' });
  results = [-abi.EACCES];
  t.equal(files.open('a'), null);
  t.equal(openChosenFile('/dev/null', libc), null, 'a device');
  t.throws(() => openChosenFile('/', { ...libc, open: () => -abi.EMFILE }), { message: /no descriptor left/ });
});

test('a small file that shrinks before it is read is not kept', async (t) => {
  const folder = folderOf(t);
  const shrinking: Libc = { ...libc, pread: () => 0 };
  const files = new OpenFiles(folder, { ...OPTIONS, maxOpenFiles: 0 }, shrinking);
  const file = files.open('a');
  t.equal(file?.content, null);
  file?.release();
});
