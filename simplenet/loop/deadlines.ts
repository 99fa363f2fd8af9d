/**
 * Deadlines: the deadlines of all connections of a loop, with one alarm.
 *
 * A server sets a deadline at least twice per request, and nearly all deadlines are replaced before they pass, so a timer for each
 * would be wasted work. Here setting a deadline is an assignment and a comparison. One coarse alarm is set for the earliest
 * deadline. It rings up to one tick late, and never early.
 *
 * The alarm itself ends no connection: the client may have sent its bytes in time, and they lie in the kernel because a handler held
 * the thread. So the alarm asks the loop to look at its sockets (`onDue`), and the loop calls `judge`,
 * which checks all deadlines, afterwards. All times here
 * are active time (active-clock.ts).
 *
 * Next: turn-budget.ts
 */

import type { ActiveClock } from './active-clock.ts';
import type { Alarm, Host } from './host.ts';

/** An object with at most one deadline. Only Deadlines writes the two fields. */
export interface Timed {
  /** The deadline in active time; Infinity if there is none. */
  deadlineAt: number;
  /** Its index in the list of Deadlines, or -1. */
  deadlineSlot: number;
  /** `now` is the active time of the turn. */
  onDeadline(now: number): void;
}

export class Deadlines {
  readonly #host: Host;
  readonly #clock: ActiveClock;
  readonly #tickMs: number;
  readonly #onDue: () => void;
  readonly #timed: Timed[] = [];
  #alarm: Alarm | null = null;
  #alarmAt = Number.POSITIVE_INFINITY;
  #isDue = false;

  /** `onDue` is called when deadlines may have passed. */
  constructor(host: Host, clock: ActiveClock, tickMs: number, onDue: () => void) {
    this.#host = host;
    this.#clock = clock;
    this.#tickMs = tickMs;
    this.#onDue = onDue;
  }

  /** Whether the alarm has rung and `judge` has not been called since. */
  get isDue(): boolean {
    return this.#isDue;
  }

  /** When the alarm rings, or rang if it is due. Infinity without an alarm. */
  get alarmAt(): number {
    return this.#alarmAt;
  }

  /** Sets or moves the deadline of `timed`. Infinity removes it. */
  set(timed: Timed, at: number): void {
    timed.deadlineAt = at;
    if (timed.deadlineSlot < 0) {
      if (at === Number.POSITIVE_INFINITY) return;
      timed.deadlineSlot = this.#timed.push(timed) - 1;
    }
    if (at < this.#alarmAt) this.#setAlarm(at);
  }

  /** Removes `timed` from the list, before it is disposed of. */
  remove(timed: Timed): void {
    timed.deadlineAt = Number.POSITIVE_INFINITY;
    const slot = timed.deadlineSlot;
    if (slot < 0) return;
    timed.deadlineSlot = -1;
    const last = this.#timed.pop() as Timed;
    if (last === timed) return;
    this.#timed[slot] = last;
    last.deadlineSlot = slot;
  }

  /** Calls `onDeadline` of each object whose deadline is not later than `now`. */
  judge(now: number): void {
    this.close();
    let next = Number.POSITIVE_INFINITY;
    const expired: Timed[] = [];
    for (const timed of this.#timed) {
      if (timed.deadlineAt <= now) expired.push(timed);
      else if (timed.deadlineAt < next) next = timed.deadlineAt;
    }
    if (next !== Number.POSITIVE_INFINITY) this.#setAlarm(next);
    // Last, because a callback may set and remove deadlines, those of expired objects included. So each is checked again.
    for (const timed of expired) {
      if (timed.deadlineAt > now) continue;
      timed.deadlineAt = Number.POSITIVE_INFINITY;
      timed.onDeadline(now);
    }
  }

  close(): void {
    this.#alarm?.cancel();
    this.#alarm = null;
    this.#alarmAt = Number.POSITIVE_INFINITY;
    this.#isDue = false;
  }

  /**
   * The alarm is moved only to an earlier time. If its deadline was replaced by a later one, it rings, finds nothing due, and is set
   * again. An alarm that rings within the next tick stays, too: otherwise deadlines set again and again would put it off without end.
   */
  #setAlarm(at: number): void {
    if (this.#isDue) return; // `judge` will check all deadlines
    const now = this.#clock.at(this.#host.now());
    const alarmAt = Math.max(at, now + this.#tickMs);
    if (alarmAt >= this.#alarmAt) return;
    this.#alarm?.cancel();
    this.#alarmAt = alarmAt;
    this.#alarm = this.#host.alarm(alarmAt - now, () => this.#ring());
  }

  /** Leaves `#alarmAt` as it is: the loop computes from it how late the next turn is. */
  #ring(): void {
    this.#alarm = null;
    this.#isDue = true;
    this.#onDue();
  }
}
