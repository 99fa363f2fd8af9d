/**
 * AnswerBudget: how many answers per second go to segments that nothing accepts: resets of the whole stack, and challenge ACKs of one
 * connection (RFC 5961 section 7).
 *
 * Two peers whose numbers disagree would otherwise answer each other's ACKs as fast as the network carries them. The challenge ACKs of each connection
 * have a budget of their own: one for the whole stack would show an attacker whether a guess was right (CVE-2016-5696).
 *
 * Next: ack-policy.ts
 */

const SECOND_MS = 1000;

export class AnswerBudget {
  readonly #perSecond: number;
  #left = 0;
  #since = Number.NEGATIVE_INFINITY;

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** Whether one more answer is allowed. It then counts. */
  take(now: number): boolean {
    if (now - this.#since >= SECOND_MS) {
      this.#since = now;
      this.#left = this.#perSecond;
    }
    if (this.#left === 0) return false;
    this.#left--;
    return true;
  }
}
