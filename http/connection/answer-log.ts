/**
 * AnswerLog: the answers of a connection that are measured: the one at work, and those that its client has still to take.
 *
 * An answer is done when the kernel has taken its last byte, not when its handler has written it: a client may leave in the middle of a long
 * download. No request begins while something is queued for the client, so the answers that wait are at most those of one turn
 * (`requestsPerTurn`).
 *
 * A connection makes this object when its first answer is measured.
 *
 * Next: outgoing.ts
 */

import type { Meter } from '../request/meter.ts';

const SWITCHING_PROTOCOLS = 101;

export class AnswerLog {
  readonly #report: (answer: Meter) => void;
  #current: Meter | null = null;
  /** Those that are written, linked by `next`: an array would be made and thrown away with each answer. */
  #first: Meter | null = null;
  #last: Meter | null = null;

  constructor(report: (answer: Meter) => void) {
    this.#report = report;
  }

  measure(meter: Meter): void {
    this.#current = meter;
  }

  /** A head is written. Heads of 1xx come before that of the response; but 101 is itself the response. */
  begin(status: number): void {
    if (status >= 200 || status === SWITCHING_PROTOCOLS) this.#current?.begin(status);
  }

  count(byteLength: number): void {
    this.#current?.count(byteLength);
  }

  fail(error: unknown): void {
    this.#current?.fail(error);
  }

  /** The answer at work is written, or has broken off. */
  written(): void {
    const answer = this.#current;
    if (answer === null) return;
    if (this.#last === null) this.#first = answer;
    else this.#last.next = answer;
    this.#last = answer;
    this.#current = null;
  }

  /** The kernel has taken all that was written. */
  taken(): void {
    if (this.#first !== null) this.#endAll(false);
  }

  /** The connection is closed. Answers that were not taken are lost, and so is the one at work. */
  closed(clientGone: boolean): void {
    this.written();
    this.#endAll(clientGone);
  }

  #endAll(clientGone: boolean): void {
    let answer = this.#first;
    this.#first = null;
    this.#last = null;
    for (; answer !== null; answer = answer.next) {
      answer.end(clientGone);
      this.#report(answer);
    }
  }
}
