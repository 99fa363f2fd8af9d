/**
 * Deadline: how long a connection waits, and for what. A stream has one deadline; each method here replaces the earlier one.
 *
 * While the client must send something, the connection has a deadline. Otherwise the client could hold it without end (slowloris).
 * A client that must take a response has no deadline here: the stream limits that time itself (`minimumProgress`).
 *
 * Next: body-clock.ts
 */

import type { Stream } from '../../simplenet/index.ts';
import type { ConnectionContext } from './connection-context.ts';

/** RST destroys bytes that have not arrived. If a response can only be ended by RST, the responses before it get this long to arrive. */
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

  /** The rate of the body is to be checked again. */
  forBody(delayMs: number): void {
    this.#stream.setDeadline(delayMs);
  }

  /** The handler must begin its response in time. */
  forResponse(answerMs: number): void {
    this.#stream.setDeadline(answerMs);
  }

  /** Limits how long input is read and dropped. */
  forDiscarded(): void {
    this.#stream.setDeadline(this.#context.timeouts.lingerMs);
  }

  /** The last bytes get some time to arrive before RST. */
  forDelivery(): void {
    this.#stream.setDeadline(DELIVERY_MS);
  }

  /** The connection waits for its handler, for the loop, or for a client whose progress the stream limits. */
  none(): void {
    this.#stream.setDeadline(Number.POSITIVE_INFINITY);
  }
}
