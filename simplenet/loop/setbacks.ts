/**
 * Setbacks: when to repeat a call that the kernel refuses.
 *
 * Most refusals pass: a signal, or no memory at the moment. Such a call is repeated. But a call that is refused each time must not
 * use a whole core. So after a few attempts in a row there is a pause before the next one, and each pause is twice as long as the
 * one before. The call succeeds at most MAX_PAUSE_MS after the cause has passed.
 *
 * Next: turn.ts
 */

import { EAGAIN, EBADF, EBADR, EBUSY, EFAULT, EINTR, EINVAL, ENOBUFS, ENOMEM, ENOSYS } from '../kernel/abi.ts';

/** A call may be refused so many times in a row before the first pause. A second attempt is rarely needed. */
export const MAX_ATTEMPTS_AT_ONCE = 16;

export const MAX_PAUSE_MS = 256;

/** An error in neither list below (such as EIO) ends the loop if it lasts this long. */
export const MAX_FAILING_MS = 1_000;

const passing: readonly number[] = [-EINTR, -EAGAIN, -ENOMEM, -EBUSY, -ENOBUFS];

/** Errors that end the loop at once. EBADR means that completions were lost, and with them the state of their requests, io_uring_enter(2). */
const endOfLoop: readonly number[] = [-EBADF, -EBADR, -EFAULT, -EINVAL, -ENOSYS];

/** Whether a result says nothing about the connection, so that the call can be repeated. */
export function isPassing(result: number): boolean {
  return passing.includes(result);
}

/** How long to wait before the next attempt, after `attempts` refusals in a row. */
export function pauseMsAfter(attempts: number): number {
  const pauses = attempts - MAX_ATTEMPTS_AT_ONCE;
  return pauses <= 0 ? 0 : Math.min(2 ** (pauses - 1), MAX_PAUSE_MS);
}

/** The setbacks of the call that a whole loop depends on: epoll_wait(2) or io_uring_enter(2). */
export class LoopSetbacks {
  #attempts = 0;
  #firstAt = 0;

  /** How long to wait before the call is repeated; null if the loop has to end. */
  pauseMsAfter(result: number, now: number): number | null {
    if (endOfLoop.includes(result)) return null;
    if (this.#attempts === 0) this.#firstAt = now;
    if (!isPassing(result) && now - this.#firstAt >= MAX_FAILING_MS) return null;
    return pauseMsAfter(++this.#attempts);
  }

  /** The last call was refused. */
  get isGoingOn(): boolean {
    return this.#attempts > 0;
  }

  clear(): void {
    this.#attempts = 0;
  }
}
