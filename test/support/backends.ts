/**
 * The two event loops, for tests that must find no difference between them.
 */

import { IoUring } from '../../simplenet/io-uring/io-uring.ts';

function refusal(): string | false {
  try {
    new IoUring().close();
    return false;
  } catch (error) {
    return `there is no io_uring here: ${(error as Error).message}`;
  }
}

/** For a test's `skip`: why this machine has no io_uring, or false. */
export const noUring = refusal();

export const backends = ['epoll', 'io_uring'] as const;

/** For a test's `skip`: why it cannot be run here on that loop, or false. */
export const missingBackend = { epoll: false as const, io_uring: noUring };

/** Runs the tests of other files once more, on the io_uring loop: in this process, and in those that they start. */
export async function onUring(load: () => Promise<unknown>): Promise<void> {
  if (noUring !== false) {
    const { test } = await import('tap'); // here alone: it would end a program that is no test after 30 s
    test('the same on the io_uring loop', { skip: noUring }, () => {});
    return;
  }
  process.env.SIMPLENET_BACKEND = 'io_uring';
  await load();
}
