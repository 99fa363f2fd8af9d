/**
 * SlowStart: how many times to call accept4(2) or recvfrom(2) when a descriptor is ready, before asking epoll again.
 *
 * Calling until EAGAIN wastes a call on each lone connection, which doubles its price. Calling once per turn makes the
 * last of 512 waiting clients wait for 512 turns. So a turn begins with one call, and each turn in a row that finds the
 * descriptor ready again doubles the number, as TCP does with its window: a lone connection costs one call, a crowd is
 * taken in a few turns.
 *
 * Next: setbacks.ts
 */

export class SlowStart {
  readonly #most: number;
  #limit = 1;
  #lastTurn = Number.NEGATIVE_INFINITY;

  /** `most` bounds the work of one turn. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Calls `step` up to the limit of this turn, or until it answers false: nothing is left. */
  run(turn: number, step: () => boolean): void {
    this.#limit = turn === this.#lastTurn + 1 ? Math.min(this.#limit * 2, this.#most) : 1;
    this.#lastTurn = turn;
    for (let done = 0; done < this.#limit; done++) {
      if (step()) continue;
      this.#limit = Math.max(1, done);
      return;
    }
  }
}
