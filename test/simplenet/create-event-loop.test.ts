/**
 * Which loop a program gets, and the error if that loop is not available.
 *
 * Next: open-file-limit.test.ts
 */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'tap';
import { createEventLoop, whyNoUring } from '../../simplenet/create-event-loop.ts';
import { EpollLoop } from '../../simplenet/epoll/epoll-loop.ts';
import { UringLoop } from '../../simplenet/io-uring/uring-loop.ts';
import { EINVAL, EMFILE, ENOMEM, ENOSYS, EPERM } from '../../simplenet/kernel/abi.ts';
import { libc } from '../../simplenet/kernel/libc.ts';
import { noUring } from '../support/backends.ts';

test('the backend is the option, or else the environment, or else auto', {
  skip: noUring,
}, async (t) => {
  const { SIMPLENET_BACKEND } = process.env;
  t.teardown(() => {
    if (SIMPLENET_BACKEND === undefined) delete process.env.SIMPLENET_BACKEND;
    else process.env.SIMPLENET_BACKEND = SIMPLENET_BACKEND;
  });
  const kindOf = (options: Parameters<typeof createEventLoop>[0]) => {
    const loop = createEventLoop(options);
    loop.close();
    return loop.constructor;
  };
  delete process.env.SIMPLENET_BACKEND;
  t.equal(kindOf({}), EpollLoop);
  t.equal(kindOf({ backend: 'auto' }), EpollLoop);
  t.equal(kindOf({ backend: 'io_uring' }), UringLoop);
  process.env.SIMPLENET_BACKEND = 'io_uring';
  t.equal(kindOf({}), UringLoop);
  t.equal(kindOf({ backend: 'epoll' }), EpollLoop);
  process.env.SIMPLENET_BACKEND = 'kqueue';
  t.throws(() => createEventLoop(), {
    name: 'RangeError',
    message: "a backend is one of epoll, auto, io_uring, not 'kqueue'",
  });
  t.throws(() => createEventLoop({ backend: 'toString' as 'auto' }), RangeError);
});

test('the error of an unavailable io_uring says what to do', async (t) => {
  for (const [error, message] of [
    [
      ENOSYS,
      /^the io_uring backend is not available: io_uring_setup ENOSYS: .*\(this kernel has no io_uring, .*epoll backend\)$/,
    ],
    [
      EINVAL,
      /^the io_uring backend is not available: io_uring_setup EINVAL: .*\(this kernel is too old: .*epoll backend\)$/,
    ],
    [EPERM, /^the io_uring backend is not available: io_uring_setup EPERM: .*; use the epoll backend\)$/],
    [ENOMEM, /^the io_uring backend is not available: io_uring_setup ENOMEM: [^;]*$/],
  ] as const) {
    const table = { ...libc, io_uring_setup: () => -error };
    t.throws(() => createEventLoop({ backend: 'io_uring', libc: table }), { message, cause: { errno: -error } });
  }
  t.doesNotThrow(() => createEventLoop({ backend: 'epoll', libc: { ...libc, io_uring_setup: () => -EPERM } }).close());
});

test('other errors are passed on as they are', async (t) => {
  t.throws(() => createEventLoop({ backend: 'epoll', libc: { ...libc, epoll_create1: () => -EMFILE } }), {
    code: 'EMFILE',
    syscall: 'epoll_create1',
  });
  t.throws(() => createEventLoop({ backend: 'io_uring', tickMs: 0 }), /^tickMs must be an integer >= 1/);
});

test('the error says what forbids io_uring', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-uring-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'io_uring_disabled');
  t.match(whyNoUring('EPERM', file), /a seccomp filter/, 'there is no such file');
  for (const [content, reason] of [
    ['0\n', /a seccomp filter forbids it/],
    ['1\n', /io_uring_disabled is 1: only members of kernel\.io_uring_group/],
    ['2\n', /io_uring_disabled is 2: no process/],
  ] as const) {
    writeFileSync(file, content);
    t.match(whyNoUring('EPERM', file), reason);
  }
  t.equal(whyNoUring('EMFILE', file), '');
});
