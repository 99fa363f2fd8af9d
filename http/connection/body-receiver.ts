/**
 * BodyReceiver: receives the body of a request, as fast as its handler reads it and no slower than the limits allow.
 *
 *     EXPECT --> BODY <--> FULL      the body is incomplete
 *        |        | ^
 *        v        | |
 *     EXPECT_FULL --+                both at once: the client waits for `100 Continue`, and we for memory
 *                 |
 *               OVER                 the body is complete, or its response is (from each state above: a handler need not read the body)
 *
 * An exchange makes this object if its request has a body.
 *
 * Next: exchange.ts
 */

import { HttpError } from '../http-error.ts';
import type { Limits, Timeouts } from '../limits.ts';
import type { BodyDecoder } from '../request/body-decoder.ts';
import type { BodyMemory } from '../request/body-memory.ts';
import { type BodySource, RequestBody } from '../request/request-body.ts';
import { BodyClock } from './body-clock.ts';
import type { ExchangeConnection } from './exchange-connection.ts';

/** What the receiver asks of its exchange. */
export interface ReceivingExchange {
  readonly limits: Limits;
  readonly response: { readonly hasBegun: boolean };
  /** Sends the head of an informational response. */
  sendInformational(head: string): void;
  /** No byte of the body is awaited now: only the response has a deadline. */
  waitForResponse(): void;
  /** The rest of the body will not be read. */
  bodyFailed(error: HttpError): void;
}

type State = number;
/** The client waits for `100 Continue` before it sends any of the body. */
const EXPECT: State = 0;
/** The body is incomplete. */
const BODY: State = 1;
/** The connection is not read: the queue of the body is full, or the body waits for memory. */
const FULL: State = 2;
/** As FULL, and the client waits for `100 Continue`. */
const EXPECT_FULL: State = 3;
/** The handler gets no more of the body. */
const OVER: State = 4;

export class BodyReceiver implements BodySource {
  readonly body: RequestBody;
  readonly #exchange: ReceivingExchange;
  readonly #connection: ExchangeConnection;
  readonly #clock: BodyClock;
  #state: State;

  constructor(
    exchange: ReceivingExchange,
    connection: ExchangeConnection,
    decoder: BodyDecoder,
    expectsContinue: boolean,
  ) {
    this.#exchange = exchange;
    this.#connection = connection;
    this.#clock = new BodyClock(connection.context.timeouts);
    this.#state = expectsContinue ? EXPECT : BODY;
    this.body = new RequestBody(decoder, this);
    if (!expectsContinue) this.#clock.run(connection.context.activeNow());
  }

  // For the exchange.

  get isIncomplete(): boolean {
    return this.#state < OVER;
  }

  /** Nothing stops the connection from reading the body. */
  get isReading(): boolean {
    return this.#state < FULL;
  }

  /** The client must send: the body has a deadline. */
  get isAwaited(): boolean {
    return this.#state === BODY;
  }

  get isContinueDue(): boolean {
    return this.#state === EXPECT || this.#state === EXPECT_FULL;
  }

  /** How far the client is behind a slow one, while the handler waits for it; else 0: a handler that has not begun to read is at work. */
  get behindMs(): number {
    if (!this.isAwaited || !this.body.isTaken) return 0;
    return this.#clock.behindMs(this.#connection.context.activeNow(), this.body.receivedBytes);
  }

  useTimeouts(timeouts: Timeouts): void {
    this.#clock.useTimeouts(timeouts);
  }

  /** Takes the body bytes of bytes[start..end), and returns the offset after them. */
  push(bytes: Buffer, start: number, end: number): number {
    if (this.#state === EXPECT) {
      this.#state = BODY; // the client did not wait
      this.#runClock();
    }
    let at: number;
    try {
      at = this.body.push(bytes, start, end);
    } catch (error) {
      this.#exchange.bodyFailed(error as HttpError);
      return end;
    }
    if (this.body.isComplete) {
      this.#state = OVER;
      this.#exchange.waitForResponse();
    }
    return at;
  }

  /** The program has sent `100 Continue` itself. */
  continueSent(): void {
    if (this.#state === EXPECT_FULL) this.#state = FULL;
    if (this.#state === EXPECT) this.#await();
  }

  /**
   * Sets the deadline for the next bytes. It is over at once for a body that is late by now, and refuses nobody: while the handler had
   * the thread, the missing bytes may have come. The loop looks at the socket before it calls `checkRate`.
   */
  awaitBytes(): void {
    this.#connection.deadline.forBody(this.#nextCheckMs);
  }

  /** The deadline has passed. Refuses a body that is too slow. */
  checkRate(): void {
    const delayMs = this.#nextCheckMs;
    if (delayMs > 0) this.#connection.deadline.forBody(delayMs);
    else this.refuseAsSlow();
  }

  refuseAsSlow(): void {
    this.#exchange.bodyFailed(new HttpError(408, 'the body took too long'));
  }

  /** The response is complete, or the connection is closed. */
  end(): void {
    this.#state = OVER;
  }

  // For the body.

  get limits(): Limits {
    return this.#exchange.limits;
  }

  get bodyMemory(): BodyMemory {
    return this.#connection.context.bodyMemory;
  }

  resumeReading(): void {
    const connection = this.#connection;
    if (!this.isIncomplete || connection.outgoing.isClosed) return;
    if (this.isContinueDue) {
      if (connection.context.continuesByHand) {
        this.#state = EXPECT; // the client may send the body without waiting any longer
        connection.resumeReading();
        return;
      }
      if (!this.#exchange.response.hasBegun) this.#exchange.sendInformational('HTTP/1.1 100 Continue\r\n\r\n');
    }
    connection.resumeReading();
    this.#await();
  }

  pauseReading(): void {
    const connection = this.#connection;
    if (!this.isIncomplete || connection.outgoing.isClosed) return;
    this.#state = this.isContinueDue ? EXPECT_FULL : FULL;
    connection.pauseReading();
    this.#clock.stop(connection.context.activeNow());
    this.#exchange.waitForResponse();
  }

  refuseBody(error: HttpError): void {
    this.#exchange.bodyFailed(error);
  }

  #await(): void {
    this.#state = BODY;
    this.#runClock();
    this.awaitBytes();
  }

  get #nextCheckMs(): number {
    return this.#clock.nextCheckMs(this.#connection.context.activeNow(), this.body.receivedBytes);
  }

  #runClock(): void {
    this.#clock.run(this.#connection.context.activeNow());
  }
}
