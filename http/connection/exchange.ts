/**
 * Exchange: one request, the handler at work on it, and its response. A connection has one exchange at a time.
 *
 * The request, the body and the response call their exchange, so none of them imports the connection. The exchange does not change the phase
 * of the connection: it calls the connection to go on (`exchangeDone`), to refuse (`refuse`) or to break off (`cut`).
 *
 *     EXPECT --> BODY <--> FULL      the request body
 *        |        | ^
 *        v        | |
 *     EXPECT_FULL --+                both at once: the client waits for `100 Continue`, and we for memory
 *                 |
 *               WHOLE                the request is complete
 *                 |
 *                DONE                the response is written (from each state above: a handler need not read the body)
 *                 |
 *                GONE                the connection is closed (from any state)
 *
 * A refusal and a cut change no state: `outgoing.isClosed` is true from then on, and what the handler still writes is dropped. So "the answer is
 * over" is always both questions, `state >= DONE || outgoing.isClosed`. Its outcome comes later, when the kernel has the last byte (answer-log.ts).
 *
 * Next: signals.ts
 */

import type { PeerCredentials, SocketAddress, Stream, StreamHandler } from '../../simplenet/index.ts';
import { answerError } from '../error-answer.ts';
import { namesProtocol } from '../grammar.ts';
import { isResponse, sendResponse } from '../handlers/send-response.ts';
import { abortErrorOf, bodyTooLarge, ClientGoneError, HttpError, isClientGone } from '../http-error.ts';
import type { Limits, Timeouts } from '../limits.ts';
import { mistakenReturn, promiseOf } from '../promises.ts';
import { type BodyDecoder, ChunkedDecoder, LengthDecoder } from '../request/body-decoder.ts';
import { CHUNKED, NO_BODY } from '../request/body-framing.ts';
import type { BodyMemory } from '../request/body-memory.ts';
import { HttpRequest, type Outcome, type RequestOrigin } from '../request/http-request.ts';
import { type BodySource, RequestBody } from '../request/request-body.ts';
import type { RequestHead } from '../request/request-head.ts';
import { type ResponseOwner, ResponseWriter } from '../response/response-writer.ts';
import { type LimitsInForce, type RouteLimits, withRouteLimits } from '../route-limits.ts';
import { reasonOf } from '../status.ts';
import { BodyClock } from './body-clock.ts';
import type { ConnectionContext } from './connection-context.ts';
import type { Deadline } from './deadline.ts';
import { Meter } from './meter.ts';
import type { Outgoing } from './outgoing.ts';
import { closingError, Signals } from './signals.ts';

/** What an exchange asks of its connection. */
export interface ExchangeConnection {
  readonly stream: Stream;
  readonly context: ConnectionContext;
  readonly outgoing: Outgoing;
  readonly deadline: Deadline;
  /** The connection is working through received bytes. It sends what is written meanwhile at the end. */
  readonly isConsuming: boolean;
  /** The client has ended its side. */
  readonly hasPeerEnded: boolean;
  /** Neither an earlier response nor `requestsPerConnection` ends the connection now. */
  readonly mayServeMore: boolean;
  /** Whether bytes after this request have come. `unusedBytes` of the bytes that are being consumed come after it. */
  hasInputAfter(unusedBytes: number): boolean;
  pauseReading(): void;
  resumeReading(): void;
  exchangeDone(exchange: Exchange): void;
  /** Sends a response with that status and message, and ends the connection. */
  refuse(status: number, message: string, fields?: string): void;
  /** Ends the connection so that the client can notice that the response is incomplete. */
  cut(): void;
  /** Writes the head of the last response, and gives the stream away. */
  handOver(head: string, createHandler: (stream: Stream) => StreamHandler): void;
  /** Counts what is written from now on, up to the end of this answer. */
  measure(exchange: Exchange): Meter;
}

type State = number;
/** The body is incomplete, and the client waits for `100 Continue` before it sends any of it. */
const EXPECT: State = 0;
/** The body is incomplete. */
const BODY: State = 1;
/** The body is incomplete, and the connection is not read: the queue of the body is full, or the body waits for memory. */
const FULL: State = 2;
/** As FULL, and the client waits for `100 Continue`. */
const EXPECT_FULL: State = 3;
/** The request is complete. */
const WHOLE: State = 4;
/** The response is written; the client need not have it yet. */
const DONE: State = 5;
/** The connection is closed. */
const GONE: State = 6;

/** nginx uses this status in its logs for a request whose client has left. */
const CLIENT_CLOSED_REQUEST = 499;

/** RFC 9110 section 10.2.3. Memory for bodies comes free when other handlers respond. */
const RETRY_SOON = 'Retry-After: 1\r\n';

export class Exchange implements RequestOrigin, BodySource, ResponseOwner {
  readonly head: RequestHead;
  readonly response: ResponseWriter;
  readonly body: RequestBody;
  readonly #connection: ExchangeConnection;
  readonly request: HttpRequest;
  readonly #clock: BodyClock | null = null;
  readonly #bytesAfterHead: number;
  #state: State;
  /** The signals of the request, from the moment when one of them is first read. */
  #signals: Signals | null = null;
  /** Null unless code of the program wants to know what becomes of the answer. */
  #meter: Meter | null = null;
  /** Null while the limits of the server are in force. */
  #ownLimits: LimitsInForce | null = null;

  /** `bytesAfterHead` received bytes follow the head. */
  constructor(connection: ExchangeConnection, head: RequestHead, bytesAfterHead: number) {
    const decoder = decoderOf(head.framing, connection.context.limits);
    const body = decoder === null ? RequestBody.none : new RequestBody(decoder, this);
    this.#connection = connection;
    this.head = head;
    this.body = body;
    this.#bytesAfterHead = bytesAfterHead;
    this.request = new HttpRequest(head, body, this);
    this.response = new ResponseWriter(this, connection.outgoing, head.method === 'HEAD', head.minorVersion);
    if (connection.context.observes) this.#meter = connection.measure(this);
    if (body.isComplete) {
      this.#state = WHOLE;
      return;
    }
    this.#clock = new BodyClock(connection.context.timeouts);
    this.#state = head.expectsContinue ? EXPECT : BODY;
    if (!head.expectsContinue) this.#clock.run(connection.context.activeNow());
  }

  // For the connection.

  /** Calls the handler in an async context of its own. Its errors are reported in the same context. */
  run(): void {
    if (this.head.framing > this.limits.bodyBytes && this.head.framing > this.#bodyBytesOfRoute) {
      const { status, message } = bodyTooLarge(Math.max(this.limits.bodyBytes, this.#bodyBytesOfRoute));
      this.#connection.refuse(status, message);
      return;
    }
    this.#connection.context.createContext().runInAsyncScope(this.#callHandler, this);
  }

  get isBodyIncomplete(): boolean {
    return this.#state < WHOLE;
  }

  /** The body is incomplete, and nothing stops the connection from reading it. */
  get isReadingBody(): boolean {
    return this.#state < FULL;
  }

  /** The handler reads the body and has not begun its response. It gets the whole body, even if the client has disconnected. */
  get isReadByHandler(): boolean {
    return this.isBodyIncomplete && this.body.isTaken && !this.response.hasBegun;
  }

  /** Takes the body bytes of bytes[start..end), and returns the offset after them. */
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
      this.#waitForResponse();
    }
    return at;
  }

  /** The client has ended its side. */
  clientEnded(): void {
    if (this.isBodyIncomplete) this.bodyFailed(new HttpError(400, 'the connection ended within a body'));
    else if (this.#endMeansGone && this.#signals?.awaitsClient === true) this.#signals.abortGone(clientEndedError());
  }

  /** The server stops. */
  serverStops(): void {
    this.#signals?.abortClosing();
  }

  /** The rest of the body will not be read, so the handler cannot get it. */
  bodyFailed(error: HttpError): void {
    const connection = this.#connection;
    this.#meter?.fail(error);
    if (this.response.hasBegun) connection.cut();
    else this.#refuse(error.status, error.message, error.status === 503);
    this.body.fail(error);
  }

  /** The deadline has passed. */
  onTimeout(): void {
    if (this.#state === BODY) this.#checkBody();
    else this.#responseIsLate();
  }

  /** The pieces of a tick have been sent, so the response has begun. */
  piecesSent(): void {
    if (this.#state >= FULL && this.#state <= WHOLE) this.#connection.deadline.none();
  }

  /** The connection is closed. Returns whether the handler may be waiting for the client. */
  close(): boolean {
    this.#state = GONE;
    this.body.release();
    return this.#signals?.awaitsClient === true || !this.body.isComplete || this.response.isSending;
  }

  /** The client has gone: aborts the signal, rejects the pending read of the body and cancels the stream that is being sent. */
  fail(reason: ClientGoneError): void {
    this.response.connectionClosed(reason);
    this.#signals?.abortGone(reason);
    this.body.fail(reason);
  }

  // For the request.

  get remoteAddress(): SocketAddress {
    return this.#connection.stream.remoteAddress;
  }

  get localAddress(): SocketAddress {
    return this.#connection.stream.localAddress;
  }

  get clientAddress(): SocketAddress {
    return this.remoteAddress;
  }

  get scheme(): string {
    return 'http';
  }

  get peerCredentials(): PeerCredentials | null {
    return this.#connection.stream.peerCredentials;
  }

  /** The signal of a request whose response is complete is never aborted. */
  createSignal(): AbortSignal {
    if (this.#state === GONE) return AbortSignal.abort(abortErrorOf(new ClientGoneError()));
    if (this.#state === DONE) return new AbortController().signal;
    this.#signals ??= new Signals();
    const signal = this.#signals.forGone();
    if (this.#connection.hasPeerEnded && this.#endMeansGone) this.#signals.abortGone(clientEndedError());
    return signal;
  }

  /** It lives as long as the exchange, or as the stream that the exchange has handed over. */
  createClosingSignal(): AbortSignal {
    if (this.#connection.context.isStopping) return AbortSignal.abort(closingError());
    this.#signals ??= new Signals();
    return this.#signals.forClosing();
  }

  outcome(): Promise<Outcome> {
    if (this.#meter !== null) return this.#meter.outcome;
    const connection = this.#connection;
    if (this.#state >= DONE || connection.outgoing.isClosed) {
      return Promise.resolve(new Meter(this, connection.context).end(this.#state === GONE)); // too late to count anything
    }
    this.#meter = connection.measure(this);
    return this.#meter.outcome;
  }

  applyLimits(route: RouteLimits): void {
    const { context } = this.#connection;
    const inForce = this.#ownLimits === null ? context.limitsWith(route) : withRouteLimits(this.#ownLimits, route);
    this.#ownLimits = inForce;
    this.body.useLimits(inForce.limits);
    this.#clock?.useTimeouts(inForce.timeouts);
    if (this.#state >= DONE || this.#connection.outgoing.isClosed) return;
    if (this.head.framing > inForce.limits.bodyBytes) throw bodyTooLarge(inForce.limits.bodyBytes);
    if (this.#state !== BODY) this.#waitForResponse(); // it may have begun to wait under other limits
  }

  waitUntil(promise: PromiseLike<unknown>): void {
    this.#connection.context.waitUntil(promise, this.request);
  }

  get #bodyBytesOfRoute(): number {
    return this.#connection.context.routeLimits(this.head.method, this.head.path)?.bodyBytes ?? 0;
  }

  // For the body.

  get limits(): Limits {
    return (this.#ownLimits ?? this.#connection.context).limits;
  }

  get bodyMemory(): BodyMemory {
    return this.#connection.context.bodyMemory;
  }

  resumeReading(): void {
    const connection = this.#connection;
    if (!this.isBodyIncomplete || connection.outgoing.isClosed) return;
    if (this.isContinueDue) {
      if (connection.context.continuesByHand) {
        this.#state = EXPECT; // the client may send the body without waiting any longer
        connection.resumeReading();
        return;
      }
      if (!this.response.hasBegun) this.sendInformational('HTTP/1.1 100 Continue\r\n\r\n');
    }
    this.#state = BODY;
    connection.resumeReading();
    this.#clock?.run(connection.context.activeNow());
    this.#checkBody();
  }

  pauseReading(): void {
    const connection = this.#connection;
    if (!this.isBodyIncomplete || connection.outgoing.isClosed) return;
    this.#state = this.isContinueDue ? EXPECT_FULL : FULL;
    connection.pauseReading();
    this.#clock?.stop(connection.context.activeNow());
    this.#waitForResponse();
  }

  refuseBody(error: HttpError): void {
    this.bodyFailed(error);
  }

  // For the response.

  /** Whether the connection can stay open after this response. */
  canKeepAlive(): boolean {
    const { head, body } = this;
    const connection = this.#connection;
    const { context } = connection;
    const isTooMuchLeft = head.framing - body.receivedBytes > context.limits.discardBytes; // false if the length is unknown
    return (
      head.keepAlive &&
      connection.mayServeMore &&
      !isTooMuchLeft && // the rest of the body will not be read
      !(context.isStopping && this.#isLastReceived) &&
      head.method !== 'CONNECT' && // what the client sends behind it may be meant for a tunnel, and would be read as requests
      !this.isContinueDue // the client may send the body or its next request (RFC 9110 section 10.1.1)
    );
  }

  get keepAliveLine(): string {
    return this.head.asksKeepAlive ? this.#connection.context.keepAliveLine : '';
  }

  sendInformational(head: string): void {
    const { outgoing, isConsuming } = this.#connection;
    outgoing.head(head);
    if (!isConsuming) outgoing.flush();
  }

  get isContinueDue(): boolean {
    return this.#state === EXPECT || this.#state === EXPECT_FULL;
  }

  sendContinue(head: string): void {
    this.sendInformational(head);
    if (this.#state === EXPECT_FULL) this.#state = FULL;
    if (this.#state !== EXPECT) return;
    this.#state = BODY;
    this.#clock?.run(this.#connection.context.activeNow());
    this.#checkBody();
  }

  beginStream(): void {
    this.#connection.outgoing.beginStream();
    this.body.responseBegun();
  }

  responseCompleted(): void {
    const connection = this.#connection;
    if (connection.outgoing.isClosed) return;
    this.#state = DONE;
    this.#signals = null; // neither signal is aborted after the response
    this.body.release();
    connection.exchangeDone(this);
  }

  abortResponse(): void {
    this.#connection.cut();
  }

  handlerFailed(error: unknown): void {
    if (this.response.hasFailedWith(error)) return; // the handler awaits what has failed already
    const isOver = this.#state >= DONE || this.#connection.outgoing.isClosed;
    if (isOver && isClientGone(error)) return; // a client may disconnect at any time
    this.#meter?.fail(error);
    if (!isOver && this.#signals?.isAboutClient(error) === true) {
      this.#giveUp();
      return;
    }
    const isForClient = error instanceof HttpError;
    // An HttpError reaches the client, unless its response has begun: then only a report shows it. Errors of the body are not the program's.
    const isLost = this.response.hasBegun && !this.body.hasFailedWith(error);
    const isToReport = !isForClient || error.status >= 500 || isLost;
    if (isOver || this.response.hasBegun) {
      if (isToReport) void this.#report(error, null);
      if (!isOver && !this.response.hasEnded) this.#connection.cut();
      return;
    }
    this.response.restart();
    this.response.status(isForClient ? error.status : 500);
    const reported = isToReport ? this.#report(error, this.response) : true;
    if (typeof reported === 'boolean') {
      this.#answerError(error, reported);
      return;
    }
    this.#waitForResponse();
    void reported.then((isReported) => this.#answerError(error, isReported));
  }

  /** Answers an error that no code of the program has answered. `isReported` is false if `onError` itself has failed. */
  #answerError(error: unknown, isReported: boolean): void {
    const { response } = this;
    if (response.hasEnded || this.#connection.outgoing.isClosed) return;
    if (response.hasBegun) {
      if (!isReported) this.#connection.cut(); // otherwise a callback of `onError` completes it
      return;
    }
    response.restart();
    const [status, message] = error instanceof HttpError ? [error.status, error.message] : [500, reasonOf(500)];
    answerError(this.request, response, status, message);
  }

  /** The handler has stopped because its client has ended its side. If the client still reads, it must see that no response follows. */
  #giveUp(): void {
    if (this.response.hasBegun) this.#connection.cut();
    else this.#refuse(CLIENT_CLOSED_REQUEST, 'the client ended its side before the response');
  }

  /** Fields that middleware has set stay, as on other error responses: without those of CORS a page could not read why it was refused. */
  #refuse(status: number, message: string, mayRetrySoon = false): void {
    const { response } = this;
    const retry = mayRetrySoon && response.getHeader('retry-after') === null ? RETRY_SOON : '';
    this.#connection.refuse(status, message, `${retry}${response.keptLines}`);
  }

  /** RFC 9110 section 7.8: Upgrade counts only if Connection names it, and not in HTTP/1.0. */
  hasAskedFor(protocol: string): boolean {
    return this.head.hasConnectionUpgrade && namesProtocol(this.request.headers.get('upgrade') ?? '', protocol);
  }

  get isRequestRead(): boolean {
    return this.#state === WHOLE && this.body.isRead;
  }

  upgrade(head: string, createHandler: (stream: Stream) => StreamHandler): void {
    this.body.release();
    this.#connection.handOver(head, createHandler);
  }

  // The handler.

  #callHandler(): void {
    const { response } = this;
    if (this.#meter !== null) this.#connection.context.answerBegins(this.request);
    let result: Promise<unknown> | null;
    try {
      const value: unknown = this.#connection.context.handler(this.request, response);
      result = promiseOf(value);
      if (value !== undefined && result === null) result = this.#takeReturned(value);
    } catch (error) {
      this.handlerFailed(error);
      return;
    }
    if (this.#state < DONE && !this.#connection.outgoing.isClosed) {
      if (this.#state === BODY) this.#checkBody();
      else this.#waitForResponse();
    }
    if (result === null) return; // the response is complete, or a callback will complete it
    result.then(
      (returned: unknown) => this.#handlerReturned(returned),
      (error: unknown) => this.handlerFailed(error),
    );
  }

  /** An async handler has finished. It may leave a response in pieces to a callback, unless the response has a Content-Length. */
  #handlerReturned(value: unknown): void {
    const { response } = this;
    try {
      const sending = value === undefined ? null : this.#takeReturned(value);
      if (sending !== null) {
        sending.then(undefined, (error: unknown) => this.handlerFailed(error));
        return;
      }
    } catch (error) {
      this.handlerFailed(error);
      return;
    }
    if (response.hasEnded || response.isSending || this.#connection.outgoing.isClosed) return;
    if (!response.hasBegun || response.hasPromisedLength) {
      this.handlerFailed(new Error('the handler ended before its response was complete'));
    }
  }

  /**
   * Called with what a handler has returned, at once or by its promise. A Response of Fetch is sent; most other values are a mistake, and this
   * throws. Returns a promise if there is something to wait for.
   */
  #takeReturned(value: unknown): Promise<void> | null {
    const { request, response } = this;
    if (isResponse(value)) return sendResponse(value, request, response);
    if (response.hasBegun || response.isSending || this.#connection.outgoing.isClosed) return null;
    const mistake = mistakenReturn(value);
    if (mistake !== null) throw mistake;
    return null;
  }

  #report(error: unknown, response: ResponseWriter | null): boolean | Promise<boolean> {
    return this.#connection.context.report(error, this.request, response);
  }

  get #endMeansGone(): boolean {
    return this.#connection.context.halfClose === 'abort';
  }

  /** The request is complete, or its body waits. Then only the beginning of the response has a deadline. */
  #waitForResponse(): void {
    if (this.response.hasBegun) this.#connection.deadline.none();
    else this.#connection.deadline.forResponse(this.#timeouts.answerMs);
  }

  get #timeouts(): Timeouts {
    return (this.#ownLimits ?? this.#connection.context).timeouts;
  }

  #responseIsLate(): void {
    const { context } = this.#connection;
    if (this.response.hasBegun) return; // no deadline any more
    const error = new Error(`no response began within ${this.#timeouts.answerMs} ms (answerMs)`);
    this.#meter?.fail(error);
    // The alarm may have been set in the context of another request, and would run with its stores.
    context.createContext().runInAsyncScope(() => this.#report(error, null));
    this.#refuse(503, reasonOf(503));
  }

  // The body.

  #checkBody(): void {
    const clock = this.#clock as BodyClock;
    const delayMs = clock.nextCheckMs(this.#connection.context.activeNow(), this.body.receivedBytes);
    if (delayMs > 0) this.#connection.deadline.forBody(delayMs);
    else this.bodyFailed(new HttpError(408, 'the body took too long'));
  }

  /**
   * While the server stops: whether no byte after this request has been received. RFC 9112 section 9.6: requests after a response with
   * `Connection: close` must not be processed. So of a pipeline that has been received only the last response says it.
   */
  get #isLastReceived(): boolean {
    const bodyBytes = this.isBodyIncomplete ? Math.max(0, this.head.framing) : 0; // the length of a chunked body is unknown
    return !this.#connection.hasInputAfter(this.#bytesAfterHead - bodyBytes);
  }
}

function clientEndedError(): ClientGoneError {
  return new ClientGoneError(undefined, 'the client has ended its side of the connection');
}

function decoderOf(framing: number, limits: Limits): BodyDecoder | null {
  if (framing === NO_BODY || framing === 0) return null;
  return framing === CHUNKED ? new ChunkedDecoder(limits) : new LengthDecoder(framing);
}
