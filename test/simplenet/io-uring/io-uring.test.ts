/**
 * The ring on the real kernel: requests are done, none is lost when a ring is full, and errors say what is not available.
 *
 * Next: buffer-ring.test.ts
 */

import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { IoUring, type IoUringOptions } from '../../../simplenet/io-uring/io-uring.ts';
import {
  EAGAIN,
  EBADF,
  EBUSY,
  ECANCELED,
  EINTR,
  EINVAL,
  EMFILE,
  ENOMEM,
  EPERM,
  EPOLLIN,
  EPOLLOUT,
  ETIME,
  IORING_REGISTER_PROBE,
} from '../../../simplenet/kernel/abi.ts';
import { libc } from '../../../simplenet/kernel/libc.ts';
import { waitLimit } from '../../../simplenet/kernel/libc-memory.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import { noUring } from '../../support/backends.ts';
import { connectedPair } from '../../support/connected-pair.ts';
import { CountingLibc } from '../../support/counting-libc.ts';
import { Program } from '../../support/programs.ts';

const skip = noUring;

function open(t: Test, options: IoUringOptions = {}): IoUring {
  const ring = new IoUring(options);
  t.teardown(() => ring.close());
  return ring;
}

/** The next completion, for which it waits: its tag and its result. */
function next(ring: IoUring): [tag: number, result: number] {
  if (!ring.take()) {
    ring.freeTaken();
    ring.submit(1);
    if (!ring.take()) throw new Error('no completion');
  }
  return [ring.completion.tag, ring.completion.result];
}

/** Without its cancellations, which nobody waits for. */
function nextOf(ring: IoUring, fd: number): [tag: number, result: number] {
  for (;;) {
    const found = next(ring);
    if (ring.completion.fd === fd) return found;
  }
}

test('files: read and write, also at offsets beyond 4 GiB and at the position of the file', { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-uring-'));
  const fd = openSync(join(folder, 'sparse'), 'w+');
  t.teardown(() => {
    closeSync(fd);
    rmSync(folder, { recursive: true });
  });
  const ring = open(t);
  const bytes = Buffer.from('far away');
  const far = 5 * 2 ** 30 + 7;
  ring.write(fd, 1, libc.addressOf(bytes, 0, bytes.length), bytes.length, far);
  t.same(next(ring), [1, bytes.length]);
  ring.write(fd, 2, libc.addressOf(bytes, 0, bytes.length), 3, -1);
  t.same(next(ring), [2, 3]);
  const room = Buffer.alloc(20);
  ring.read(fd, 3, libc.addressOf(room, 0, room.length), room.length, far);
  t.same(next(ring), [3, bytes.length]);
  t.equal(room.toString('latin1', 0, bytes.length), 'far away');
  ring.read(fd, 4, libc.addressOf(room, 0, room.length), 3, 0);
  t.same(next(ring), [4, 3]);
  t.equal(room.toString('latin1', 0, 3), 'far');
});

test('a request that is cancelled ends with ECANCELED, and only that one', { skip }, async (t) => {
  const ring = open(t);
  const { ours, theirs } = connectedPair(t);
  ring.poll(ours.fd, 1, EPOLLIN);
  ring.poll(ours.fd, 2, EPOLLIN);
  ring.submit();
  ring.cancel(ours.fd, 1);
  t.same(nextOf(ring, ours.fd), [1, -ECANCELED]);
  theirs.write(Buffer.from('x'));
  t.same(nextOf(ring, ours.fd), [2, EPOLLIN]);
});

test('more requests than fit are handed over in between', { skip }, async (t) => {
  const ring = open(t, { entries: 2, completions: 64 });
  const { ours } = connectedPair(t);
  for (let i = 0; i < 20; i++) ring.poll(ours.fd, i, EPOLLOUT);
  t.ok(ring.unsubmitted <= 2);
  const tags = Array.from({ length: 20 }, () => next(ring)[0]);
  t.same(
    tags.sort((a, b) => a - b),
    Array.from({ length: 20 }, (_, i) => i),
  );
});

test('a kernel that takes none of them: they wait, in their order, however many there are', { skip }, async (t) => {
  const table = { ...libc };
  const ring = open(t, { entries: 4, completions: 512, libc: table });
  const { ours } = connectedPair(t);
  for (const count of [4, 5, 9, 200]) {
    for (const answer of [-EBUSY, -EAGAIN, -EINTR, -ENOMEM]) {
      table.io_uring_enter = () => answer;
      for (let tag = 0; tag < count; tag++) ring.poll(ours.fd, tag, EPOLLOUT);
      t.equal(ring.unsubmitted, count);
      t.equal(ring.trySubmit(), answer);
      t.doesNotThrow(() => ring.submit());
      table.io_uring_enter = () => -EBADF;
      t.throws(() => ring.submit(), { code: 'EBADF', syscall: 'io_uring_enter' });
      table.io_uring_enter = libc.io_uring_enter;
      t.equal(ring.trySubmit(), 0);
      t.equal(ring.unsubmitted, 0);
      const results = Array.from({ length: count }, () => next(ring));
      t.same(
        results,
        results.map((_, tag) => [tag, EPOLLOUT]),
      );
    }
  }
});

test('requests that wait for room keep their addresses', { skip }, async (t) => {
  const table = { ...libc };
  const ring = open(t, { entries: 1, libc: table });
  const { ours, theirs } = connectedPair(t);
  table.io_uring_enter = () => -ENOMEM;
  const bytes = Buffer.alloc(30).fill('abc');
  for (let at = 0; at < 30; at += 3) ring.send(ours.fd, at, libc.addressOf(bytes, at, 3), 3);
  ring.cancel(ours.fd, 99);
  table.io_uring_enter = libc.io_uring_enter;
  ring.submit();
  for (let at = 0; at < 30; at += 3) t.same(nextOf(ring, ours.fd), [at, 3]);
  const room = Buffer.alloc(40);
  t.equal(room.toString('latin1', 0, theirs.read(room)), bytes.toString());
});

test('a wait ends after its time, and when a signal interrupts it: neither is an error', { skip }, async (t) => {
  const table = { ...libc };
  const ring = open(t, { libc: table });
  const startedAt = performance.now();
  t.equal(ring.trySubmit(1, 30), 0);
  t.ok(performance.now() - startedAt >= 29);
  const { ours, theirs } = connectedPair(t);
  ring.poll(ours.fd, 1, EPOLLIN);
  ring.poll(theirs.fd, 2, EPOLLOUT);
  t.equal(ring.trySubmit(1, 600_000), 0, 'or when there is a completion');
  t.same(next(ring), [2, EPOLLOUT]);
  for (const result of [-EINTR, -ETIME]) {
    table.io_uring_enter = () => result;
    t.equal(ring.trySubmit(1, 30), 0);
    t.equal(ring.trySubmit(), result, 'without a wait it is one');
  }
  table.io_uring_enter = libc.io_uring_enter;
});

test('the time is a struct __kernel_timespec', async (t) => {
  const timeOf = (ms: number) => {
    const { buffer } = waitLimit(ms);
    const struct = new DataView(buffer);
    return [struct.getBigInt64(24, true), struct.getBigInt64(32, true)];
  };
  t.same(timeOf(20), [0n, 20_000_000n]);
  t.same(timeOf(2_999), [2n, 999_000_000n]);
  t.same(timeOf(0), [0n, 0n]);
});

test('a ring that is closed takes nothing, and does not fail', { skip }, async (t) => {
  const ring = open(t, { entries: 2 });
  ring.close();
  t.equal(ring.trySubmit(), 0);
});

test('a success that waits to be taken is found, and nothing else is', { skip }, async (t) => {
  const ring = open(t);
  const { ours, theirs } = connectedPair(t);
  ring.poll(ours.fd, 1, EPOLLIN);
  ring.poll(ours.fd, 2, EPOLLOUT);
  ring.poll(theirs.fd, 3, EPOLLOUT);
  ring.cancel(ours.fd, 1);
  t.notOk(ring.hasSuccessOf(ours.fd, 2), 'not handed over');
  ring.submit(4);
  t.ok(ring.hasSuccessOf(ours.fd, 2));
  t.ok(ring.hasSuccessOf(theirs.fd, 3), 'it is not the first that waits');
  t.notOk(ring.hasSuccessOf(ours.fd, 1), 'it was cancelled');
  t.notOk(ring.hasSuccessOf(ours.fd, 3), 'of another descriptor');
  while (ring.take());
  t.notOk(ring.hasSuccessOf(ours.fd, 2), 'taken');
});

test('more completions than fit are kept by the kernel, and none is lost', { skip }, async (t) => {
  const ring = open(t, { entries: 4, completions: 4 });
  const { ours } = connectedPair(t);
  const COUNT = 50;
  for (let i = 0; i < COUNT; i++) ring.poll(ours.fd, i, EPOLLOUT);
  ring.submit();
  const tags: number[] = [];
  while (ring.hasNews) {
    let inThisRound = 0;
    while (ring.take()) {
      tags.push(ring.completion.tag);
      inThisRound++;
    }
    t.ok(inThisRound <= 4);
    ring.freeTaken();
    ring.submit();
  }
  t.same(
    tags,
    Array.from({ length: COUNT }, (_, i) => i),
    'in order',
  );
});

test('the bell rings when it is set, and not while it is silent', { skip }, async (t) => {
  const ring = open(t);
  const { ours, theirs } = connectedPair(t);
  const isRinging = () => new NetSocket(ring.bell.fd).wait('readable', 0);
  ring.poll(ours.fd, 1, EPOLLIN);
  ring.submit();
  theirs.write(Buffer.from('x'));
  t.ok(isRinging(), 'the kernel rings before it has done its part');
  t.ok(ring.hasNews);
  t.same(next(ring), [1, EPOLLIN]);
  ring.setBell();
  t.notOk(isRinging());
  t.notOk(ring.hasNews);
  ring.silenceBell();
  ring.poll(ours.fd, 2, EPOLLIN);
  ring.submit();
  t.notOk(isRinging(), 'there was something, and nothing rang');
  t.ok(ring.hasNews);
});

test('a process that ends while its ring is open ends in peace', { skip }, async (t) => {
  const program = Program.script(
    `
    const { IoUring } = await import(build + '/simplenet/index.js');
    new IoUring();
    process.exit(0);`,
    { isCounted: true },
  );
  t.match(await program.ends(), { code: 0, signal: null, stdout: '', stderr: '' });
});

test('a closed ring has no news, and is closed once', { skip }, async (t) => {
  const counting = new CountingLibc();
  const ring = new IoUring({ libc: counting.libc });
  t.equal(counting.openFds.size, 2);
  ring.close();
  ring.close();
  t.notOk(ring.hasNews);
  t.notOk(ring.take());
  t.notOk(ring.hasSuccessOf(0, 0));
  ring.freeTaken();
  t.equal(counting.openFds.size, 0);
  t.same(counting.violations, []);
});

test('if io_uring is not available, the constructor says why and leaves nothing open', { skip }, async (t) => {
  const FEATURES_AT = 20;
  const failures: Readonly<Record<string, [Partial<typeof libc>, { code: string; syscall: string }]>> = {
    'it is forbidden': [{ io_uring_setup: () => -EPERM }, { code: 'EPERM', syscall: 'io_uring_setup' }],
    'no descriptor is left for the bell': [{ eventfd: () => -EMFILE }, { code: 'EMFILE', syscall: 'eventfd' }],
    'a feature is missing': [
      {
        io_uring_setup(entries, params) {
          const fd = libc.io_uring_setup(entries, params);
          params.fill(0, FEATURES_AT, FEATURES_AT + 4);
          counting.openFds.add(fd);
          return fd;
        },
      },
      { code: 'EINVAL', syscall: 'io_uring_setup' },
    ],
    'an operation is missing': [
      {
        io_uring_register: (fd, operation, argument, count) =>
          operation === IORING_REGISTER_PROBE ? 0 : libc.io_uring_register(fd, operation, argument, count),
      },
      { code: 'EINVAL', syscall: 'io_uring_register' },
    ],
    'it cannot be asked what it can do': [
      { io_uring_register: () => -EINVAL },
      { code: 'EINVAL', syscall: 'io_uring_register' },
    ],
    'no memory is left': [{ mmap: () => -ENOMEM }, { code: 'ENOMEM', syscall: 'mmap' }],
  };
  let counting = new CountingLibc();
  for (const [what, [answers, error]] of Object.entries(failures)) {
    counting = new CountingLibc();
    t.throws(() => new IoUring({ libc: { ...counting.libc, ...answers } }), error, what);
    t.equal(counting.openFds.size, 0, what);
    t.same(
      counting.violations.filter((call) => call !== `close(${-EMFILE})`),
      [],
      what,
    );
  }
});
