/**
 * OutputWatch: checks whether the peer of a stream takes what is queued for it. A stream with a
 * `minimumProgress` makes one when it first queues something.
 *
 * The stream itself cannot see that: the kernel reports room for more only when a third of its buffer is free again, and that
 * buffer may hold megabytes. A reader of 1 KB/s would look like one that reads nothing. So the watch asks the kernel how much the
 * peer has acknowledged. It asks only at its own deadlines, so a stream that drains in time costs no system call.
 *
 * The acknowledged bytes grow in steps. A peer whose buffer was full announces new room only when there is much of it: 64 KiB on
 * loopback, elsewhere a sixteenth of its buffer, which is 400 KB of a buffer of 6 MB. A steady reader of 10 KB/s seems to take nothing
 * for seconds, and then all at once. So bytes that a peer takes beyond the minimum count for the following spans, but for three at
 * most. A peer that stops reading is ended after one span if it was never ahead, and after up to four if it was.
 *
 * Next: loop-limits.ts
 */

import type { Deadlines, Timed } from './deadlines.ts';
import type { MinimumProgress } from './event-loop.ts';

/** What the watch needs of the stream. */
export interface WatchedOutput {
  /** How many bytes the peer has taken, if `sentBytes` were given to the kernel since the watch began. Only its growth counts. */
  takenBytes(sentBytes: number): number;
  /** The peer is too slow. */
  onPeerStuck(): void;
}

/** The first look at the kernel comes after this time at most. Most streams have drained by then. */
const MAX_FIRST_LOOK_MS = 1_000;

/** The first look comes after this part of the first span. */
const FIRST_LOOK_PART = 1 / 4;

/** A peer can be this many spans ahead. */
const MAX_SPANS_AHEAD = 3;

/**
 * If the peer's kernel has acknowledged more than this, the peer's program has read something. A receive buffer begins with 128 KiB and
 * grows only when the program reads; SO_RCVBUF allows up to 416 KiB.
 */
const MAX_UNREAD_BYTES = 512 * 1024;

const NEVER = Number.POSITIVE_INFINITY;

export class OutputWatch implements Timed {
  deadlineAt = NEVER;
  deadlineSlot = -1;
  /** How many bytes the stream has given to the kernel since the watch was made. */
  sentBytes = 0;
  readonly #output: WatchedOutput;
  readonly #deadlines: Deadlines;
  readonly #minimum: MinimumProgress;
  /** The time from the last look to the next; 0 before the first look. */
  #spanMs = 0;
  /** What the peer had taken at the last look. */
  #takenBytes = 0;
  /** What the peer has taken beyond the minimum. It is kept when the watch stops, and counts when it starts again. */
  #aheadBytes = 0;

  constructor(output: WatchedOutput, deadlines: Deadlines, minimum: MinimumProgress) {
    this.#output = output;
    this.#deadlines = deadlines;
    this.#minimum = minimum;
  }

  /** Something is queued. Does nothing while the watch runs. */
  start(now: number): void {
    if (this.deadlineAt !== NEVER) return;
    this.#spanMs = 0;
    this.#deadlines.set(this, now + this.#firstLookMs);
  }

  /** The queue is empty. */
  stop(): void {
    if (this.deadlineAt !== NEVER) this.#deadlines.set(this, NEVER);
  }

  /** The stream is disposed of. */
  remove(): void {
    this.#deadlines.remove(this);
  }

  onDeadline(now: number): void {
    const { everyMs, bytes } = this.#minimum;
    const takenBytes = this.#output.takenBytes(this.sentBytes);
    if (this.#spanMs > 0) {
      const aheadBytes = this.#aheadBytes + takenBytes - this.#takenBytes - (bytes * this.#spanMs) / everyMs;
      if (aheadBytes < 0) {
        this.#output.onPeerStuck();
        return;
      }
      this.#aheadBytes = Math.min(aheadBytes, bytes * MAX_SPANS_AHEAD);
    } else if (takenBytes > MAX_UNREAD_BYTES) {
      this.#aheadBytes = bytes * MAX_SPANS_AHEAD; // it was fast before the first look
    }
    this.#takenBytes = takenBytes;
    // The time before the first look is part of the first span.
    this.#spanMs = this.#spanMs === 0 ? everyMs - this.#firstLookMs : everyMs;
    this.#deadlines.set(this, now + this.#spanMs);
  }

  get #firstLookMs(): number {
    return Math.min(MAX_FIRST_LOOK_MS, this.#minimum.everyMs * FIRST_LOOK_PART);
  }
}
