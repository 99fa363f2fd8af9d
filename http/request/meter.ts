/**
 * Meter: counts the bytes and the time of one answer, and makes its Outcome when the answer is over.
 *
 * Without a listener a connection makes no Meter: then nothing is counted, and no clock is read. It is here and not with the connection, because
 * an exchange in memory counts in the same way.
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
  /** A clock that never goes back, read at this moment. */
  exactNow(): number;
  wallNow(): number;
}

export class Meter {
  readonly #measured: Measured | null;
  readonly #clock: MeterClock;
  readonly #startedAt: number;
  readonly #beganAt: number;
  #status = 0;
  #bytesOut = 0;
  #firstByteMs: number | null = null;
  #error: unknown = null;
  #outcome: Promise<Outcome> | null = null;
  #resolve: ((outcome: Outcome) => void) | null = null;

  constructor(measured: Measured | null, clock: MeterClock) {
    this.#measured = measured;
    this.#clock = clock;
    this.#startedAt = clock.wallNow();
    this.#beganAt = clock.exactNow();
  }

  /** Resolves with the outcome. */
  get outcome(): Promise<Outcome> {
    this.#outcome ??= new Promise((resolve) => {
      this.#resolve = resolve;
    });
    return this.#outcome;
  }

  /** The head of the response is written. */
  begin(status: number): void {
    this.#status = status;
    this.#firstByteMs = this.#clock.exactNow() - this.#beganAt;
  }

  count(byteLength: number): void {
    this.#bytesOut += byteLength;
  }

  /** The first error is the cause of those that follow. */
  fail(error: unknown): void {
    this.#error ??= error;
  }

  end(clientGone: boolean): Outcome {
    const measured = this.#measured;
    const outcome: Outcome = {
      method: measured?.head.method ?? '',
      path: measured?.head.path ?? '',
      route: measured?.request.route ?? null,
      status: this.#status,
      bytesIn: measured === null ? 0 : measured.head.text.length + measured.body.receivedBytes,
      bytesOut: this.#bytesOut,
      startedAt: this.#startedAt,
      firstByteMs: this.#firstByteMs,
      durationMs: this.#clock.exactNow() - this.#beganAt,
      clientGone,
      error: this.#error,
      request: measured?.request ?? null,
    };
    this.#resolve?.(outcome);
    return outcome;
  }
}
