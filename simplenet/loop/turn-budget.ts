/**
 * TurnBudget: how much may happen before the loop lets others go on: Node's timers, and connections that wait.
 *
 * A turn has two parts. First come the news: requests, new connections. Then come the streams that have had a share before and have
 * more to do, one share each, in order. Each part has a budget of time and of bytes to send. Both parts need one of their own: without
 * it a crowd of requests would stop all answers under way, or the answers would keep new clients waiting.
 *
 * Bytes are counted because one send(2) of a megabyte takes as long as fifty small requests, and so that a test can count them. Time
 * is counted because only the clock knows what a handler costs. Reading the clock takes 35 ns, so `isSpentByEvent` reads it at every
 * fourth event.
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

/** A bit mask: the clock is read at every fourth event. */
const CLOCK_MASK = 3;

export class TurnBudget {
  /** Counts the parts of turns: the share of a stream is for one of them. */
  part = 0;
  /** It is the first part. */
  isForNews = false;
  /** The share of one stream. */
  readonly streamBytes: number;
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
    this.streamBytes = limits.sentBytesPerStream;
  }

  /** A part of a turn begins. */
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

  get areBytesSpent(): boolean {
    return this.#sentBytes >= this.#turnBytes;
  }

  /** Outside of turns, whether the last one began so long ago. */
  get isTimeSpent(): boolean {
    if (!this.#isTimeSpent) this.#isTimeSpent = this.#host.now() - this.#startedAt >= this.#turnMs;
    return this.#isTimeSpent;
  }

  /** Counts an event that has been delivered. True: what is left waits for the next turn. */
  isSpentByEvent(): boolean {
    if (this.#isTimeSpent || this.areBytesSpent) return true;
    return (++this.#events & CLOCK_MASK) === 0 && this.isTimeSpent;
  }
}
