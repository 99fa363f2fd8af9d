/**
 * Exchange: one request, the handler at work on it, and its response. A connection has one exchange at a time.
 *
 * The request, the body and the response call their exchange, so none of them imports the connection. The exchange does not change the phase
 * of the connection: it calls the connection to go on (`exchangeDone`), to refuse (`refuse`) or to break off (`cut`).
 *
 *     WORK --> DONE --> GONE
 *       \_______________^
 *
 * body-receiver.ts has the states of a request body.
 *
 * A refusal and a cut change no state: `outgoing.isClosed` is true from then on, and what the handler still writes is dropped. So "the answer is
 * over" is always both questions, `state >= DONE || outgoing.isClosed`. Its outcome comes later, when the kernel has the last byte (answer-log.ts).
 *
 * Next: signals.ts
 */

import type {
  PeerCredentials,
  ProxiedStream,
  SecureStream,
  SocketAddress,
  Stream,
  StreamHandler,
  TlsInfo,
} from '../../simplenet/index.ts';
import { answerError, errorBodyOf } from '../error-answer.ts';
import { namesProtocol } from '../grammar.ts';
import { answerFailure, awaitHandler, callHandler, type FailedExchange } from '../handlers/handler-call.ts';
import { abortErrorOf, bodyTooLarge, ClientGoneError, HttpError, isClientGone } from '../http-error.ts';
import type { Limits, Timeouts } from '../limits.ts';
import { decoderOf } from '../request/body-decoder.ts';
import { HeaderList } from '../request/header-list.ts';
import { HttpRequest, type Outcome, type RequestOrigin } from '../request/http-request.ts';
import { Meter } from '../request/meter.ts';
import { RequestBody } from '../request/request-body.ts';
import type { RequestHead } from '../request/request-head.ts';
import type { TrustedProxies } from '../request/trusted-proxies.ts';
import { type ResponseOwner, ResponseWriter } from '../response/response-writer.ts';
import { type LimitsInForce, type RouteLimits, withRouteLimits } from '../route-limits.ts';
import { reasonOf } from '../status.ts';
import type { WebSocketCounts } from '../web-socket-counts.ts';
import type { Applicant } from './admission.ts';
import { BodyReceiver, type ReceivingExchange } from './body-receiver.ts';
import type { ExchangeConnection } from './exchange-connection.ts';
import { closingError, Signals } from './signals.ts';

type State = number;
const WORK: State = 0;
/** The response is written; the client need not have it yet. */
const DONE: State = 1;
/** The connection is closed. */
const GONE: State = 2;

/** nginx uses this status in its logs for a request whose client has left. */
const CLIENT_CLOSED_REQUEST = 499;

/** RFC 9110 section 10.2.3, in seconds. Places, and memory for bodies, come free when other handlers respond. */
const RETRY_SOON = '1';

export class Exchange implements RequestOrigin, ResponseOwner, FailedExchange, ReceivingExchange, Applicant {
  readonly response: ResponseWriter;
  readonly body: RequestBody;
  readonly #connection: ExchangeConnection;
  /** Null once nothing here needs it: see `forgetRequest`. */
  #request: HttpRequest | null;
  /** Null for a request without a body. */
  readonly #receiver: BodyReceiver | null;
  readonly #bytesAfterHead: number;
  #state = WORK;
  /** The signals of the request, from the moment when one of them is first read. */
  #signals: Signals | null = null;
  /** Null unless code of the program wants to know what becomes of the answer. */
  #meter: Meter | null = null;
  /** What the handler is told of a client that has ended its side; null until it is told. */
  #clientEnd: ClientGoneError | null = null;
  /** Null while the limits of the server are in force. */
  #ownLimits: LimitsInForce | null = null;

  /** `bytesAfterHead` received bytes follow the head. */
  constructor(connection: ExchangeConnection, head: RequestHead, bytesAfterHead: number) {
    const { context } = connection;
    const decoder = decoderOf(head.framing, context.limits);
    const receiver = decoder === null ? null : new BodyReceiver(this, connection, decoder, head.expectsContinue);
    const body = receiver === null ? RequestBody.none : receiver.body;
    this.#connection = connection;
    this.#receiver = receiver;
    this.body = body;
    this.#bytesAfterHead = bytesAfterHead;
    this.#request = new HttpRequest(head, body, this);
    this.response = new ResponseWriter(this, connection.outgoing, head.method === 'HEAD', head.minorVersion);
    if (context.observes) this.#meter = connection.outgoing.measure(this);
  }

  // For the connection.

  get request(): HttpRequest {
    return this.#request as HttpRequest;
  }

  get head(): RequestHead {
    return this.request.head;
  }

  /** RFC 9112 section 9.6: the client has asked for the end of the connection. Not known of a stream of events that has forgotten its request. */
  get isLastOfClient(): boolean {
    return this.#request?.head.keepAlive === false;
  }

  /** Begins with the request, unless it is refused. */
  run(): void {
    if (this.head.framing > this.limits.bodyBytes && this.head.framing > this.#bodyBytesOfRoute) {
      const { status, message } = bodyTooLarge(Math.max(this.limits.bodyBytes, this.#bodyBytesOfRoute));
      this.#refuse(status, message);
      return;
    }
    const { admission } = this.#connection.context;
    if (admission === null || admission.isFree(this.head.path)) this.#begin();
    else admission.enter(this);
  }

  // For the admission.

  admitted(): void {
    this.#begin();
  }

  queued(): void {
    if (this.#connection.hasPeerEnded && this.#endMeansGone) this.#leaveLine();
    else this.#awaitNext();
  }

  /** A response like that of a handler, so the connection stays open: a new one would cost the server more than the request. */
  turnedAway(): void {
    this.response.header('Retry-After', RETRY_SOON);
    answerError(this.request, this.response, 503, 'the server is busy');
  }

  awaitTurn(): void {
    this.#connection.stream.awaitTurn();
  }

  press(): number {
    return this.#connection.press();
  }

  /** If its answer is over, its connection is not behind for it. */
  refuseIfSlow(): boolean {
    return !this.isOver && this.#connection.refuseIfSlow();
  }

  /** Its answer is over: it needs no place any more, and waits for none. Whoever ends the answer calls this, so the admission never calls one that is over. */
  #leave(): void {
    this.#connection.context.admission?.leave(this);
  }

  /** How far the client is behind with the body that the handler waits for. */
  get behindMs(): number {
    return this.#receiver?.behindMs ?? 0;
  }

  refuseSlowBody(): void {
    (this.#receiver as BodyReceiver).refuseAsSlow();
  }

  get isBodyIncomplete(): boolean {
    return this.#receiver?.isIncomplete === true;
  }

  /** The body is incomplete, and nothing stops the connection from reading it. */
  get isReadingBody(): boolean {
    return this.#receiver?.isReading === true;
  }

  /** The handler reads the body and has not begun its response. It gets the whole body, even if the client has disconnected. */
  get isReadByHandler(): boolean {
    return this.isBodyIncomplete && this.body.isTaken && !this.response.hasBegun;
  }

  /** Takes the body bytes of bytes[start..end), and returns the offset after them. Only called while the body is incomplete. */
  push(bytes: Buffer, start: number, end: number): number {
    return (this.#receiver as BodyReceiver).push(bytes, start, end);
  }

  /** The client has ended its side. Who waits for that is told. What the handler sends still reaches a client that waits for it. */
  clientEnded(): void {
    if (this.isBodyIncomplete) this.bodyFailed(new HttpError(400, 'the connection ended within a body'));
    else if (this.#endMeansGone) {
      if (this.#connection.context.admission?.isQueued(this) === true) {
        this.#leaveLine();
        return;
      }
      if (this.#signals?.awaitsClient === true) this.#signals.abortGone(this.#endOfClient());
      this.response.closeEvents();
    }
  }

  /** Code of the program may wait for a signal. */
  get hasSignals(): boolean {
    return this.#signals !== null;
  }

  /** The server stops. */
  serverStops(): void {
    this.#signals?.abortClosing(); // first, so that the program can still send an event
    this.response.closeEvents();
  }

  /** The rest of the body will not be read, so the handler cannot get it. */
  bodyFailed(error: HttpError): void {
    this.#meter?.fail(error);
    if (this.response.hasBegun) this.cut();
    else this.#refuse(error.status, error.message, error.status === 503 ? RETRY_SOON : null);
    this.body.fail(error);
  }

  /** The deadline has passed. */
  onTimeout(): void {
    if (this.#receiver?.isAwaited === true) this.#receiver.checkRate();
    else this.#responseIsLate();
  }

  /** The pieces of a tick have been sent, so the response has begun. */
  piecesSent(): void {
    if (this.#state === WORK && !this.isReadingBody) this.#waitForSilence();
  }

  /** The connection is closed. Returns whether the handler may be waiting for the client. */
  close(): boolean {
    this.#state = GONE;
    this.#leave();
    this.#receiver?.end();
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

  get trustedProxies(): TrustedProxies | null {
    return this.#connection.context.trustedProxies;
  }

  get scheme(): string {
    const { stream, context } = this.#connection;
    return (stream as Partial<ProxiedStream>).proxy?.usesTls === true ? 'https' : context.scheme;
  }

  get tls(): TlsInfo | null {
    return (this.#connection.stream as Partial<SecureStream>).tls ?? null;
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
    if (this.#connection.hasPeerEnded && this.#endMeansGone) this.#signals.abortGone(this.#endOfClient());
    return signal;
  }

  /** It lives as long as the exchange, or as the stream that the exchange has handed over. */
  createClosingSignal(): AbortSignal {
    if (this.#connection.context.isStopping) return AbortSignal.abort(closingError());
    this.#signals ??= new Signals();
    this.#connection.keepForClosing(this);
    return this.#signals.forClosing();
  }

  outcome(request: HttpRequest): Promise<Outcome> {
    if (this.#meter !== null) return this.#meter.done;
    this.#request = request;
    const connection = this.#connection;
    if (this.isOver) {
      const late = new Meter(this, connection.context); // too late to count anything
      late.end(this.#state === GONE);
      return late.done;
    }
    this.#meter = connection.outgoing.measure(this);
    return this.#meter.done;
  }

  applyLimits(route: RouteLimits): void {
    const { context } = this.#connection;
    const inForce = this.#ownLimits === null ? context.limitsWith(route) : withRouteLimits(this.#ownLimits, route);
    this.#ownLimits = inForce;
    this.body.useLimits(inForce.limits);
    this.#receiver?.useTimeouts(inForce.timeouts);
    if (this.isOver) return;
    if (this.head.framing > inForce.limits.bodyBytes) throw bodyTooLarge(inForce.limits.bodyBytes);
    if (this.#receiver?.isAwaited !== true) this.waitForResponse(); // it may have begun to wait under other limits
  }

  waitUntil(promise: PromiseLike<unknown>, request: HttpRequest): void {
    this.#connection.context.waitUntil(promise, request);
  }

  exactNow(): number {
    return this.#connection.context.exactNow();
  }

  get #bodyBytesOfRoute(): number {
    return this.#connection.context.routeLimits(this.head.method, this.head.path)?.bodyBytes ?? 0;
  }

  // For the body.

  get limits(): Limits {
    return (this.#ownLimits ?? this.#connection.context).limits;
  }

  /** The request is complete, or its body waits. Then only the beginning of the response has a deadline. */
  waitForResponse(): void {
    if (this.response.hasBegun) this.#waitForSilence();
    else this.#connection.deadline.forResponse(this.#timeouts.answerMs);
  }

  /** A response that has begun has no deadline, but a stream of events sends something after a silence. */
  #waitForSilence(): void {
    const { heartbeatMs } = this.response;
    this.#connection.deadline.forHeartbeat(heartbeatMs);
    if (this.#receiver === null) this.#connection.outgoing.silenceMs = heartbeatMs; // a body that is still coming has deadlines of its own
  }

  // For the response.

  get mustEndStreams(): boolean {
    const { context, hasPeerEnded } = this.#connection;
    return context.isStopping || (hasPeerEnded && this.#endMeansGone);
  }

  /** The fields are cut apart for this one call. Those that the request keeps for its program take twice the memory of a head. */
  requestField(name: string): string | null {
    return new HeaderList(this.head.text, this.head.fieldsAt).get(name);
  }

  /**
   * A stream of events is open for hours, and its handler is done: the request can go, unless its program holds it. The head of a browser takes 1 KB, a quarter
   * of what a listener takes. An outcome needs the request at the end. The fields of a body are read while it comes.
   */
  forgetRequest(): void {
    if (this.#meter === null && this.#receiver === null) this.#request = null;
  }

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
    return this.#receiver?.isContinueDue === true;
  }

  sendContinue(head: string): void {
    this.sendInformational(head);
    this.#receiver?.continueSent();
  }

  beginStream(): void {
    this.#connection.outgoing.beginStream();
    this.body.responseBegun();
  }

  responseCompleted(): void {
    const connection = this.#connection;
    if (connection.outgoing.isClosed) return;
    this.#state = DONE;
    this.#leave();
    this.#receiver?.end();
    this.#signals = null; // neither signal is aborted after the response
    this.body.release();
    connection.exchangeDone(this);
  }

  abortResponse(): void {
    this.cut();
  }

  handlerFailed(error: unknown): void {
    if (this.response.hasFailedWith(error)) return; // the handler awaits what has failed already
    const { isOver } = this;
    if (isOver && isClientGone(error)) return; // a client may disconnect at any time
    this.#meter?.fail(error);
    if (!isOver && this.#clientEnd !== null && isClientGone(error, this.#clientEnd)) this.#giveUp();
    else if (answerFailure(this, error)) this.waitForResponse();
  }

  /** The response is complete, or nothing reaches the client any more. */
  get isOver(): boolean {
    return this.#state >= DONE || this.#connection.outgoing.isClosed;
  }

  report(error: unknown, response: ResponseWriter | null): boolean | Promise<boolean> {
    return this.#connection.context.report(error, this.#request, response);
  }

  /** The place comes free at once: what is queued for the client, and the end of the connection, may take it long. */
  cut(): void {
    this.#leave();
    this.#connection.cut();
  }

  /** Its client has ended its side, so its handler need not begin. */
  #leaveLine(): void {
    this.#meter?.fail(this.#endOfClient());
    this.#giveUp();
  }

  /** The handler has stopped because its client has ended its side. If the client still reads, it must see that no response follows. */
  #giveUp(): void {
    if (this.response.hasBegun) this.cut();
    else this.#refuse(CLIENT_CLOSED_REQUEST, 'the client ended its side before the response');
  }

  /**
   * An error response like those of a handler: without the fields of CORS a page could not read why it was refused. The callbacks of middleware
   * run in a fresh async context, because this may run in that of another request. The place comes free now, and not when the connection has lingered.
   */
  #refuse(status: number, message: string, retryAfter: string | null = null): void {
    const connection = this.#connection;
    this.#leave();
    connection.context.createContext().runInAsyncScope(() => {
      const body = errorBodyOf(this.request, status, message);
      const answer = this.response.refusal({ ...body, status, retryAfter }, (error) => void this.report(error, null));
      if (!this.isOver) connection.refuse(status, message, answer); // a callback may have broken the response off
    });
  }

  /** RFC 9110 section 7.8: Upgrade counts only if Connection names it, and not in HTTP/1.0. */
  hasAskedFor(protocol: string): boolean {
    return this.head.hasConnectionUpgrade && namesProtocol(this.request.headers.get('upgrade') ?? '', protocol);
  }

  get isRequestRead(): boolean {
    return this.#state === WORK && this.body.isRead;
  }

  get webSocketCounts(): WebSocketCounts {
    return this.#connection.context.webSocketCounts;
  }

  upgrade(head: string, createHandler: (stream: Stream) => StreamHandler): void {
    this.#leave();
    this.body.release();
    this.#connection.handOver(head, createHandler);
  }

  // The handler.

  /** Calls the handler in an async context of its own. Its errors are reported in the same context. */
  #begin(): void {
    this.#connection.context.createContext().runInAsyncScope(this.#callHandler, this);
  }

  #callHandler(): void {
    const { request, response } = this;
    const { context } = this.#connection;
    if (this.#meter !== null) context.answerBegins(request);
    let result: Promise<unknown> | null;
    try {
      result = callHandler(context.handler, request, response);
    } catch (error) {
      this.handlerFailed(error);
      return;
    }
    if (!this.isOver) {
      this.#awaitNext();
      if (result === null) response.handlerDone();
    }
    if (result !== null) awaitHandler(result, request, response); // otherwise it is complete, or a callback will complete it
  }

  /** Sets the deadline: for the body, or for the response. */
  #awaitNext(): void {
    if (this.#receiver?.isAwaited === true) this.#receiver.awaitBytes();
    else this.waitForResponse();
  }

  #endOfClient(): ClientGoneError {
    this.#clientEnd ??= new ClientGoneError(undefined, 'the client has ended its side of the connection');
    return this.#clientEnd;
  }

  get #endMeansGone(): boolean {
    return this.#connection.context.halfClose === 'abort';
  }

  get #timeouts(): Timeouts {
    return (this.#ownLimits ?? this.#connection.context).timeouts;
  }

  #responseIsLate(): void {
    const { context } = this.#connection;
    if (this.response.hasBegun) {
      this.response.heartbeat();
      this.#waitForSilence();
      return;
    }
    const error = new Error(`no response began within ${this.#timeouts.answerMs} ms (answerMs)`);
    this.#meter?.fail(error);
    // The alarm may have been set in the context of another request, and would run with its stores.
    context.createContext().runInAsyncScope(() => this.report(error, null));
    this.#refuse(503, reasonOf(503));
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
