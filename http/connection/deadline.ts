/**
 * Deadline: how long a connection waits, and for what. A stream has one deadline; each method here replaces the one before.
 *
 * A client that must act has a deadline in every phase, or it could hold its connection without end (slowloris). The client's pace in
 * taking a response has no deadline here: the stream watches it whenever something is queued (`minimumProgress`).
 *
 * Next: body-clock.ts
 */

import type { Stream } from '../../simplenet/index.ts';
import type { ConnectionContext } from './connection-context.ts';

/** RST destroys bytes that have not arrived. Where only RST can end a response, the responses before it have this long to arrive. */
const DELIVERY_MS = 100;

export class Deadline {
  readonly #context: ConnectionContext;
  readonly #stream: Stream;

  constructor(context: ConnectionContext, stream: Stream) {
    this.#context = context;
    this.#stream = stream;
  }

  /** A head must be complete in time. */
  forHead(): void {
    this.#stream.setDeadline(this.#context.timeouts.headerMs);
  }

  /** The next request must begin in time. */
  forNextRequest(): void {
    const { isStopping, idleGraceMs, timeouts } = this.#context;
    this.#stream.setDeadline(isStopping ? idleGraceMs : timeouts.idleMs);
  }

  /** The body clock wants to look at the body again. */
  forBody(delayMs: number): void {
    this.#stream.setDeadline(delayMs);
  }

  /** The handler must begin its response in time. */
  forAnswer(): void {
    this.#stream.setDeadline(this.#context.timeouts.answerMs);
  }

  /** What is read and dropped must end in time. */
  forDiscarded(): void {
    this.#stream.setDeadline(this.#context.timeouts.lingerMs);
  }

  forDelivery(): void {
    this.#stream.setDeadline(DELIVERY_MS);
  }

  /** The connection waits for the handler or for the loop, or for a client whose progress the stream watches. */
  none(): void {
    this.#stream.setDeadline(Number.POSITIVE_INFINITY);
  }
}
