/**
 * Deadline: how long a connection waits, and for what. A stream has one deadline; each method here replaces the earlier one.
 *
 * While the client must send something, the connection has a deadline. Otherwise the client could hold it without end (slowloris).
 * A client that must take a response has no deadline here: the stream limits that time itself (`minimumProgress`).
 *
 * Next: body-clock.ts
 */

import type { MinimumProgress, Stream } from '../../simplenet/index.ts';
import type { Timeouts } from '../limits.ts';
import { SLOW_BYTES_PER_SECOND } from './body-clock.ts';
import type { ConnectionContext } from './connection-context.ts';

/** RST destroys bytes that have not arrived. If a response can only be ended by RST, the responses before it get this long to arrive. */
const DELIVERY_MS = 100;

/**
 * Stands for Infinity, so that `idleSince` can be computed from the deadline: 3,000 years. Beside so large a number the clock still has a
 * resolution of 0.02 ms.
 */
export const ENDLESS_MS = 1e14;

/** The least that a client must take in `writeMs`: one byte, or more by its rate. Null where `writeMs` is infinite. */
export function minimumProgressOf({ writeMs, writeMinBytesPerSecond }: Timeouts): MinimumProgress | null {
  if (writeMs === Number.POSITIVE_INFINITY) return null;
  return { everyMs: writeMs, bytes: Math.max(1, (writeMs / 1_000) * writeMinBytesPerSecond) };
}

const PRESSED_MS = 5_000;

/**
 * The least that a client must take while others find no room. Over this time, since what a fast client has taken is known in steps: on a long line its kernel
 * tells of 400 KB at once (output-watch.ts).
 */
export const PRESSED_PROGRESS: MinimumProgress = {
  everyMs: PRESSED_MS,
  bytes: (PRESSED_MS / 1_000) * SLOW_BYTES_PER_SECOND,
};

export class Deadline {
  readonly #context: ConnectionContext;
  readonly #stream: Stream;

  constructor(context: ConnectionContext, stream: Stream) {
    this.#context = context;
    this.#stream = stream;
  }

  /** A head must be complete in time. */
  forHead(): void {
    this.#stream.setDeadline(Math.min(this.#context.timeouts.headerMs, ENDLESS_MS));
  }

  /** The next request must begin in time. */
  forNextRequest(): void {
    const { isStopping, idleGraceMs, timeouts } = this.#context;
    this.#stream.setDeadline(isStopping ? idleGraceMs : Math.min(timeouts.idleMs, ENDLESS_MS));
  }

  /**
   * Since when the client has been idle, in active time. The deadline says it, so that no request has to store it. Only for a
   * connection that waits for a request, while the server does not stop. `isNew`: it waits for its first one.
   */
  idleSince(isNew: boolean): number {
    const { headerMs, idleMs } = this.#context.timeouts;
    return this.#stream.deadlineAt - Math.min(isNew ? headerMs : idleMs, ENDLESS_MS);
  }

  /** When the first byte of an incomplete head came, in active time. Infinity while the client has responses to take first. */
  headSince(): number {
    return this.#stream.deadlineAt - Math.min(this.#context.timeouts.headerMs, ENDLESS_MS);
  }

  /** When a connection was accepted whose TLS handshake is not complete, in active time. */
  acceptedAt(): number {
    return this.#stream.deadlineAt - Math.min(this.#context.timeouts.handshakeMs, ENDLESS_MS);
  }

  /** The rate of the body is to be checked again. */
  forBody(delayMs: number): void {
    this.#stream.setDeadline(delayMs);
  }

  /** The handler must begin its response in time. */
  forResponse(answerMs: number): void {
    this.#stream.setDeadline(answerMs);
  }

  /** A stream of events sends a comment after a silence; Infinity for all other responses that have begun. */
  forHeartbeat(heartbeatMs: number): void {
    this.#stream.setDeadline(heartbeatMs);
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
