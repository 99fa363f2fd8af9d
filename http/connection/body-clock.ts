/**
 * BodyClock: whether a request body comes fast enough. It runs while the client is to send, and stands while it is to wait.
 *
 * A client that sends a byte now and then could hold a connection for ever; so what counts is the average over all the time
 * that the clock has run, and a cap on that time. A handler that is slow to read stops the clock: that is not the
 * client's fault.
 *
 * Next: context-factory.ts
 */

import type { Timeouts } from '../limits.ts';

/** How often the rate is looked at, once the grace is over. */
const CHECK_MS = 1_000;

const SECOND_MS = 1_000;

export class BodyClock {
  readonly #timeouts: Timeouts;
  /** Up to the last stop. */
  #ranMs = 0;
  /** Since then; -1 while it stands. */
  #runsSince = -1;

  constructor(timeouts: Timeouts) {
    this.#timeouts = timeouts;
  }

  run(nowMs: number): void {
    if (this.#runsSince < 0) this.#runsSince = nowMs;
  }

  stop(nowMs: number): void {
    this.#ranMs = this.#elapsed(nowMs);
    this.#runsSince = -1;
  }

  /** In how many milliseconds to look again; 0 if the body is too slow, or takes too long. */
  nextCheckMs(nowMs: number, receivedBytes: number): number {
    const { bodyMs, bodyGraceMs, bodyMinBytesPerSecond } = this.#timeouts;
    const elapsedMs = this.#elapsed(nowMs);
    if (elapsedMs >= bodyMs) return 0;
    if (elapsedMs < bodyGraceMs) return Math.min(bodyGraceMs, bodyMs) - elapsedMs;
    const due = ((elapsedMs - bodyGraceMs) / SECOND_MS) * bodyMinBytesPerSecond;
    if (receivedBytes === 0 || receivedBytes < due) return 0;
    return Math.min(CHECK_MS, bodyMs - elapsedMs);
  }

  #elapsed(nowMs: number): number {
    return this.#ranMs + (this.#runsSince < 0 ? 0 : nowMs - this.#runsSince);
  }
}
