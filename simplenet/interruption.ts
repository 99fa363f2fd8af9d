/**
 * Interruption: what becomes of a call when a signal arrives in the middle of it, signal(7).
 *
 * A call that answers EINTR has done nothing and is simply made again. Not close(2) and connect(2), which go on without us;
 * and a call with a time limit must be made again with what is left of it, or signals would make it wait for ever.
 *
 * Next: ip-address.ts
 */

import { EINTR } from './abi.ts';

export function untilUninterrupted(call: () => number): number {
  let result = call();
  while (result === -EINTR) result = call();
  return result;
}

/** For poll(2) and epoll_wait(2): -1 is without limit, and 0 never waits. */
export function waitUninterrupted(timeoutMs: number, call: (leftMs: number) => number): number {
  const giveUpAt = timeoutMs > 0 ? performance.now() + timeoutMs : 0;
  let result = call(timeoutMs);
  while (result === -EINTR) {
    const leftMs = timeoutMs < 0 ? timeoutMs : Math.max(0, Math.ceil(giveUpAt - performance.now()));
    result = call(leftMs);
  }
  return result;
}
