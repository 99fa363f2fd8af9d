/**
 * TimerList: the deadlines of all connections of a stack. Pure: the owner asks for the earliest one, and has a single alarm for it.
 *
 * Setting a deadline is an assignment and a comparison, because nearly all are replaced before they pass. So `earliestAt` may be too early: when it
 * has come, `expire` finds nothing due, and looks for the next one.
 *
 * Next: connection-table.ts
 */

const NEVER = Number.POSITIVE_INFINITY;

/** Only TimerList writes the two fields. */
export interface Timed {
  /** Infinity: none. */
  deadlineAt: number;
  /** The index in the list, or -1. */
  timerSlot: number;
}

export class TimerList<T extends Timed> {
  readonly #timed: T[] = [];
  #earliestAt = NEVER;

  /** No deadline lies before this. */
  get earliestAt(): number {
    return this.#earliestAt;
  }

  /** Sets, moves or, with Infinity, removes the deadline. */
  set(timed: T, at: number): void {
    timed.deadlineAt = at;
    if (at === NEVER) {
      this.#remove(timed);
      return;
    }
    if (timed.timerSlot < 0) timed.timerSlot = this.#timed.push(timed) - 1;
    if (at < this.#earliestAt) this.#earliestAt = at;
  }

  /** Takes each object whose deadline is not later than `now` out of the list, and then passes them to `onDue`. */
  expire(now: number, onDue: (timed: T) => void): void {
    if (this.#earliestAt > now) return;
    const due: T[] = [];
    this.#earliestAt = NEVER;
    for (const timed of this.#timed) {
      if (timed.deadlineAt <= now) due.push(timed);
      else if (timed.deadlineAt < this.#earliestAt) this.#earliestAt = timed.deadlineAt;
    }
    for (const timed of due) this.#remove(timed);
    for (const timed of due) onDue(timed);
  }

  #remove(timed: T): void {
    const slot = timed.timerSlot;
    if (slot < 0) return;
    timed.timerSlot = -1;
    timed.deadlineAt = NEVER;
    const last = this.#timed.pop() as T;
    if (last === timed) return;
    this.#timed[slot] = last;
    last.timerSlot = slot;
  }
}
