/**
 * Interruption: what becomes of a call when a signal arrives in the middle of it, signal(7).
 *
 * A call that answers EINTR has done nothing and is simply made again. Not close(2) and connect(2), which go on without us;
 * and a call with a time limit must be made again with what is left of it, or signals would make it wait for ever.
 *
 * A call that answers EINTR each time, without a signal, is not made again for ever: the caller gets EINTR.
 *
 * Next: this-thread.ts
 */

import { EINTR } from './abi.ts';

/** A call that does not wait leaves no time for signals. */
const MAX_ATTEMPTS = 16;

/** So many interruptions, one behind the other and all within this time, are not the work of signals. */
const MAX_INTERRUPTIONS = 1_000;
const LEAST_MS = 100;

class Interruptions {
  #count = 0;
  #since = performance.now();

  /** Whether one more may be a signal. A profiler sends a thousand a second, for hours. */
  isSignal(): boolean {
    if (++this.#count < MAX_INTERRUPTIONS) return true;
    const now = performance.now();
    const tookMs = now - this.#since;
    this.#count = 0;
    this.#since = now;
    return tookMs >= LEAST_MS;
  }
}

export function retryOnEintr(call: () => number): number {
  const result = call();
  return result === -EINTR ? callAgain(call) : result;
}

/** For calls that do not wait. */
export function tryDespiteEintr(call: () => number): number {
  let result = call();
  for (let attempts = 1; result === -EINTR && attempts < MAX_ATTEMPTS; attempts++) result = call();
  return result;
}

/** For poll(2) and epoll_wait(2): -1 is without limit, and 0 never waits. */
export function waitUninterrupted(timeoutMs: number, call: (leftMs: number) => number): number {
  if (timeoutMs === 0) return tryDespiteEintr(() => call(0));
  const giveUpAt = performance.now() + timeoutMs;
  const result = call(timeoutMs);
  if (result !== -EINTR) return result;
  return callAgain(() => call(timeoutMs < 0 ? timeoutMs : Math.max(0, Math.ceil(giveUpAt - performance.now()))));
}

function callAgain(call: () => number): number {
  const interruptions = new Interruptions();
  let result = -EINTR;
  while (result === -EINTR && interruptions.isSignal()) result = call();
  return result;
}
