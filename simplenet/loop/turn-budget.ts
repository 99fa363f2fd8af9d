/**
 * TurnBudget: limits the time and the bytes of a turn, so that Node's timers and other connections can go on.
 *
 * A turn has two parts. The first one delivers news: requests and new connections. The second one continues streams that have had a
 * share and have more to do, one share each, in order. Each part has its own budget of time and of bytes to send. With one budget
 * for both, many requests would stop all responses under way, or the responses would make new clients wait.
 *
 * Bytes are counted because one send(2) of a megabyte takes as long as fifty small requests, and a test can count them. Time is
 * measured because a handler may take any time. Reading the clock takes 35 ns, so `isSpentByEvent` reads it at every fourth event.
 *
 * Next: write-queue.ts
 */

import type { Host } from './host.ts';

/** The limits of one part of a turn. */
export interface TurnLimits {
  readonly turnMs: number;
  readonly sentBytesPerTurn: number;
  readonly sentBytesPerStream: number;
}

/** How much more than its share a stream may send, as a part of the share. */
const MAX_REST = 1 / 64;

/** A bit mask: the clock is read at every fourth event. */
const CLOCK_MASK = 3;

export class TurnBudget {
  /** The number of the current part, counted over all turns. A stream has one share in each part. */
  part = 0;
  /** Whether the current part is the first one of its turn. */
  isForNews = false;
  readonly #streamBytes: number;
  readonly #restBytes: number;
  readonly #host: Host;
  readonly #turnMs: number;
  readonly #turnBytes: number;
  #startedAt = Number.NEGATIVE_INFINITY;
  #sentBytes = 0;
  #events = 0;
  #isTimeSpent = false;

  constructor(host: Host, limits: TurnLimits) {
    this.#host = host;
    this.#turnMs = limits.turnMs;
    this.#turnBytes = limits.sentBytesPerTurn;
    this.#streamBytes = limits.sentBytesPerStream;
    this.#restBytes = Math.floor(this.#streamBytes * MAX_REST);
  }

  begin(now: number, isForNews: boolean): void {
    this.part++;
    this.isForNews = isForNews;
    this.#startedAt = now;
    this.#sentBytes = 0;
    this.#events = 0;
    this.#isTimeSpent = false;
  }

  sent(byteLength: number): void {
    this.#sentBytes += byteLength;
  }

  /**
   * How many of `length` bytes a stream may send that has sent `sentBytes` in this part. A small rest goes beyond its share: alone it would cost
   * another send, memory in the meantime, and wake the reader once more. So a megabyte and its head leave together.
   */
  shareOf(length: number, sentBytes: number): number {
    const left = this.#streamBytes - sentBytes;
    return length - left <= this.#restBytes ? length : Math.max(0, left);
  }

  get areBytesSpent(): boolean {
    return this.#sentBytes >= this.#turnBytes;
  }

  /** Whether the time of this part has passed. Between turns it counts from the beginning of the last part. */
  get isTimeSpent(): boolean {
    if (!this.#isTimeSpent) this.#isTimeSpent = this.#host.now() - this.#startedAt >= this.#turnMs;
    return this.#isTimeSpent;
  }

  /** Counts a delivered event. Returns true if the budget is spent: the other events then wait for the next turn. */
  isSpentByEvent(): boolean {
    if (this.#isTimeSpent || this.areBytesSpent) return true;
    return (++this.#events & CLOCK_MASK) === 0 && this.isTimeSpent;
  }
}
