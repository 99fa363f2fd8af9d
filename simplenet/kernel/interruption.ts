/**
 * Interruption: makes a call again when a signal has interrupted it, signal(7).
 *
 * A call that returns EINTR has done nothing, so it can be made again. Two calls must not be, because they take effect all the
 * same: close(2), and connect(2) of a TCP socket. A call with a time limit is made again with the rest of the time, or signals could make it wait without end.
 *
 * A call that keeps returning EINTR although there is no signal is not repeated without end: the caller gets EINTR.
 *
 * Next: this-thread.ts
 */

import { EINTR } from './abi.ts';

/** For a call that does not wait. It is short, so signals interrupt it rarely. */
const MAX_ATTEMPTS = 16;

/** This many interruptions in a row in less than this time do not come from signals. */
const MAX_INTERRUPTIONS = 1_000;
const MIN_INTERRUPTIONS_MS = 100;

class Interruptions {
  #count = 0;
  #since = performance.now();

  /** Counts an interruption, and returns whether it may come from a signal: a profiler may send a thousand a second, for hours. */
  countAndJudge(): boolean {
    if (++this.#count < MAX_INTERRUPTIONS) return true;
    const now = performance.now();
    const tookMs = now - this.#since;
    this.#count = 0;
    this.#since = now;
    return tookMs >= MIN_INTERRUPTIONS_MS;
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

/** For poll(2) and epoll_wait(2). A `timeoutMs` of -1 waits without limit, 0 does not wait. */
export function waitUninterrupted(timeoutMs: number, call: (leftMs: number) => number): number {
  if (timeoutMs === 0) return tryDespiteEintr(() => call(0));
  const endsAt = performance.now() + timeoutMs;
  const result = call(timeoutMs);
  if (result !== -EINTR) return result;
  return callAgain(() => call(timeoutMs < 0 ? timeoutMs : Math.max(0, Math.ceil(endsAt - performance.now()))));
}

function callAgain(call: () => number): number {
  const interruptions = new Interruptions();
  let result = -EINTR;
  while (result === -EINTR && interruptions.countAndJudge()) result = call();
  return result;
}
