/**
 * Patience: one time limit for several waits together.
 *
 * A limit for each wait alone does not limit them together: a peer that sends a byte just in time each time could extend them without end.
 */

export class Patience {
  readonly #endsAt: number;

  constructor(limitMs: number) {
    this.#endsAt = performance.now() + limitMs;
  }

  /** The time that is left for the next wait. */
  get leftMs(): number {
    return Math.max(0, Math.ceil(this.#endsAt - performance.now()));
  }
}
