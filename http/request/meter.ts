/**
 * Meter: counts the bytes and the time of one answer.
 *
 * If nobody counts answers, a connection makes no Meter, and no clock is read. Metrics add up what a Meter has counted (CountedAnswer). Only a listener
 * gets an Outcome, which is one more object and two more looks at a clock.
 *
 * It is here and not with the connection, because an exchange in memory counts in the same way.
 *
 * Next: ../content/codings.ts
 */

import type { HttpRequest, Outcome } from './http-request.ts';
import type { RequestHead } from './request-head.ts';

/** The request of an exchange, as far as an outcome needs it. */
export interface Measured {
  readonly head: RequestHead;
  readonly request: HttpRequest;
  readonly body: { readonly receivedBytes: number };
}

export interface MeterClock {
  /** A clock that never goes back, as it was when the turn of the loop began. */
  now(): number;
  /** The same clock, read at this moment. */
  exactNow(): number;
  wallNow(): number;
  /** Somebody listens to all outcomes. */
  readonly wantsOutcomes: boolean;
}

/** What metrics add up. An Outcome has it, too. */
export type CountedAnswer = Pick<
  Outcome,
  'method' | 'route' | 'status' | 'bytesIn' | 'bytesOut' | 'durationMs' | 'clientGone' | 'request'
>;

export class Meter implements CountedAnswer {
  status = 0;
  bytesOut = 0;
  durationMs = 0;
  clientGone = false;
  /** The answer of the same connection that is over at the same time. Kept by AnswerLog. */
  next: Meter | null = null;
  readonly #measured: Measured | null;
  readonly #clock: MeterClock;
  readonly #beganAt: number;
  #isOver = false;
  #firstByteMs: number | null = null;
  #error: unknown = null;
  #promise: Promise<Outcome> | null = null;
  #resolve: ((outcome: Outcome) => void) | null = null;

  constructor(measured: Measured | null, clock: MeterClock) {
    this.#measured = measured;
    this.#clock = clock;
    this.#beganAt = clock.now(); // when the head arrived: a request that waits for others of its turn takes that long for its client
  }

  get method(): string {
    return this.#measured === null ? '' : this.#measured.head.method;
  }

  get route(): string | null {
    return this.#measured === null ? null : this.#measured.request.route;
  }

  get request(): HttpRequest | null {
    return this.#measured === null ? null : this.#measured.request;
  }

  get bytesIn(): number {
    return this.#measured === null ? 0 : this.#measured.head.text.length + this.#measured.body.receivedBytes;
  }

  /** Resolves with the outcome, when the answer is over. */
  get done(): Promise<Outcome> {
    this.#promise ??= this.#isOver
      ? Promise.resolve(this.outcome())
      : new Promise((resolve) => {
          this.#resolve = resolve;
        });
    return this.#promise;
  }

  /** The head of the response is written. */
  begin(status: number): void {
    this.status = status;
    if (this.#resolve !== null || this.#clock.wantsOutcomes) this.#firstByteMs = this.#clock.exactNow() - this.#beganAt;
  }

  count(byteLength: number): void {
    this.bytesOut += byteLength;
  }

  /** The first error is the cause of those that follow. */
  fail(error: unknown): void {
    this.#error ??= error;
  }

  /** The answer is over. */
  end(clientGone: boolean): void {
    this.durationMs = this.#clock.exactNow() - this.#beganAt;
    this.clientGone = clientGone;
    this.#isOver = true;
    this.#resolve?.(this.outcome());
  }

  /** What a listener gets, after `end`. */
  outcome(): Outcome {
    const { method, route, status, bytesIn, bytesOut, durationMs, clientGone, request } = this;
    return {
      method,
      path: this.#measured === null ? '' : this.#measured.head.path,
      route,
      status,
      bytesIn,
      bytesOut,
      // The clock on the wall has whole milliseconds, rounded down.
      startedAt: Math.ceil(this.#clock.wallNow() - durationMs),
      firstByteMs: this.#firstByteMs,
      durationMs,
      clientGone,
      error: this.#error,
      request,
    };
  }
}
