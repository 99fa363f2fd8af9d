/**
 * Connection: one client, its requests in order, one at a time: the state machine between bytes and handlers.
 *
 * A request is parsed when the one before it has been answered. So answers cannot overtake each other, a pipeline costs no
 * memory but its own bytes, and a client that sends faster than it reads is stopped by TCP. While handlers answer at once,
 * the whole pipeline of a turn is read and answered in one loop, and its answers leave together.
 *
 * Every phase has a deadline. Whoever breaks the protocol gets one answer that says so, and then the connection closes,
 * for nobody can know any more where the next request begins.
 *
 * Next: serve.ts
 */

import type { Stream, StreamHandler } from '../simplenet/event-loop.ts';
import type { SocketAddress } from '../simplenet/socket-address.ts';
import { type BodyDecoder, ChunkedDecoder, LengthDecoder } from './body-decoder.ts';
import { CHUNKED, NO_BODY } from './body-framing.ts';
import type { DateField } from './date-field.ts';
import { INCOMPLETE } from './field-parser.ts';
import type { Handler } from './handler.ts';
import type { HeadParser } from './head-parser.ts';
import { ClientGoneError, HttpError } from './http-error.ts';
import { HttpRequest, type RequestOrigin } from './http-request.ts';
import type { Limits, Timeouts } from './limits.ts';
import type { OutputBuffer } from './output-buffer.ts';
import { PendingInput } from './pending-input.ts';
import { type BodySource, RequestBody } from './request-body.ts';
import { RequestHead } from './request-head.ts';
import { type ResponseSink, ResponseWriter } from './response-writer.ts';
import { reasonOf } from './status.ts';

/** What the connections of a server share. */
export interface ConnectionHome {
  readonly handler: Handler;
  readonly limits: Limits;
  readonly timeouts: Timeouts;
  readonly output: OutputBuffer;
  readonly date: DateField;
  /** No new request is begun, and answers say that the connection closes. */
  readonly isStopping: boolean;
  /** A parser in its first state. A connection keeps one only while a head is incomplete. */
  borrowParser(): HeadParser;
  returnParser(parser: HeadParser): void;
  report(error: unknown, request: HttpRequest | null): void;
  gone(connection: Connection): void;
}

/** What the connection is doing. */
type Phase = number;
/** Waiting for a request, or in the middle of its head. */
const HEAD: Phase = 0;
/** A handler is at work, and body is still to come. */
const BODY: Phase = 1;
/** A handler is at work, and has all there is. */
const ANSWER: Phase = 2;
/** The answer is complete; the rest of a body that nobody wanted is read and dropped. */
const DRAIN: Phase = 3;
/** The answer waits for a client that reads slowly. */
const FLUSH: Phase = 4;
/** We have sent our last; what still comes is dropped, so that no RST destroys our answer on its way. RFC 9112 section 9.6. */
const LINGER: Phase = 5;
/** Another protocol has taken over. */
const UPGRADED: Phase = 6;
const CLOSED: Phase = 7;

/** How much is dropped while lingering: a client that goes on regardless does not want our answer. */
const MOST_LINGER_BYTES = 4 * 1024 * 1024;

/** How often the rate of a slow body is looked at, once its grace is over. */
const RATE_CHECK_MS = 1_000;

const SECOND_MS = 1_000;

export class Connection implements StreamHandler, RequestOrigin, BodySource, ResponseSink {
  readonly stream: Stream;
  readonly #home: ConnectionHome;
  #phase = HEAD;
  /** Only while a head is incomplete. */
  #parser: HeadParser | null = null;
  /** Bytes that could not be used yet: an unfinished head, or requests behind the one at work. */
  #pending: PendingInput | null = null;
  #head: RequestHead | null = null;
  #request: HttpRequest | null = null;
  #response: ResponseWriter | null = null;
  #body: RequestBody | null = null;
  #abort: AbortController | null = null;
  #drainWaiters: { resolve: () => void; reject: (error: Error) => void }[] | null = null;
  #requests = 0;
  /** Bytes are being worked through: what is written meanwhile leaves at the end. */
  #isConsuming = false;
  #isPaused = false;
  #hasPeerEnded = false;
  #mustClose = false;
  #needsContinue = false;
  #lingered = 0;
  #drained = 0;
  #bodyStartedAt = 0;
  #rateStartedAt = 0;
  #rateBytes = 0;
  #queuedAtCheck = 0;

  constructor(home: ConnectionHome, stream: Stream) {
    this.#home = home;
    this.stream = stream;
    stream.setDeadline(home.timeouts.headerMs);
  }

  /** Between two requests, with nothing of the next. */
  get isIdle(): boolean {
    return this.#phase === HEAD && this.#pending === null;
  }

  /** Lets go of the client, once it has its answer. */
  stop(): void {
    if (this.isIdle) this.stream.close();
  }

  // What the network brings.

  onData(stream: Stream, bytes: Buffer): void {
    if (this.#phase === LINGER) {
      this.#lingered += bytes.length;
      if (this.#lingered > MOST_LINGER_BYTES) stream.abort();
      return;
    }
    if (this.#pending === null) {
      const used = this.#consume(bytes, 0, bytes.length);
      if (used < bytes.length) this.#keep(bytes.subarray(used));
      this.#afterTurn();
    } else {
      this.#keep(bytes);
      this.#consumePending();
    }
  }

  onEnd(stream: Stream): void {
    this.#hasPeerEnded = true;
    switch (this.#phase) {
      case HEAD:
        if (this.#pending === null) stream.close();
        else this.#refuse(new HttpError(400, 'the connection ended within a head'));
        break;
      case BODY: {
        const error = new HttpError(400, 'the connection ended within a body');
        if (this.#response?.hasBegun === true) stream.abort();
        else this.#refuse(error);
        this.#body?.fail(error);
        break;
      }
      case DRAIN:
      case LINGER:
        stream.close();
        break;
      default: // a half-closed client still reads: its answer goes on
    }
  }

  onDrain(): void {
    const waiters = this.#drainWaiters;
    this.#drainWaiters = null;
    if (waiters !== null) for (const waiter of waiters) waiter.resolve();
    if (this.#phase === FLUSH) this.#next();
  }

  onTimeout(stream: Stream): void {
    switch (this.#phase) {
      case HEAD:
        if (this.#pending === null) stream.close();
        else this.#refuse(new HttpError(408, 'the head took too long'));
        break;
      case BODY:
        this.#checkBodyRate();
        break;
      case ANSWER:
        if (this.#response?.hasBegun !== true) this.#answerIsLate();
        else this.#checkProgress();
        break;
      case FLUSH:
        this.#checkProgress();
        break;
      default:
        stream.close();
    }
  }

  onClose(_stream: Stream, error: Error | null): void {
    const wasAtWork = this.#phase === BODY || this.#phase === ANSWER || this.#phase === FLUSH;
    this.#phase = CLOSED;
    this.#pending = null;
    this.#returnParser();
    this.#home.gone(this);
    if (!wasAtWork) return;
    const reason = new ClientGoneError({ cause: error });
    this.#abort?.abort(reason);
    this.#body?.fail(reason);
    const waiters = this.#drainWaiters;
    this.#drainWaiters = null;
    if (waiters !== null) for (const waiter of waiters) waiter.reject(reason);
  }

  // What a request may ask.

  get remoteAddress(): SocketAddress {
    return this.stream.remoteAddress;
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    return this.#abort.signal;
  }

  // What a body may ask.

  wanted(): void {
    if (this.#needsContinue) this.#sendContinue();
    if (this.#phase !== BODY || !this.#isPaused) return;
    this.#resume();
    this.#startRate();
  }

  enough(): void {
    this.#pause();
    this.stream.setDeadline(this.#home.timeouts.bodyMs); // the handler is slow now, not the client
  }

  // What an answer may ask.

  get isGone(): boolean {
    return this.#phase === CLOSED || this.#phase === LINGER || this.#phase === UPGRADED;
  }

  get isHeadRequest(): boolean {
    return this.#head?.method === 'HEAD';
  }

  get minorVersion(): number {
    return this.#head?.minorVersion ?? 1;
  }

  persists(): boolean {
    const body = this.#body;
    const isTooMuch = body !== null && (this.#head?.framing ?? 0) - body.receivedBytes > this.#home.limits.drainBytes;
    return (
      !isTooMuch && // what is left of the body will not be read
      this.#head?.keepAlive === true &&
      !this.#mustClose &&
      !this.#home.isStopping &&
      !this.#needsContinue && // the body may come or not: nobody can tell what follows, RFC 9110 section 10.1.1
      this.#requests < this.#home.limits.requestsPerConnection
    );
  }

  dateLine(): string {
    return this.#home.date.line(Date.now());
  }

  latin1(text: string): void {
    if (!this.isGone) this.#home.output.latin1(this.stream, text);
  }

  utf8(text: string): void {
    if (!this.isGone) this.#home.output.utf8(this.stream, text);
  }

  bytes(bytes: Uint8Array): void {
    if (!this.isGone) this.#home.output.bytes(this.stream, bytes);
  }

  handedOver(): void {
    if (this.#isConsuming) return;
    this.#home.output.flush();
    this.#watchProgress();
  }

  drained(): Promise<void> {
    if (this.isGone) return Promise.reject(new ClientGoneError());
    if (this.stream.queuedBytes === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#drainWaiters ??= [];
      this.#drainWaiters.push({ resolve, reject });
    });
  }

  completed(response: ResponseWriter): void {
    if (this.isGone || response !== this.#response) return;
    if (response.isClosing) this.#mustClose = true;
    const body = this.#body;
    if (body !== null && !body.isComplete) {
      this.#drain(body);
      return;
    }
    this.#next();
  }

  broken(): void {
    this.#home.output.flush();
    this.stream.abort();
  }

  upgrade(fields: string, createHandler: (stream: Stream) => StreamHandler): void {
    if (this.#head?.wantsUpgrade !== true) throw new HttpError(426, 'the client did not ask for another protocol');
    this.#home.output.latin1(this.stream, `HTTP/1.1 101 ${reasonOf(101)}\r\n${fields}\r\n`);
    this.#home.output.flush();
    this.#phase = UPGRADED;
    this.#home.gone(this);
    const { stream } = this;
    stream.setDeadline(Number.POSITIVE_INFINITY);
    stream.handler = createHandler(stream);
    if (this.#isPaused) stream.resume();
    // What came behind the request belongs to the new protocol.
    queueMicrotask(() => {
      const rest = this.#pending;
      this.#pending = null;
      if (rest !== null && !stream.isEnded) stream.handler.onData(stream, rest.all());
    });
  }

  // The machine.

  /** Works through bytes[start..end) as far as it can; answers the offset behind what is used. */
  #consume(bytes: Buffer, start: number, end: number): number {
    this.#isConsuming = true;
    let at = start;
    while (at < end) {
      if (this.#phase === HEAD) {
        if (this.stream.queuedBytes > 0) break; // answers first: the client asks faster than it reads
        const used = this.#readHead(bytes, at, end);
        if (used === INCOMPLETE) break;
        at = used;
      } else if (this.#phase === BODY || this.#phase === DRAIN) {
        at = this.#readBody(bytes, at, end);
      } else if (this.#phase === LINGER || this.#phase === CLOSED) {
        at = end;
      } else {
        break;
      }
    }
    this.#isConsuming = false;
    this.#home.output.flush();
    return at;
  }

  #consumePending(): void {
    const pending = this.#pending;
    if (pending === null || this.#isConsuming) return;
    pending.start = this.#consume(pending.bytes, pending.start, pending.end);
    if (pending.byteLength === 0) this.#pending = null;
    this.#afterTurn();
    if (this.#phase === HEAD && this.#isPaused) this.#resume();
  }

  /** Keeps a copy of what cannot be used yet. Behind a request at work only so much is read. */
  #keep(bytes: Buffer): void {
    if (this.isGone && this.#phase !== UPGRADED) return;
    if (this.#pending === null) this.#pending = new PendingInput(bytes);
    else this.#pending.append(bytes);
    const isBehind = this.#phase !== HEAD && this.#phase !== UPGRADED;
    if (isBehind && this.#pending.byteLength >= this.#home.limits.bodyBufferBytes) this.#pause();
  }

  #readHead(bytes: Buffer, start: number, end: number): number {
    const parser = this.#parser ?? this.#home.borrowParser();
    const isFirst = this.#parser === null;
    this.#parser = parser;
    const used = parser.parse(bytes, start, end);
    if (used === INCOMPLETE) {
      if (isFirst) this.stream.setDeadline(this.#home.timeouts.headerMs);
      return INCOMPLETE;
    }
    try {
      if (used < 0) throw new HttpError(-used, 'the head is malformed or too large');
      const head = new RequestHead(bytes.toString('latin1', start, used), parser, this.#home.limits.bodyBytes);
      this.#returnParser();
      this.#begin(head);
      return used;
    } catch (error) {
      this.#returnParser();
      this.#head = null;
      this.#refuse(error as HttpError);
      return end;
    }
  }

  #returnParser(): void {
    if (this.#parser === null) return;
    this.#home.returnParser(this.#parser);
    this.#parser = null;
  }

  #begin(head: RequestHead): void {
    const decoder = this.#decoderOf(head.framing);
    const body =
      decoder === null ? RequestBody.none : new RequestBody(decoder, this, this.#home.limits.bodyBufferBytes);
    this.#head = head;
    this.#body = body;
    this.#requests++;
    this.#phase = body.isComplete ? ANSWER : BODY;
    this.#needsContinue = head.expectsContinue && !body.isComplete;
    const request = new HttpRequest(head, body, this);
    const response = new ResponseWriter(this);
    this.#request = request;
    this.#response = response;
    if (this.#phase === BODY) this.#startBody();
    this.#call(request, response);
  }

  #decoderOf(framing: number): BodyDecoder | null {
    if (framing === NO_BODY || framing === 0) return null;
    return framing === CHUNKED ? new ChunkedDecoder(this.#home.limits) : new LengthDecoder(framing);
  }

  #call(request: HttpRequest, response: ResponseWriter): void {
    let result: void | Promise<void>;
    try {
      result = this.#home.handler(request, response);
    } catch (error) {
      this.#failed(error, request, response);
      return;
    }
    if (!response.hasEnded && this.#phase === ANSWER) this.stream.setDeadline(this.#home.timeouts.answerMs);
    if (result === undefined) return; // it has answered, or will, from a callback
    result.then(
      () => {
        // A stream that has begun may go on without the function that began it.
        if (!response.hasBegun) this.#failed(new Error('the handler ended without an answer'), request, response);
      },
      (error: unknown) => this.#failed(error, request, response),
    );
  }

  /** The handler threw. What it says to the client depends on whether it chose its words (HttpError). */
  #failed(error: unknown, request: HttpRequest, response: ResponseWriter): void {
    if (error instanceof ClientGoneError) return; // to leave is nobody's mistake
    const isChosen = error instanceof HttpError;
    if (!isChosen || error.status >= 500) this.#home.report(error, request);
    if (response.hasEnded || this.#response !== response || this.isGone) return;
    if (response.hasBegun) {
      this.broken();
      return;
    }
    const status = isChosen ? error.status : 500;
    response.restart();
    response.status(status).text(`${isChosen ? error.message : reasonOf(500)}\n`);
  }

  /** One answer, then the end: where the next request begins is not known any more. */
  #refuse(error: HttpError): void {
    this.#mustClose = true;
    const text = `${error.message}\n`;
    this.#home.output.latin1(
      this.stream,
      `HTTP/1.1 ${error.status} ${reasonOf(error.status)}\r\n${this.dateLine()}Content-Type: text/plain; charset=utf-8\r\n` +
        `Content-Length: ${text.length}\r\nConnection: close\r\n\r\n${this.isHeadRequest ? '' : text}`,
    );
    this.#linger();
  }

  #readBody(bytes: Buffer, start: number, end: number): number {
    const body = this.#body as RequestBody;
    this.#needsContinue = false; // the client did not wait for it
    let at: number;
    try {
      at = body.push(bytes, start, end);
    } catch (error) {
      this.#bodyIsMalformed(body, error as HttpError);
      return end;
    }
    if (this.#phase === DRAIN) {
      this.#drained += at - start;
      if (body.isComplete) this.#next();
      else if (this.#drained > this.#home.limits.drainBytes) this.#linger();
    } else if (body.isComplete) {
      this.#phase = ANSWER;
      this.stream.setDeadline(this.#home.timeouts.answerMs);
    }
    return at;
  }

  #bodyIsMalformed(body: RequestBody, error: HttpError): void {
    const isAtWork = this.#phase === BODY;
    if (!isAtWork) {
      this.#linger(); // it has been answered
    } else if (this.#response?.hasBegun === true) {
      this.broken();
    } else {
      this.#refuse(error);
    }
    body.fail(error);
  }

  #sendContinue(): void {
    this.#needsContinue = false;
    if (this.#response?.hasBegun === true || this.isGone) return;
    this.#home.output.latin1(this.stream, 'HTTP/1.1 100 Continue\r\n\r\n');
    if (!this.#isConsuming) this.#home.output.flush();
  }

  /** The answer is complete and the body is not: it is read on for a while, for the sake of the requests behind it. */
  #drain(body: RequestBody): void {
    body.discard();
    if (this.#mustClose) {
      this.#linger();
      return;
    }
    this.#phase = DRAIN;
    this.#drained = 0;
    if (this.#isPaused) this.#resume();
    if (!this.#isConsuming) this.#home.output.flush();
    this.stream.setDeadline(this.#home.timeouts.lingerMs);
  }

  /** The answer is complete, and so is the request. */
  #next(): void {
    this.#request = null;
    this.#response = null;
    this.#body = null;
    this.#abort = null;
    if (this.#mustClose) {
      this.#close();
      return;
    }
    this.#phase = HEAD;
    if (this.#isConsuming) return;
    this.#home.output.flush();
    if (this.stream.queuedBytes === 0 && this.#pending !== null) this.#consumePending();
    else this.#afterTurn();
    if (this.#phase === HEAD && this.#isPaused) this.#resume();
  }

  /** What has been written is on its way: what now? */
  #afterTurn(): void {
    if (this.#phase !== HEAD) return;
    if (this.stream.queuedBytes > 0) {
      this.#phase = FLUSH;
      this.#watchProgress();
    } else if (this.#hasPeerEnded) {
      this.stream.close(); // all its requests are answered; part of one is none
    } else if (this.#pending === null) {
      if (this.#home.isStopping) this.stream.close();
      else this.stream.setDeadline(this.#home.timeouts.idleMs);
    }
  }

  /** Closes after an answer that was complete. A client that asked for it, or has ended, will send nothing more. */
  #close(): void {
    this.#home.output.flush();
    const isExpected = this.#hasPeerEnded || this.#head?.keepAlive === false;
    if (isExpected && this.#pending === null && this.stream.queuedBytes === 0) this.stream.close();
    else this.#linger();
  }

  #linger(): void {
    this.#home.output.flush();
    this.#phase = LINGER;
    this.#pending = null;
    if (this.#isPaused) this.#resume();
    this.stream.end();
    this.stream.setDeadline(this.#home.timeouts.lingerMs);
  }

  #pause(): void {
    this.#isPaused = true;
    this.stream.pause();
  }

  #resume(): void {
    this.#isPaused = false;
    this.stream.resume();
  }

  // Deadlines.

  #startBody(): void {
    this.#bodyStartedAt = performance.now();
    this.#startRate();
  }

  #startRate(): void {
    this.#rateStartedAt = performance.now();
    this.#rateBytes = this.#body?.receivedBytes ?? 0;
    this.stream.setDeadline(this.#home.timeouts.bodyGraceMs);
  }

  #checkBodyRate(): void {
    const { bodyMs, bodyGraceMs, bodyMinBytesPerSecond } = this.#home.timeouts;
    const now = performance.now();
    const received = (this.#body?.receivedBytes ?? 0) - this.#rateBytes;
    const due = ((now - this.#rateStartedAt - bodyGraceMs) / SECOND_MS) * bodyMinBytesPerSecond;
    if (now - this.#bodyStartedAt < bodyMs && (this.#isPaused || (received > 0 && received >= due))) {
      this.stream.setDeadline(Math.min(RATE_CHECK_MS, bodyMs - (now - this.#bodyStartedAt)));
      return;
    }
    const error = new HttpError(408, 'the body took too long');
    if (this.#response?.hasBegun === true) this.broken();
    else this.#refuse(error);
    this.#body?.fail(error);
  }

  #answerIsLate(): void {
    this.#home.report(new Error(`no answer after ${this.#home.timeouts.answerMs} ms`), this.#request);
    this.#refuse(new HttpError(503, reasonOf(503)));
    this.#abort?.abort(new Error('the answer took too long'));
  }

  /** Something is queued: it must become less. A stream that is merely silent may be so for as long as it likes. */
  #watchProgress(): void {
    if (this.#phase !== ANSWER && this.#phase !== FLUSH) return;
    this.#queuedAtCheck = this.stream.queuedBytes;
    this.stream.setDeadline(this.#queuedAtCheck > 0 ? this.#home.timeouts.writeMs : Number.POSITIVE_INFINITY);
  }

  #checkProgress(): void {
    if (this.stream.queuedBytes > 0 && this.stream.queuedBytes >= this.#queuedAtCheck) this.stream.abort();
    else this.#watchProgress();
  }
}
