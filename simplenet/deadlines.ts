/**
 * Deadlines: a thousand connections that may each run out of time, and one alarm.
 *
 * A server sets a deadline at least twice per request, and nearly all of them are replaced before they pass. A timer
 * each would be work for nothing. So setting one is an assignment and a comparison; one coarse alarm, set for the
 * earliest of them, walks over all that have one. It fires up to one tick late and never early.
 *
 * Next: write-queue.ts
 */

import type { Alarm, Host } from './host.ts';

/** Something with at most one deadline. The two fields belong to Deadlines. */
export interface Timed {
  /** When, on the host's clock; Infinity for never. */
  deadlineAt: number;
  /** Its place among the watched ones, or -1. */
  deadlineSlot: number;
  onDeadline(): void;
}

export class Deadlines {
  readonly #host: Host;
  readonly #tickMs: number;
  readonly #timed: Timed[] = [];
  #alarm: Alarm | null = null;
  #alarmAt = Number.POSITIVE_INFINITY;

  constructor(host: Host, tickMs: number) {
    this.#host = host;
    this.#tickMs = tickMs;
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

  close(): void {
    this.#alarm?.cancel();
    this.#alarm = null;
    this.#alarmAt = Number.POSITIVE_INFINITY;
  }

  /**
   * A later deadline leaves an earlier alarm as it is: it will find nothing and set itself anew. And so does one that is
   * due within the tick that has begun, or deadlines set again and again would put the alarm off for ever.
   */
  #setAlarm(at: number): void {
    const now = this.#host.now();
    const alarmAt = Math.max(at, now + this.#tickMs);
    if (alarmAt >= this.#alarmAt) return;
    this.#alarm?.cancel();
    this.#alarmAt = alarmAt;
    this.#alarm = this.#host.alarm(alarmAt - now, () => this.#sweep());
  }

  #sweep(): void {
    this.close();
    const now = this.#host.now();
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
      timed.onDeadline();
    }
  }
}
