/**
 * Patience: one time limit for several waits together.
 *
 * A limit for each wait alone is none for all of them: a peer that sends a byte whenever it runs out would be waited for without end.
 */

export class Patience {
  readonly #giveUpAt: number;

  constructor(limitMs: number) {
    this.#giveUpAt = performance.now() + limitMs;
  }

  /** What is left, for the next wait. */
  get leftMs(): number {
    return Math.max(0, Math.ceil(this.#giveUpAt - performance.now()));
  }
}
