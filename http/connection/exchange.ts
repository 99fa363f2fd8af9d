/**
 * Exchange: one request, the handler at work on it, and its response. A connection has one exchange at a time.
 *
 * It is what a request, a body and a response ask questions of, so that none of them knows the connection. What becomes of the connection is
 * not decided here: an exchange asks its connection to go on (`exchangeDone`), to refuse (`refuse`) or to break off (`cut`).
 *
 *     EXPECT --> BODY <--> FULL      the request body
 *        \        |        /
 *         +----> WHOLE <--+          all of the request has come
 *                 |
 *                DONE                the response is complete (from any state: a handler need not read the body)
 *                 |
 *                GONE                the connection is closed (from any state)
 *
 * Next: handover.ts
 */

import { AsyncResource } from 'node:async_hooks';
import type { PeerCredentials, SocketAddress, Stream, StreamHandler } from '../../simplenet/index.ts';
import { namesProtocol } from '../grammar.ts';
import { ClientGoneError, HttpError } from '../http-error.ts';
import type { Limits } from '../limits.ts';
import { promiseOf } from '../promises.ts';
import { type BodyDecoder, ChunkedDecoder, LengthDecoder } from '../request/body-decoder.ts';
import { CHUNKED, NO_BODY } from '../request/body-framing.ts';
import type { BodyMemory } from '../request/body-memory.ts';
import { HttpRequest, type RequestOrigin } from '../request/http-request.ts';
import { type BodySource, RequestBody } from '../request/request-body.ts';
import type { RequestHead } from '../request/request-head.ts';
import { type ResponseOwner, ResponseWriter } from '../response/response-writer.ts';
import { reasonOf } from '../status.ts';
import { BodyClock } from './body-clock.ts';
import type { ConnectionContext } from './connection-context.ts';
import type { Deadline } from './deadline.ts';
import type { Outgoing } from './outgoing.ts';

/** The connection, as far as an exchange needs it. */
export interface ExchangeConnection {
  readonly stream: Stream;
  readonly context: ConnectionContext;
  readonly outgoing: Outgoing;
  readonly deadline: Deadline;
  /** Bytes are being worked through: what is written meanwhile leaves at the end. */
  readonly isConsuming: boolean;
  /** Another request may follow, as far as the connection knows. */
  readonly mayServeMore: boolean;
  /** Something of a next request has come. While bytes are worked through, `behind` of them came behind the head of this request. */
  hasInputBehind(behind: number): boolean;
  pauseReading(): void;
  resumeReading(): void;
  exchangeDone(exchange: Exchange): void;
  /** One response, which says so, and then the end. */
  refuse(status: number, message: string, fields?: string): void;
  /** The response cannot be completed. */
  cut(): void;
  handOver(fields: string, createHandler: (stream: Stream) => StreamHandler): void;
}

type State = number;
/** Body is to come, and the client waits for `100 Continue` before it sends any. */
const EXPECT: State = 0;
/** Body is to come. */
const BODY: State = 1;
/** Body is to come, but so much of it waits for the handler that the client has to wait. */
const FULL: State = 2;
/** The request is complete. */
const WHOLE: State = 3;
/** The response is complete. */
const DONE: State = 4;
/** The client is gone. */
const GONE: State = 5;

/** RFC 9110 section 10.2.3. Memory for bodies comes free as fast as handlers answer. */
const RETRY_SOON = 'Retry-After: 1\r\n';

export class Exchange implements RequestOrigin, BodySource, ResponseOwner {
  readonly head: RequestHead;
  readonly response: ResponseWriter;
  readonly body: RequestBody;
  readonly #connection: ExchangeConnection;
  readonly #request: HttpRequest;
  readonly #clock: BodyClock | null = null;
  readonly #behind: number;
  #state: State;
  /** Aborts the signal of the request, in the async context in which it was first asked for. */
  #abort: ((reason: Error) => void) | null = null;

  /** `behind` bytes have come behind the head. */
  constructor(connection: ExchangeConnection, head: RequestHead, behind: number) {
    const decoder = decoderOf(head.framing, connection.context.limits);
    const body = decoder === null ? RequestBody.none : new RequestBody(decoder, this);
    this.#connection = connection;
    this.head = head;
    this.body = body;
    this.#behind = behind;
    this.#request = new HttpRequest(head, body, this);
    this.response = new ResponseWriter(this, connection.outgoing, head.method === 'HEAD', head.minorVersion);
    if (body.isComplete) {
      this.#state = WHOLE;
      return;
    }
    this.#clock = new BodyClock(connection.context.timeouts);
    this.#state = head.expectsContinue ? EXPECT : BODY;
    if (!head.expectsContinue) this.#clock.run(connection.context.activeNow());
  }

  // For the connection.

  /** Calls the handler, in an async context of its own, and reports what it throws there. */
  run(): void {
    this.#connection.context.createContext().runInAsyncScope(this.#callHandler, this);
  }

  get isBodyToCome(): boolean {
    return this.#state < WHOLE;
  }

  /** A body is being read that nothing holds back. */
  get isReadingBody(): boolean {
    return this.#state < FULL;
  }

  /** A handler reads the body and has not begun its response. It gets all of the body, although the client may be gone. */
  get isReadByHandler(): boolean {
    return this.isBodyToCome && this.body.isTaken && !this.response.hasBegun;
  }

  /** Takes bytes[start..end) as far as they are body; returns the offset behind them. */
  push(bytes: Buffer, start: number, end: number): number {
    if (this.#state === EXPECT) {
      this.#state = BODY; // the client did not wait
      this.#clock?.run(this.#connection.context.activeNow());
    }
    let at: number;
    try {
      at = this.body.push(bytes, start, end);
    } catch (error) {
      this.bodyFailed(error as HttpError);
      return end;
    }
    if (this.body.isComplete) {
      this.#state = WHOLE;
      this.#waitForAnswer();
    }
    return at;
  }

  /** The client has ended its side. */
  clientEnded(): void {
    if (this.isBodyToCome) this.bodyFailed(new HttpError(400, 'the connection ended within a body'));
  }

  /** No more of the body will come, or nothing that could be trusted. */
  bodyFailed(error: HttpError): void {
    const connection = this.#connection;
    if (this.response.hasBegun) connection.cut();
    else connection.refuse(error.status, error.message, error.status === 503 ? RETRY_SOON : '');
    this.body.fail(error);
  }

  /** The deadline has passed. */
  onTimeout(): void {
    if (this.#state === BODY) this.#checkBody();
    else this.#answerIsLate();
  }

  /** The pieces of a tick have left, and the response has begun. */
  piecesSent(): void {
    if (this.#state === WHOLE || this.#state === FULL) this.#connection.deadline.none();
  }

  /** The connection is closed. Returns whether that matters: whether something here waits for the client. */
  close(): boolean {
    this.#state = GONE;
    this.body.release();
    return this.#abort !== null || !this.body.isComplete;
  }

  /** Tells those who wait for the client. */
  fail(reason: ClientGoneError): void {
    this.#abort?.(reason);
    this.body.fail(reason);
  }

  // For the request.

  get remoteAddress(): SocketAddress {
    return this.#connection.stream.remoteAddress;
  }

  get peerCredentials(): PeerCredentials | null {
    return this.#connection.stream.peerCredentials;
  }

  /** After the response nothing can happen to the request any more: its signal stays silent. */
  createSignal(): AbortSignal {
    if (this.#state === GONE) return AbortSignal.abort(new ClientGoneError());
    const controller = new AbortController();
    if (this.#state !== DONE) this.#abort = AsyncResource.bind((reason: Error) => controller.abort(reason));
    return controller.signal;
  }

  // For the body.

  get limits(): Limits {
    return this.#connection.context.limits;
  }

  get bodyMemory(): BodyMemory {
    return this.#connection.context.bodyMemory;
  }

  resumeReading(): void {
    const connection = this.#connection;
    if (!this.isBodyToCome || connection.outgoing.isClosed) return;
    if (this.#state === EXPECT) this.#sendContinue();
    this.#state = BODY;
    connection.resumeReading();
    this.#clock?.run(connection.context.activeNow());
    this.#checkBody();
  }

  pauseReading(): void {
    const connection = this.#connection;
    if (!this.isBodyToCome || connection.outgoing.isClosed) return;
    this.#state = FULL;
    connection.pauseReading();
    this.#clock?.stop(connection.context.activeNow());
    this.#waitForAnswer();
  }

  refuseBody(error: HttpError): void {
    this.bodyFailed(error);
  }

  // For the response.

  /** Whether the connection could go on after this response. */
  canKeepAlive(): boolean {
    const { head, body } = this;
    const connection = this.#connection;
    const { context } = connection;
    const isTooMuchLeft = head.framing - body.receivedBytes > context.limits.discardBytes; // of a body whose length is known
    return (
      head.keepAlive &&
      connection.mayServeMore &&
      !isTooMuchLeft && // the rest of the body will not be read
      !(context.isStopping && this.#isLastKnown) &&
      this.#state !== EXPECT // the body may come or not: nobody can tell what follows, RFC 9110 section 10.1.1
    );
  }

  beginStream(): void {
    this.#connection.outgoing.beginStream();
    this.body.responseBegun();
  }

  responseCompleted(): void {
    const connection = this.#connection;
    if (connection.outgoing.isClosed) return;
    this.#state = DONE;
    this.#abort = null; // whatever becomes of the client now, the handler's work was not in vain
    this.body.release();
    connection.exchangeDone(this);
  }

  abortResponse(): void {
    this.#connection.cut();
  }

  handlerFailed(error: unknown): void {
    const isOver = this.#state >= DONE || this.#connection.outgoing.isClosed;
    if (error instanceof ClientGoneError && isOver) return; // a client may leave at any time
    const isChosen = error instanceof HttpError;
    if (!isChosen || error.status >= 500) this.#report(error);
    if (this.response.hasEnded || isOver) return;
    if (this.response.hasBegun) {
      this.#connection.cut();
      return;
    }
    const status = isChosen ? error.status : 500;
    this.response.restart();
    this.response.status(status).text(`${isChosen ? error.message : reasonOf(500)}\n`); // only HttpError has words for the client
  }

  /** RFC 9110 section 7.8: an Upgrade counts where Connection names it too, and not in HTTP/1.0. */
  hasAskedFor(protocol: string): boolean {
    return this.head.hasConnectionUpgrade && namesProtocol(this.#request.headers.get('upgrade') ?? '', protocol);
  }

  get isRequestRead(): boolean {
    return this.#state === WHOLE && this.body.isRead;
  }

  upgrade(fields: string, createHandler: (stream: Stream) => StreamHandler): void {
    this.body.release();
    this.#connection.handOver(fields, createHandler);
  }

  // The handler.

  #callHandler(): void {
    const { response } = this;
    let result: Promise<void> | null;
    try {
      result = promiseOf(this.#connection.context.handler(this.#request, response));
    } catch (error) {
      this.handlerFailed(error);
      return;
    }
    if (!response.hasEnded && !this.#connection.outgoing.isClosed) {
      if (this.#state === BODY) this.#checkBody();
      else this.#waitForAnswer();
    }
    if (result === null) return; // the handler has answered, or will, from a callback
    result.then(
      () => this.#handlerReturned(),
      (error: unknown) => this.handlerFailed(error),
    );
  }

  /** An async handler has returned. A stream that it has begun may go on without it, unless a length was promised for it. */
  #handlerReturned(): void {
    const { response } = this;
    if (response.hasEnded || this.#connection.outgoing.isClosed) return;
    if (!response.hasBegun || response.hasPromisedLength) {
      this.handlerFailed(new Error('the handler ended before its response was complete'));
    }
  }

  #report(error: unknown): void {
    this.#connection.context.report(error, this.#request);
  }

  /** The request is complete, or its handler takes its time to read on. A response that has begun may take as long as it likes. */
  #waitForAnswer(): void {
    if (this.response.hasBegun) this.#connection.deadline.none();
    else this.#connection.deadline.forAnswer();
  }

  #answerIsLate(): void {
    const { context } = this.#connection;
    if (this.response.hasBegun) return; // it has no deadline any more
    const error = new Error(`no response began within ${context.timeouts.answerMs} ms (answerMs)`);
    // The alarm may have been set while another request was at work, and would bring the stores of that one.
    context.createContext().runInAsyncScope(this.#report, this, error);
    this.#connection.refuse(503, reasonOf(503));
  }

  // The body.

  #checkBody(): void {
    const clock = this.#clock as BodyClock;
    const delayMs = clock.nextCheckMs(this.#connection.context.activeNow(), this.body.receivedBytes);
    if (delayMs > 0) this.#connection.deadline.forBody(delayMs);
    else this.bodyFailed(new HttpError(408, 'the body took too long'));
  }

  #sendContinue(): void {
    const { outgoing, isConsuming } = this.#connection;
    if (this.response.hasBegun) return;
    outgoing.latin1('HTTP/1.1 100 Continue\r\n\r\n');
    if (!isConsuming) outgoing.flush();
  }

  /**
   * While the server stops: nothing that our kernel has received waits behind what is read of this request. Where the rest of a body has
   * come, a next request may lie behind it. RFC 9112 section 9.6: what came behind a request
   * whose response says `Connection: close` must not be processed, so a pipeline that has come hears it at its end.
   */
  get #isLastKnown(): boolean {
    const bodyBytes = this.isBodyToCome ? Math.max(0, this.head.framing) : 0; // the length of a chunked body is not known yet
    return !this.#connection.hasInputBehind(this.#behind - bodyBytes);
  }
}

function decoderOf(framing: number, limits: Limits): BodyDecoder | null {
  if (framing === NO_BODY || framing === 0) return null;
  return framing === CHUNKED ? new ChunkedDecoder(limits) : new LengthDecoder(framing);
}
