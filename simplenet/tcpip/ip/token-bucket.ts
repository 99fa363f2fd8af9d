/**
 * Token bucket: lets so many events per second happen, and after a pause some more at once.
 *
 * It limits what strangers can make us send: ICMP errors here, and in TCP resets and challenge ACKs. Time is an argument.
 *
 * Next: icmp.ts
 */

export class TokenBucket {
  readonly #perMs: number;
  readonly #max: number;
  #tokens: number;
  #filledAt = 0;

  /** `burst` is how many events may happen at once. The bucket begins full. */
  constructor(perSecond: number, burst: number) {
    this.#perMs = perSecond / 1_000;
    this.#max = burst;
    this.#tokens = burst;
  }

  /** Takes `count` tokens if so many are there, and returns whether they were. */
  take(now: number, count = 1): boolean {
    this.#tokens = Math.min(this.#max, this.#tokens + Math.max(0, now - this.#filledAt) * this.#perMs);
    this.#filledAt = now;
    if (this.#tokens < count) return false;
    this.#tokens -= count;
    return true;
  }
}
