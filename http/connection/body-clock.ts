/**
 * BodyClock: whether a request body comes fast enough. The clock runs while the connection is read, and stops while it is paused.
 *
 * A client that sends a byte now and then could hold a connection without end. So two things are limited: the average rate over the
 * time that the clock has run beyond `bodyGraceMs`, and that time itself. A body of which nothing has come by then is too slow as well. A handler that reads slowly stops the clock, because the client cannot send then.
 *
 * Next: context-factory.ts
 */

import type { Timeouts } from '../limits.ts';

/** How often the rate is checked after `bodyGraceMs`. */
const CHECK_MS = 1_000;

const SECOND_MS = 1_000;

/** Where there is no room for others, a client must be faster than this. A mobile phone of the slowest kind (GPRS) sends more. */
export const SLOW_BYTES_PER_SECOND = 4_096;

export class BodyClock {
  #timeouts: Timeouts;
  /** How long it had run at the last stop. */
  #ranMs = 0;
  /** When it was started; -1 while it is stopped. */
  #runsSince = -1;

  constructor(timeouts: Timeouts) {
    this.#timeouts = timeouts;
  }

  useTimeouts(timeouts: Timeouts): void {
    this.#timeouts = timeouts;
  }

  run(nowMs: number): void {
    if (this.#runsSince < 0) this.#runsSince = nowMs;
  }

  stop(nowMs: number): void {
    this.#ranMs = this.#elapsed(nowMs);
    this.#runsSince = -1;
  }

  /** Returns in how many milliseconds to check again; 0 if the body is too slow or takes too long. */
  nextCheckMs(nowMs: number, receivedBytes: number): number {
    const { bodyMs, bodyGraceMs, bodyMinBytesPerSecond } = this.#timeouts;
    const elapsedMs = this.#elapsed(nowMs);
    if (elapsedMs >= bodyMs) return 0;
    if (elapsedMs < bodyGraceMs) return Math.min(bodyGraceMs, bodyMs) - elapsedMs;
    const due = ((elapsedMs - bodyGraceMs) / SECOND_MS) * bodyMinBytesPerSecond;
    if (receivedBytes === 0 || receivedBytes < due) return 0;
    return Math.min(CHECK_MS, bodyMs - elapsedMs);
  }

  /** How much longer it has run than a client needs that sends SLOW_BYTES_PER_SECOND. */
  behindMs(nowMs: number, receivedBytes: number): number {
    return this.#elapsed(nowMs) - (receivedBytes / SLOW_BYTES_PER_SECOND) * SECOND_MS;
  }

  #elapsed(nowMs: number): number {
    return this.#ranMs + (this.#runsSince < 0 ? 0 : nowMs - this.#runsSince);
  }
}
