/**
 * SlowStart: how many times to call accept4(2) or recvfrom(2) in a turn in which the descriptor is ready.
 *
 * Calling until EAGAIN wastes a call on each single connection, which doubles its cost. With one call per turn the last of 512
 * waiting clients waits for 512 turns. So the first turn makes one call, and each turn in a row that finds the descriptor ready
 * again doubles the number, as TCP does with its window. A single connection costs one call, and a crowd is accepted in a few
 * turns.
 *
 * Next: setbacks.ts
 */

export class SlowStart {
  readonly #max: number;
  #limit = 1;
  #lastTurn = Number.NEGATIVE_INFINITY;

  /** `max` limits the calls of one turn. */
  constructor(max: number) {
    this.#max = max;
  }

  /** Calls `step` up to the limit of this turn, or until it returns false because nothing is left. */
  run(turn: number, step: () => boolean): void {
    this.#limit = turn === this.#lastTurn + 1 ? Math.min(this.#limit * 2, this.#max) : 1;
    this.#lastTurn = turn;
    for (let done = 0; done < this.#limit; done++) {
      if (step()) continue;
      this.#limit = Math.max(1, done);
      return;
    }
  }
}
