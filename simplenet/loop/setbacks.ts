/**
 * Setbacks: what becomes of a call that the kernel refuses again and again.
 *
 * Most refusals pass: a signal, no memory for the moment. Such a call is made again. But a call that is refused each time must not take
 * the whole processor, so after a few attempts in a row there is a pause before the next, and each pause is twice as long as the one
 * before. Within MAX_PAUSE_MS after the kernel has come to itself, all goes on.
 *
 * Next: turn.ts
 */

import { EAGAIN, EBADF, EBADR, EBUSY, EFAULT, EINTR, EINVAL, ENOBUFS, ENOMEM, ENOSYS } from '../kernel/abi.ts';

/** Attempts in a row before the first pause. A real kernel hardly ever needs two. */
export const MAX_ATTEMPTS_AT_ONCE = 16;

export const MAX_PAUSE_MS = 256;

/** How long an error that nobody has foreseen (EIO) may last, before it counts as the end of the loop. */
export const MAX_FAILING_MS = 1_000;

const passing: readonly number[] = [-EINTR, -EAGAIN, -ENOMEM, -EBUSY, -ENOBUFS];

/** The loop itself is lost. EBADR: completions are, so nobody knows any more what becomes of its requests, io_uring_enter(2). */
const endOfLoop: readonly number[] = [-EBADF, -EBADR, -EFAULT, -EINVAL, -ENOSYS];

/** Whether that answer to a call says nothing about its subject, so that the call can be made again. */
export function isPassing(result: number): boolean {
  return passing.includes(result);
}

/** How long to wait before the next attempt, after so many in vain. */
export function pauseMsAfter(attempts: number): number {
  const pauses = attempts - MAX_ATTEMPTS_AT_ONCE;
  return pauses <= 0 ? 0 : Math.min(2 ** (pauses - 1), MAX_PAUSE_MS);
}

/** Those of the one call on which a whole loop rests: epoll_wait(2) or io_uring_enter(2). */
export class LoopSetbacks {
  #attempts = 0;
  #firstAt = 0;

  /** How long to wait before the call is made again; null where that would be of no use. */
  pauseMsAfter(result: number, now: number): number | null {
    if (endOfLoop.includes(result)) return null;
    if (this.#attempts === 0) this.#firstAt = now;
    if (!isPassing(result) && now - this.#firstAt >= MAX_FAILING_MS) return null;
    return pauseMsAfter(++this.#attempts);
  }

  /** The call has succeeded. */
  clear(): void {
    this.#attempts = 0;
  }
}
