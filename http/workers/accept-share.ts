/**
 * AcceptShare: which worker takes the next connection. Pure: a rule over numbers in memory that all workers share.
 *
 * All workers watch one listening socket, so a connection is never bound to a worker that is busy, hangs or has ended. But the kernel wakes them in
 * the same order each time, and the first one would take most connections. So each worker counts what it has accepted, and leaves a connection to a worker
 * that has accepted fewer. It leaves each only once, for a millisecond: if no other worker has taken it then, they have no time.
 *
 * While a worker rests so, the others may get further ahead of it, so that they seldom rest all at once. The numbers are a hint and not a lock:
 * an old value, or a count that is lost while a worker is replaced by another one in its place, costs a millisecond.
 *
 * Next: messages.ts
 */

import type { AcceptPolicy } from '../../simplenet/index.ts';

/** Words of a worker: how many connections it has accepted, modulo 2^32, and its state. */
const WORDS = 2;
const INT_SIZE = 4;

const ABSENT = 0;
const ACCEPTS = 1;
const RESTS = 2;

/** A worker may be so many connections ahead of one that accepts. Leaving a connection costs two system calls and a timer. */
const MAX_LEAD = 1;

/** And so many ahead of one that rests: about as many as a worker accepts in a millisecond. */
const MAX_LEAD_OVER_RESTING = 8;

export class AcceptShare implements AcceptPolicy {
  /** The memory that so many workers need. */
  static bytesFor(workers: number): number {
    return workers * WORDS * INT_SIZE;
  }

  readonly #words: Int32Array;
  readonly #own: number;
  #hasLeft = false;

  /** `index` is the place of this worker. */
  constructor(memory: ArrayBuffer, index: number) {
    this.#words = new Int32Array(memory);
    this.#own = index * WORDS;
  }

  /** From now on this worker takes its share. It begins beside the one that has accepted least: what it has missed it does not get. */
  join(): void {
    let least: number | null = null;
    for (let at = 0; at < this.#words.length; at += WORDS) {
      if (at === this.#own || this.#words[at + 1] === ABSENT) continue;
      const count = this.#words[at] as number;
      if (least === null || isBehind(count, least, 0)) least = count;
    }
    this.#words[this.#own] = least ?? 0;
    this.#words[this.#own + 1] = ACCEPTS;
  }

  /** The other workers do not wait for this one any more. */
  leave(): void {
    this.#words[this.#own + 1] = ABSENT;
  }

  mayAccept(): boolean {
    if (this.#hasLeft || !this.#isAhead()) {
      this.#hasLeft = false;
      return true;
    }
    this.#hasLeft = true;
    if (this.#words[this.#own + 1] === ACCEPTS) this.#words[this.#own + 1] = RESTS;
    return false;
  }

  accepted(): void {
    this.#words[this.#own] = ((this.#words[this.#own] as number) + 1) | 0;
  }

  rested(): void {
    if (this.#words[this.#own + 1] === RESTS) this.#words[this.#own + 1] = ACCEPTS;
  }

  /** How many connections this worker has accepted. */
  get count(): number {
    return this.#words[this.#own] as number;
  }

  #isAhead(): boolean {
    const own = this.count;
    for (let at = 0; at < this.#words.length; at += WORDS) {
      const state = this.#words[at + 1];
      if (at === this.#own || state === ABSENT) continue;
      if (isBehind(this.#words[at] as number, own, state === RESTS ? MAX_LEAD_OVER_RESTING : MAX_LEAD)) return true;
    }
    return false;
  }
}

/** Whether a count is more than `lead` below another one. The counts go round, so their distance decides. */
function isBehind(count: number, other: number, lead: number): boolean {
  return ((other - count) | 0) > lead;
}
