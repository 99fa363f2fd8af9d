/**
 * MemoryExchange: one request, a handler at work on it and its response, without a connection. `inject` and `router.fetch` stand on it.
 *
 * Request, body and response are the real ones, and so are the parser of the head and the limits: only what a connection would do is done here.
 * The answer goes to a MemoryOutput. There is no clock: no handler is too late, and the times of an outcome are 0. There is no server that
 * could stop. There is no stream, so nothing can be upgraded.
 *
 * Next: fetch-from.ts
 */

import type { PeerCredentials, SocketAddress } from '../../simplenet/index.ts';
import { answerError } from '../error-answer.ts';
import { isFieldValue, isToken } from '../grammar.ts';
import { abortErrorOf, bodyTooLarge, ClientGoneError, HttpError, isClientGone } from '../http-error.ts';
import { defaultLimits, defaultTimeouts, type Limits } from '../limits.ts';
import { markHandled, promiseOf } from '../promises.ts';
import { type BodyDecoder, LengthDecoder } from '../request/body-decoder.ts';
import { NO_BODY } from '../request/body-framing.ts';
import { BodyMemory } from '../request/body-memory.ts';
import { HeadParser } from '../request/head-parser.ts';
import { HeaderList } from '../request/header-list.ts';
import { HttpRequest, type Outcome, type RequestOrigin } from '../request/http-request.ts';
import { Meter } from '../request/meter.ts';
import { type BodySource, RequestBody } from '../request/request-body.ts';
import { RequestHead } from '../request/request-head.ts';
import { type ResponseOwner, ResponseWriter } from '../response/response-writer.ts';
import { type LimitsInForce, type RouteLimits, withRouteLimits } from '../route-limits.ts';
import { WebSocketCounts } from '../web-socket-counts.ts';
import type { ContextApp } from './context-handler.ts';
import { answerFailure, awaitHandler, callHandler, type FailedExchange } from './handler-call.ts';
import { type HandlerSource, handlerOf, limitsLookupOf } from './handler-source.ts';
import { type MemoryClient, MemoryOutput } from './memory-output.ts';

/** What a MemoryExchange is asked. */
export interface MemoryRequest {
  readonly method: string;
  /** The target of the request line: a path and a query. */
  readonly target: string;
  /** With Host. */
  readonly fields: Iterable<readonly [name: string, value: string]>;
  /** Null for a request without a body. */
  readonly body: AsyncIterable<Uint8Array> | null;
  readonly remoteAddress: SocketAddress;
  /** 'http' or 'https'. */
  readonly scheme: string;
}

/** There is one body, and its memory is that of the caller. */
const bodyMemory = new BodyMemory(Number.POSITIVE_INFINITY, 0, () => ({ cancel: () => {} }));

const NO_BYTES = Buffer.alloc(0);

const NO_SOCKETS = new WebSocketCounts();
const NO_CLOCK = { now: () => 0, exactNow: () => 0, wallNow: () => 0, wantsOutcomes: true };

const serverLimits: LimitsInForce = { limits: defaultLimits, timeouts: defaultTimeouts };

/** A body without a declared length, and without the framing of chunks: its end is told. */
class PlainDecoder implements BodyDecoder {
  readonly trailers = HeaderList.empty;
  readonly left = 0;
  isDone = false;
  #maxBytes = defaultLimits.bodyBytes;
  #total = 0;

  useLimits({ bodyBytes }: Limits): void {
    this.#maxBytes = bodyBytes;
  }

  decode(_bytes: Buffer, start: number, end: number, onBody: (from: number, to: number) => void): number {
    this.#total += end - start;
    if (this.#total > this.#maxBytes) throw bodyTooLarge(this.#maxBytes);
    if (end > start) onBody(start, end);
    return end;
  }
}

export class MemoryExchange implements RequestOrigin, BodySource, ResponseOwner, FailedExchange {
  readonly bodyMemory = bodyMemory;
  readonly localAddress: SocketAddress = { address: '127.0.0.1', port: 80 };
  readonly peerCredentials: PeerCredentials | null = null;
  readonly tls = null;
  readonly trustedProxies = null;
  /** An exchange without a connection opens none. */
  readonly webSocketCounts = NO_SOCKETS;
  readonly remoteAddress: SocketAddress;
  readonly scheme: string;
  readonly response: ResponseWriter;
  /** Set when the head has been accepted, and before any code of the program is called. */
  declare request: HttpRequest;
  /** No client that has a use for it is in memory. */
  readonly keepAliveLine = '';
  readonly #client: MemoryClient;
  readonly #output: MemoryOutput;
  readonly #pieces: AsyncIterator<Uint8Array> | null;
  #decoder: PlainDecoder | LengthDecoder = new PlainDecoder();
  body = RequestBody.none;
  #inForce = serverLimits;
  #head: RequestHead | null = null;
  #isPulling = false;
  #isPaused = false;
  #abort: AbortController | null = null;
  #isClientGone = false;
  #meter: Meter | null = null;

  constructor(asked: MemoryRequest, client: MemoryClient) {
    this.remoteAddress = asked.remoteAddress;
    this.scheme = asked.scheme;
    this.#client = client;
    this.#output = new MemoryOutput(client);
    this.#pieces = asked.body === null ? null : asked.body[Symbol.asyncIterator]();
    this.response = new ResponseWriter(this, this.#output, asked.method === 'HEAD', 1);
  }

  /** Calls the handler of a site. A request that the server would refuse is refused in the same way. */
  run(asked: MemoryRequest, site: HandlerSource | ContextApp): void {
    const handler = handlerOf(site);
    const text = headOf(asked);
    let request: HttpRequest;
    try {
      request = this.#begin(text);
    } catch (error) {
      const { status, message } = error as HttpError;
      this.response.status(status).text(`${message}\n`);
      return;
    }
    let result: Promise<unknown> | null;
    try {
      this.#checkLength(site);
      result = callHandler(handler, request, this.response);
    } catch (error) {
      this.handlerFailed(error);
      return;
    }
    if (result !== null) awaitHandler(result, request, this.response);
  }

  /** The client does not want the rest. */
  leave(): void {
    if (this.isOver) return;
    this.#isClientGone = true;
    this.#close(new ClientGoneError());
  }

  /** The client wants more. */
  resumeWriters(): void {
    this.#output.resumeWriters();
  }

  get isOver(): boolean {
    return this.#output.isClosed;
  }

  // For the request.

  createSignal(): AbortSignal {
    if (this.#isClientGone) return AbortSignal.abort(abortErrorOf(new ClientGoneError()));
    this.#abort = new AbortController();
    return this.#abort.signal;
  }

  readonly isContinueDue = false;

  sendContinue(_head: string): void {}

  /** No server is here that could stop. */
  createClosingSignal(): AbortSignal {
    return new AbortController().signal;
  }

  outcome(): Promise<Outcome> {
    const meter = this.#meter as Meter;
    const { done } = meter;
    if (this.isOver) meter.end(this.#isClientGone);
    return done;
  }

  applyLimits(route: RouteLimits): void {
    this.#inForce = withRouteLimits(this.#inForce, route);
    this.body.useLimits(this.limits);
    if (!this.isOver && (this.#head as RequestHead).framing > this.limits.bodyBytes)
      throw bodyTooLarge(this.limits.bodyBytes);
  }

  waitUntil(promise: PromiseLike<unknown>): void {
    promiseOf(promise)?.then(undefined, (error: unknown) => {
      if (!isClientGone(error)) this.report(error);
    });
  }

  exactNow(): number {
    return NO_CLOCK.exactNow();
  }

  // For the body.

  get limits(): Limits {
    return this.#inForce.limits;
  }

  resumeReading(): void {
    this.#isPaused = false;
    void this.#pull();
  }

  pauseReading(): void {
    this.#isPaused = true;
  }

  /* c8 ignore next 3 -- only a body that waits for memory is refused, and this memory has no limit. */
  refuseBody(error: HttpError): void {
    this.#bodyFailed(error);
  }

  // For the response.

  canKeepAlive(): boolean {
    return true;
  }

  sendInformational(head: string): void {
    this.#output.head(head);
  }

  /** No server is here that could stop. */
  readonly mustEndStreams = false;

  requestField(name: string): string | null {
    return this.request.headers.get(name);
  }

  /** The program that has made the request holds it anyway. */
  forgetRequest(): void {}

  beginStream(): void {
    this.#output.beginStream();
  }

  responseCompleted(): void {
    if (this.isOver) return;
    this.#end();
    this.#client.end(this.#output.trailers);
  }

  abortResponse(): void {
    this.cut(new Error('the response was broken off'));
  }

  handlerFailed(error: unknown): void {
    if (this.response.hasFailedWith(error)) return; // the handler awaits what has failed already
    if (this.isOver && isClientGone(error)) return; // a client may leave at any time
    this.#meter?.fail(error);
    answerFailure(this, error);
  }

  /** The client gets the error, and cannot answer it. */
  report(error: unknown): boolean {
    this.#client.report(error, this.request);
    return true;
  }

  /** Breaks the response off. */
  cut(cause: unknown): void {
    this.#close(new ClientGoneError({ cause }, 'the response was broken off'));
    this.#client.broken(new Error('the response was broken off', { cause }));
  }

  hasAskedFor(): boolean {
    return false;
  }

  /* c8 ignore next 3 -- never asked, because no request has asked for a protocol. */
  get isRequestRead(): boolean {
    return this.body.isRead;
  }

  /* c8 ignore next 3 -- never called, because no request has asked for it. */
  upgrade(): void {
    throw new Error('an exchange without a connection cannot be upgraded');
  }

  /** Throws HttpError for a head that the server would refuse. */
  #begin(text: string): HttpRequest {
    const head = parsed(text);
    this.#head = head;
    if (head.framing >= 0) this.#decoder = new LengthDecoder(head.framing);
    if (this.#pieces !== null && head.framing !== NO_BODY && head.framing !== 0)
      this.body = new RequestBody(this.#decoder, this);
    this.request = new HttpRequest(head, this.body, this);
    this.#meter = new Meter({ head, request: this.request, body: this.body }, NO_CLOCK);
    this.#output.meter = this.#meter;
    return this.request;
  }

  /** A declared length that only its route allows is judged when the route is known. */
  #checkLength(site: HandlerSource | ContextApp): void {
    const { framing, method, path } = this.#head as RequestHead;
    if (framing <= this.limits.bodyBytes) return;
    const ofRoute = limitsLookupOf(site)(method, path)?.bodyBytes ?? 0;
    if (framing > ofRoute) throw bodyTooLarge(Math.max(this.limits.bodyBytes, ofRoute));
  }

  /** Ends all that waits for the client. */
  #close(reason: ClientGoneError): void {
    this.body.fail(reason);
    this.#end();
    this.response.connectionClosed(reason);
    this.#abort?.abort(abortErrorOf(reason));
    this.#output.rejectWriters(reason);
  }

  #end(): void {
    this.#output.isClosed = true;
    this.body.release();
    // The rest of the body will not be read.
    if (!this.#decoder.isDone) this.body.discard();
    const ending = promiseOf<unknown>(this.#pieces?.return?.());
    if (ending !== null) markHandled(ending);
    this.#meter?.end(this.#isClientGone);
  }

  #bodyFailed(error: HttpError): void {
    this.#meter?.fail(error);
    this.body.fail(error);
    if (this.response.hasBegun) {
      this.cut(error);
      return;
    }
    this.response.restart();
    answerError(this.request, this.response, error.status, error.message);
  }

  /** Takes pieces from the caller while the handler wants them. */
  async #pull(): Promise<void> {
    /* c8 ignore next -- a body has one reader, which asks again only when it has its piece. */
    if (this.#isPulling) return;
    this.#isPulling = true;
    try {
      while (!this.#isPaused && !this.#decoder.isDone && !this.isOver) {
        const { done, value } = await (this.#pieces as AsyncIterator<Uint8Array>).next();
        const bytes = done === true ? NO_BYTES : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
        this.#push(bytes, done === true);
      }
    } catch (error) {
      if (this.isOver) return;
      if (error instanceof HttpError) this.#bodyFailed(error);
      else this.body.fail(error as Error);
    } finally {
      this.#isPulling = false;
    }
  }

  /** Throws HttpError for a body that is too large, or does not have its Content-Length. */
  #push(bytes: Buffer, isLast: boolean): void {
    const decoder = this.#decoder;
    if (decoder instanceof PlainDecoder) decoder.isDone = isLast;
    else if (isLast || bytes.length > decoder.left)
      throw new HttpError(400, 'a body that does not have its Content-Length');
    this.body.push(bytes, 0, bytes.length);
  }
}

function headOf({ method, target, fields }: MemoryRequest): string {
  let text = `${method} ${target} HTTP/1.1\r\n`;
  for (const [name, value] of fields) {
    if (!isToken(name) || !isFieldValue(value)) throw new TypeError(`the field ${name} cannot be sent`);
    text += `${name}: ${value}\r\n`;
  }
  return `${text}\r\n`;
}

/** Parses a head as a connection does. Throws HttpError. */
function parsed(text: string): RequestHead {
  const bytes = Buffer.from(text, 'latin1');
  const parser = new HeadParser(defaultLimits);
  const result = parser.parse(bytes, 0, bytes.length);
  if (result < 0) throw new HttpError(-result, 'a malformed request');
  return new RequestHead(text, parser, Number.MAX_SAFE_INTEGER); // a declared length is judged later
}
