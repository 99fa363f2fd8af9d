/**
 * Deadlines: a thousand connections that may each run out of time, and one alarm.
 *
 * A server sets a deadline at least twice per request, and nearly all of them are replaced before they pass. A timer
 * each would be work for nothing. So setting one is an assignment and a comparison; one coarse alarm, set for the
 * earliest of them, walks over all that have one. It fires up to one tick late and never early.
 *
 * The alarm itself ends nobody's wait. What a client has sent may lie in the kernel, unread because a handler held the thread. So the
 * alarm asks for a look at the sockets (`onDue`), and the owner calls `judge` after it. All times here are active time
 * (active-clock.ts).
 *
 * Next: turn-budget.ts
 */

import type { ActiveClock } from './active-clock.ts';
import type { Alarm, Host } from './host.ts';

/** Something with at most one deadline. The two fields belong to Deadlines. */
export interface Timed {
  /** When, in active time; Infinity for never. */
  deadlineAt: number;
  /** Its place among the watched ones, or -1. */
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

  /** The alarm has rung, and `judge` was not called yet. */
  get isDue(): boolean {
    return this.#isDue;
  }

  /** When the alarm rings, or rang if it is due. Infinity without an alarm. */
  get alarmAt(): number {
    return this.#alarmAt;
  }

  /** Sets, moves or (at Infinity) takes back the deadline of `timed`. */
  set(timed: Timed, at: number): void {
    timed.deadlineAt = at;
    if (timed.deadlineSlot < 0) {
      if (at === Number.POSITIVE_INFINITY) return;
      timed.deadlineSlot = this.#timed.push(timed) - 1;
    }
    if (at < this.#alarmAt) this.#setAlarm(at);
  }

  /** Forgets `timed`, which is about to go. */
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

  /** Calls `onDeadline` of each whose deadline is not later than `now`. */
  judge(now: number): void {
    this.close();
    let next = Number.POSITIVE_INFINITY;
    const expired: Timed[] = [];
    for (const timed of this.#timed) {
      if (timed.deadlineAt <= now) expired.push(timed);
      else if (timed.deadlineAt < next) next = timed.deadlineAt;
    }
    if (next !== Number.POSITIVE_INFINITY) this.#setAlarm(next);
    // Last, because what happens now sets and removes deadlines: each is asked again whether it is still due.
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
   * A later deadline leaves an earlier alarm as it is: it will find nothing and set itself anew. And so does one that is
   * due within the tick that has begun, or deadlines set again and again would put the alarm off for ever.
   */
  #setAlarm(at: number): void {
    if (this.#isDue) return; // `judge` will look at all of them
    const now = this.#clock.at(this.#host.now());
    const alarmAt = Math.max(at, now + this.#tickMs);
    if (alarmAt >= this.#alarmAt) return;
    this.#alarm?.cancel();
    this.#alarmAt = alarmAt;
    this.#alarm = this.#host.alarm(alarmAt - now, () => this.#ring());
  }

  /** `#alarmAt` stays: the loop sees by it how late its next turn is. */
  #ring(): void {
    this.#alarm = null;
    this.#isDue = true;
    this.#onDue();
  }
}
