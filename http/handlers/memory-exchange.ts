/**
 * MemoryExchange: one request, a handler at work on it and its response, without a connection. `inject` and `router.fetch` stand on it.
 *
 * Request, body and response are the real ones, and so is the parser of the head: only what a connection would do is done here. The
 * answer goes to a MemoryClient. There is no clock, so no handler is too late. There is no stream, so nothing can be upgraded.
 *
 * Next: fetch-from.ts
 */

import type { PeerCredentials, SocketAddress } from '../../simplenet/index.ts';
import { isFieldValue, isToken } from '../grammar.ts';
import type { Handler } from '../handler.ts';
import { ClientGoneError, HttpError } from '../http-error.ts';
import { defaultLimits, type Limits } from '../limits.ts';
import { markHandled, promiseOf } from '../promises.ts';
import type { BodyDecoder } from '../request/body-decoder.ts';
import { BodyMemory } from '../request/body-memory.ts';
import { HeadParser } from '../request/head-parser.ts';
import { HeaderList } from '../request/header-list.ts';
import { HttpRequest, type RequestOrigin } from '../request/http-request.ts';
import { type BodySource, RequestBody } from '../request/request-body.ts';
import { RequestHead } from '../request/request-head.ts';
import { type ResponseOutput, type ResponseOwner, ResponseWriter } from '../response/response-writer.ts';
import { isFinalStatus, reasonOf, statusLine } from '../status.ts';
import { sendReturned } from './send-response.ts';

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
}

/** Who gets the answer. */
export interface MemoryClient {
  /** The head of the response. `isStream`: its body comes in pieces. */
  head(status: number, reason: string, headers: HeaderList, isStream: boolean): void;
  /** A piece of the body. Returns false if no more should come before the client calls `resumeWriters`. */
  piece(bytes: Uint8Array): boolean;
  /** The response is complete. */
  end(trailers: HeaderList): void;
  /** The response is broken off. */
  broken(error: Error): void;
  /** An error of the handler, which the response does not show. */
  report(error: unknown, request: HttpRequest): void;
}

/** There is one body, and its memory is that of the caller. */
const bodyMemory = new BodyMemory(Number.POSITIVE_INFINITY, 0, () => ({ cancel: () => {} }));

const NO_BYTES = Buffer.alloc(0);

/** The body of a request that has no framing: its end is told. */
class PlainDecoder implements BodyDecoder {
  readonly trailers = HeaderList.empty;
  readonly left = 0;
  isDone = false;
  #total = 0;

  decode(_bytes: Buffer, start: number, end: number, onBody: (from: number, to: number) => void): number {
    this.#total += end - start;
    if (this.#total > defaultLimits.bodyBytes)
      throw new HttpError(413, `a body of more than ${defaultLimits.bodyBytes} bytes`);
    if (end > start) onBody(start, end);
    return end;
  }
}

export class MemoryExchange implements RequestOrigin, BodySource, ResponseOwner, ResponseOutput {
  readonly limits: Limits = defaultLimits;
  readonly bodyMemory = bodyMemory;
  readonly scheme = 'http';
  readonly localAddress: SocketAddress = { address: '127.0.0.1', port: 80 };
  readonly peerCredentials: PeerCredentials | null = null;
  readonly remoteAddress: SocketAddress;
  readonly #client: MemoryClient;
  readonly #response: ResponseWriter;
  readonly #decoder = new PlainDecoder();
  readonly #pieces: AsyncIterator<Uint8Array> | null;
  readonly #body: RequestBody;
  #request: HttpRequest | null = null;
  #isStream = false;
  #isOver = false;
  #isPulling = false;
  #isPaused = false;
  #trailers = HeaderList.empty;
  #abort: AbortController | null = null;
  #isFull = false;
  #writers: { resolve: () => void; reject: (error: Error) => void }[] = [];

  constructor(asked: MemoryRequest, client: MemoryClient) {
    this.remoteAddress = asked.remoteAddress;
    this.#client = client;
    this.#pieces = asked.body === null ? null : asked.body[Symbol.asyncIterator]();
    this.#body = this.#pieces === null ? RequestBody.none : new RequestBody(this.#decoder, this);
    this.#response = new ResponseWriter(this, this, asked.method === 'HEAD', 1);
  }

  /** Calls the handler. A request that the server would refuse is refused in the same way. */
  run(asked: MemoryRequest, handler: Handler): void {
    const text = headOf(asked);
    let request: HttpRequest;
    try {
      request = new HttpRequest(parsed(text), this.#body, this);
    } catch (error) {
      this.#refuse(error as HttpError);
      return;
    }
    this.#request = request;
    let result: Promise<void> | null;
    try {
      result = sendReturned(handler(request, this.#response), request, this.#response);
    } catch (error) {
      this.handlerFailed(error);
      return;
    }
    result?.then(
      () => this.#handlerReturned(),
      (error: unknown) => this.handlerFailed(error),
    );
  }

  /** The client does not want the rest. */
  leave(): void {
    if (this.#isOver) return;
    const reason = new ClientGoneError();
    this.#end();
    this.#abort?.abort(reason);
    this.#body.fail(reason);
    const writers = this.#writers;
    this.#writers = [];
    for (const writer of writers) writer.reject(reason);
  }

  /** The client wants more. */
  resumeWriters(): void {
    this.#isFull = false;
    const writers = this.#writers;
    this.#writers = [];
    for (const writer of writers) writer.resolve();
  }

  // For the request.

  /* c8 ignore next 3 -- no request asks for it yet. */
  get clientAddress(): SocketAddress {
    return this.remoteAddress;
  }

  createSignal(): AbortSignal {
    if (this.#isOver) return AbortSignal.abort(new ClientGoneError());
    this.#abort = new AbortController();
    return this.#abort.signal;
  }

  waitUntil(promise: PromiseLike<unknown>): void {
    promiseOf(promise)?.then(undefined, (error: unknown) => this.#report(error));
  }

  // For the body.

  resumeReading(): void {
    this.#isPaused = false;
    void this.#pull();
  }

  pauseReading(): void {
    this.#isPaused = true;
  }

  /* c8 ignore next 3 -- only a body that waits for memory is refused, and this memory has no limit. */
  refuseBody(error: HttpError): void {
    this.#body.fail(error);
  }

  // For the response.

  canKeepAlive(): boolean {
    return true;
  }

  beginStream(): void {
    this.#isStream = true;
  }

  responseCompleted(): void {
    if (this.#isOver) return;
    this.#end();
    this.#client.end(this.#trailers);
  }

  abortResponse(): void {
    this.#break(new Error('the response was broken off'));
  }

  handlerFailed(error: unknown): void {
    if (error instanceof ClientGoneError && this.#isOver) return;
    const isForClient = error instanceof HttpError;
    if (!isForClient || error.status >= 500 || this.#response.hasBegun) this.#report(error);
    if (this.#response.hasEnded || this.#isOver) return;
    if (this.#response.hasBegun) this.#break(error);
    else this.#refuse(isForClient ? error : new HttpError(500, reasonOf(500)));
  }

  hasAskedFor(): boolean {
    return false;
  }

  /* c8 ignore next 3 -- never asked, because no request has asked for a protocol. */
  get isRequestRead(): boolean {
    return this.#body.isRead;
  }

  /* c8 ignore next 3 -- never called, because no request has asked for it. */
  upgrade(): void {
    throw new Error('an exchange without a connection cannot be upgraded');
  }

  // For the response, as its output.

  get isClosed(): boolean {
    return this.#isOver;
  }

  get isOverfull(): boolean {
    return false;
  }

  /** The client has its own clock. */
  dateLine(): string {
    return '';
  }

  cachedHead(status: number, contentType: string, contentLength: number): void {
    this.head(`${statusLine(status)}Content-Type: ${contentType}\r\nContent-Length: ${contentLength}\r\n\r\n`);
  }

  head(text: string): void {
    const lineEnd = text.indexOf('\r\n');
    const status = Number(text.slice(STATUS_AT, STATUS_AT + 3));
    /* c8 ignore next -- informational answers are not for this client. */
    if (!isFinalStatus(status)) return;
    this.#client.head(status, text.slice(STATUS_AT + 4, lineEnd), new HeaderList(text, lineEnd + 2), this.#isStream);
  }

  latin1(text: string): void {
    this.bytes(Buffer.from(text, 'latin1'));
  }

  utf8(text: string): void {
    this.bytes(Buffer.from(text));
  }

  bytes(bytes: Uint8Array): void {
    if (!this.#client.piece(bytes)) this.#isFull = true;
  }

  chunk(bytes: Uint8Array): void {
    this.bytes(bytes);
  }

  lastChunk(trailerLines: string): void {
    this.#trailers = new HeaderList(trailerLines, 0);
  }

  pieceWritten(): void {}

  waitForDrain(): Promise<void> {
    if (this.#isOver) return rejected(new ClientGoneError());
    if (!this.#isFull) return Promise.resolve();
    const promise = new Promise<void>((resolve, reject) => this.#writers.push({ resolve, reject }));
    return markHandled(promise);
  }

  #handlerReturned(): void {
    const { hasEnded, hasBegun, hasPromisedLength } = this.#response;
    if (hasEnded || this.#isOver) return;
    if (!hasBegun || hasPromisedLength)
      this.handlerFailed(new Error('the handler ended before its response was complete'));
  }

  #refuse(error: HttpError): void {
    this.#response.restart();
    this.#response.status(error.status).text(`${error.message}\n`);
  }

  #report(error: unknown): void {
    this.#client.report(error, this.#request as HttpRequest);
  }

  #break(cause: unknown): void {
    this.#end();
    this.#client.broken(new Error('the response was broken off', { cause }));
  }

  #end(): void {
    this.#isOver = true;
    this.#body.release();
    // The rest of the body will not be read.
    if (!this.#decoder.isDone) void this.#pieces?.return?.();
  }

  /** Takes pieces from the caller while the handler wants them. */
  async #pull(): Promise<void> {
    /* c8 ignore next -- a body has one reader, which asks again only when it has its piece. */
    if (this.#isPulling) return;
    this.#isPulling = true;
    try {
      while (!this.#isPaused && !this.#decoder.isDone && !this.#isOver) {
        const { done, value } = await (this.#pieces as AsyncIterator<Uint8Array>).next();
        if (done === true) this.#decoder.isDone = true;
        const bytes = done === true ? NO_BYTES : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
        this.#body.push(bytes, 0, bytes.length);
      }
    } catch (error) {
      if (error instanceof HttpError && !this.#response.hasBegun) this.#refuse(error);
      this.#body.fail(error as Error);
    } finally {
      this.#isPulling = false;
    }
  }
}

const STATUS_AT = 'HTTP/1.1 '.length;

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
  return new RequestHead(text, parser, defaultLimits.bodyBytes);
}

function rejected(error: Error): Promise<never> {
  return markHandled(Promise.reject(error));
}
