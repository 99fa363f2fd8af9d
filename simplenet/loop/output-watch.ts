/**
 * OutputWatch: whether the peer of a stream takes what is queued for it. A stream has one only once something was queued.
 *
 * The stream itself sees little of that: the kernel reports room for more only when a third of its buffer is free again, and that
 * buffer may hold megabytes. A reader of 1 KB/s would look like one that reads nothing. So the watch asks the kernel how much the
 * peer has acknowledged, and only at its own deadlines: a stream that drains in time costs no system call.
 *
 * What is acknowledged grows in steps. A peer whose buffer is full tells of new room only when there is much of it: 64 KiB on loopback, a
 * sixteenth of the buffer elsewhere, which is 400 KB where it has grown to 6 MB. A steady reader of 10 KB/s seems to take nothing for
 * seconds, and then all at once. So what a peer takes beyond the minimum counts for the spans that follow, but for three at most: a peer
 * that stops is ended after one span if it has taken nothing before, and after four if it has.
 *
 * Next: loop-limits.ts
 */

import type { Deadlines, Timed } from './deadlines.ts';
import type { MinimumProgress } from './event-loop.ts';

/** The stream, as far as the watch needs it. */
export interface WatchedOutput {
  /** Bytes that the peer has taken, of which `sentBytes` were given to the kernel since the watch began. It only grows. */
  takenBytes(sentBytes: number): number;
  /** The peer is too slow. */
  peerIsStuck(): void;
}

/** The kernel is asked for the first time after so long at most: most streams have drained by then. */
const MAX_FIRST_LOOK_MS = 1_000;

/** Of the time for the first progress, the part before the first look. */
const FIRST_LOOK_PART = 1 / 4;

/** For so many spans ahead a peer can take. */
const MAX_SPANS_AHEAD = 3;

/**
 * More than a kernel acknowledges for a peer that reads nothing: its buffer begins with 128 KiB and grows only with what is read, and
 * SO_RCVBUF reaches 416 KiB.
 */
const MAX_UNREAD_BYTES = 512 * 1024;

const NEVER = Number.POSITIVE_INFINITY;

export class OutputWatch implements Timed {
  deadlineAt = NEVER;
  deadlineSlot = -1;
  /** What the stream has given to the kernel since the watch was made. */
  sentBytes = 0;
  readonly #output: WatchedOutput;
  readonly #deadlines: Deadlines;
  readonly #minimum: MinimumProgress;
  /** Since the last look; 0 before the first one, which has none to be compared with. */
  #spanMs = 0;
  /** At the last look. */
  #takenBytes = 0;
  /** What the peer has taken beyond the minimum. It stays when the watch stops: a peer that has been fast is no stranger. */
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

  /** Nothing is queued any more. */
  stop(): void {
    if (this.deadlineAt !== NEVER) this.#deadlines.set(this, NEVER);
  }

  /** The stream goes. */
  remove(): void {
    this.#deadlines.remove(this);
  }

  onDeadline(now: number): void {
    const { everyMs, bytes } = this.#minimum;
    const takenBytes = this.#output.takenBytes(this.sentBytes);
    if (this.#spanMs > 0) {
      const aheadBytes = this.#aheadBytes + takenBytes - this.#takenBytes - (bytes * this.#spanMs) / everyMs;
      if (aheadBytes < 0) {
        this.#output.peerIsStuck();
        return;
      }
      this.#aheadBytes = Math.min(aheadBytes, bytes * MAX_SPANS_AHEAD);
    } else if (takenBytes > MAX_UNREAD_BYTES) {
      this.#aheadBytes = bytes * MAX_SPANS_AHEAD; // it was fast before the first look
    }
    this.#takenBytes = takenBytes;
    // The time before the first look is part of the first span's time.
    this.#spanMs = this.#spanMs === 0 ? everyMs - this.#firstLookMs : everyMs;
    this.#deadlines.set(this, now + this.#spanMs);
  }

  get #firstLookMs(): number {
    return Math.min(MAX_FIRST_LOOK_MS, this.#minimum.everyMs * FIRST_LOOK_PART);
  }
}
