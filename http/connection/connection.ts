/**
 * Connection: one client, its requests in order, one at a time: the state machine between bytes and handlers.
 *
 * A request is parsed when the one before it has been answered. So answers cannot overtake each other, a pipeline costs no
 * memory but its own bytes, and a client that sends faster than it reads is stopped by TCP. While handlers answer at once,
 * the whole pipeline of a turn is read and answered in one loop, and its answers leave together.
 *
 * Each phase waits for one thing, and the stream's deadline is that wait: a head, the next request, a body, the handler, the end of what
 * nobody wants. Whether the client takes what is queued for it is watched by the stream, in every phase (`minimumProgress`).
 *
 * Whoever waits for the client has a deadline. Whoever breaks the protocol gets one answer that says so, and then the
 * connection closes, for nobody can know any more where the next request begins.
 *
 * Next: ../serve.ts
 */

import { AsyncResource } from 'node:async_hooks';
import type { MinimumProgress, PeerCredentials, SocketAddress, Stream, StreamHandler } from '../../simplenet/index.ts';
import { namesProtocol } from '../grammar.ts';
import type { Handler } from '../handler.ts';
import { ClientGoneError, HttpError } from '../http-error.ts';
import type { Limits, Timeouts } from '../limits.ts';
import { promiseOf } from '../promises.ts';
import { type BodyDecoder, ChunkedDecoder, LengthDecoder } from '../request/body-decoder.ts';
import { CHUNKED, NO_BODY } from '../request/body-framing.ts';
import type { BodyMemory } from '../request/body-memory.ts';
import { INCOMPLETE } from '../request/field-parser.ts';
import type { HeadParser } from '../request/head-parser.ts';
import { HttpRequest, type RequestOrigin } from '../request/http-request.ts';
import { PendingInput } from '../request/pending-input.ts';
import { type BodySource, RequestBody } from '../request/request-body.ts';
import { RequestHead } from '../request/request-head.ts';
import { latin1Of } from '../response/latin1.ts';
import { MOST_BYTES_PER_UNIT, type OutputBuffer } from '../response/output-buffer.ts';
import type { PlainHeads } from '../response/plain-heads.ts';
import { type ResponseSink, ResponseWriter } from '../response/response-writer.ts';
import { reasonOf, statusLine } from '../status.ts';
import { BodyClock } from './body-clock.ts';
import { Handover } from './handover.ts';

/** What the connections of a server share. */
export interface ConnectionHome {
  readonly handler: Handler;
  readonly limits: Limits;
  readonly timeouts: Timeouts;
  /** How fast a client must take what is queued for it. */
  readonly minimumProgress: MinimumProgress | null;
  readonly output: OutputBuffer;
  readonly plainHeads: PlainHeads;
  readonly bodyMemory: BodyMemory;
  /** The line `Date: ...`. */
  dateLine(): string;
  /** The next answer of each connection is its last, and says so. */
  readonly isStopping: boolean;
  /** While the server stops: how long a connection at rest may still begin a request. */
  readonly idleGraceMs: number;
  /** The turn of the loop has taken its time. To ask takes longer than to look at a field. */
  readonly isTurnSpent: boolean;
  /** The clock of the loop that deadlines count from. */
  activeNow(): number;
  /** A parser in its first state. A connection keeps one only while a head is incomplete. */
  borrowParser(): HeadParser;
  returnParser(parser: HeadParser): void;
  /** An empty buffer, for an answer that comes in pieces. A connection keeps one only to the end of a tick. */
  borrowOutput(): OutputBuffer;
  returnOutput(output: OutputBuffer): void;
  /** An async context that has been used for nothing: code of the program that is called for a request runs in it. */
  createContext(): AsyncResource;
  /** Calls code of the program: the caller sees to the async context. */
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
const DISCARD: Phase = 3;
/** The answer is complete, and waits for a client that reads slowly. */
const FLUSH: Phase = 4;
/** We have sent our last; what still comes is dropped, so that no RST destroys our answer on its way. RFC 9112 section 9.6. */
const LINGER: Phase = 5;
/** Another protocol has taken over. */
const UPGRADED: Phase = 6;
const CLOSED: Phase = 7;
/** The answer cannot be completed. Those before it leave first; then the connection ends in a way that shows that the last one is cut. */
const CUT: Phase = 8;

/** How much is read and dropped while lingering. Behind that the client waits: RST would destroy the answer that it has not read yet. */
const MOST_LINGER_BYTES = 4 * 1024 * 1024;

/** RFC 9110 section 10.2.3. Memory for bodies comes free as fast as handlers answer. */
const RETRY_SOON = 'Retry-After: 1\r\n';

/** A bit mask: within a pipeline the clock is read behind every fourth request. */
const CLOCK_MASK = 3;

/**
 * What fits in one segment on any path (RFC 8200 section 5) arrives whole or not at all. A larger answer may be with us in part when
 * the kernel has taken it. A byte that the client sends after close(2) would be answered with RST, which destroys the rest.
 */
const MAX_CERTAIN_BYTES = 1_200;

/** RST destroys bytes that have not arrived. Where it is the only way to end an answer, those before it have this long to arrive. */
const DELIVERY_MS = 100;

const NEVER_MS = Number.POSITIVE_INFINITY;

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
  #bodyClock: BodyClock | null = null;
  /** Aborts the signal of the request, in the async context in which it was first asked for. */
  #abort: ((reason: Error) => void) | null = null;
  #writers: { resolve: () => void; reject: (error: Error) => void }[] | null = null;
  #requests = 0;
  /** How many of them there were when the loop last called. */
  #requestsBefore = 0;
  /** Whole requests may wait in #pending: they go on when other connections have had their turn. */
  #isYielding = false;
  /** Bytes are being worked through: what is written meanwhile leaves at the end. */
  #isConsuming = false;
  /** Of those bytes, how many came behind the head of the request at work. */
  #behind = 0;
  /** The answer comes in pieces, and those of this tick are gathered here. */
  #pieces: OutputBuffer | null = null;
  #isStreaming = false;
  /** The answer may have more bytes than TCP sends at once. */
  #isLong = false;
  #isFlushingSoon = false;
  #isPaused = false;
  /** So much of the body waits for the handler that the client has to wait. */
  #isBodyFull = false;
  #hasPeerEnded = false;
  #mustClose = false;
  /** The client waits for `100 Continue`. */
  #needsContinue = false;
  /** An answer was complete before the body of its request: more of that is on its way. */
  #leavesBody = false;
  /** Input that was dropped in this phase. */
  #dropped = 0;

  constructor(home: ConnectionHome, stream: Stream) {
    this.#home = home;
    this.stream = stream;
    stream.minimumProgress = home.minimumProgress;
    if (home.isStopping) this.stop();
    else stream.setDeadline(home.timeouts.headerMs);
  }

  /** The server stops. What is at work goes on; a connection at rest ends, unless its next request comes soon. */
  stop(): void {
    if (this.isIdle) this.stream.setDeadline(this.#home.idleGraceMs);
  }

  /** The server waits no longer. RST would destroy answers that are complete and on their way, so it is for what is not. */
  giveUp(): void {
    const isComplete = this.isIdle || this.#phase === LINGER;
    if (isComplete && this.stream.queuedBytes === 0) this.stream.close();
    else this.stream.abort();
  }

  /** Between two requests, with nothing of the next. Empty lines are nothing. */
  get isIdle(): boolean {
    return this.#phase === HEAD && (this.#parser === null ? this.#pending === null : !this.#parser.hasBegun);
  }

  /** Hands over the pieces of this tick. */
  flush(): void {
    this.#flushPieces();
  }

  // What the network brings.

  onData(_stream: Stream, bytes: Buffer): void {
    if (this.#phase === LINGER || this.#phase === CUT) {
      this.#dropped += bytes.length;
      if (this.#dropped > MOST_LINGER_BYTES && !this.#isPaused) this.#pause();
    } else if (this.#pending === null) {
      this.#requestsBefore = this.#requests;
      const used = this.#consume(bytes, 0, bytes.length);
      if (used < bytes.length) this.#keep(bytes.subarray(used));
      this.#afterTurn();
    } else {
      this.#keep(bytes);
      if (this.#isYielding) return;
      this.#requestsBefore = this.#requests;
      this.#consumePending(this.#pending);
    }
  }

  onTurn(): void {
    this.#isYielding = false;
    this.#requestsBefore = this.#requests;
    if (this.#pending !== null) this.#consumePending(this.#pending); // it was not refused meanwhile
  }

  onEnd(stream: Stream): void {
    this.#hasPeerEnded = true;
    switch (this.#phase) {
      case HEAD:
        if (this.#isYielding) break; // its requests come first
        if (!this.isIdle) this.#refuse(400, 'the connection ended within a head');
        else if (!this.#mustFlush()) stream.close();
        break;
      case BODY:
        this.#bodyFailed(new HttpError(400, 'the connection ended within a body'));
        break;
      case DISCARD:
        this.#close();
        break;
      default: // a half-closed client still reads: its answers go on
    }
  }

  /**
   * A handler that reads a body gets the rest of it, although nobody waits for the answer: it may be whole. The handler has `answerMs` for
   * that. In all other cases a handler may be waiting for nothing but to learn that the client has gone.
   */
  get endsAtBreak(): boolean {
    return this.#phase !== BODY || this.#body?.isTaken !== true || this.#response?.hasBegun === true;
  }

  onDrain(): void {
    this.#requestsBefore = this.#requests;
    this.#letWrite();
    if (this.#phase === CUT) this.#endCut();
    if (this.#phase !== FLUSH) return;
    // The client had an answer to read, and its unfinished head had no deadline in that time.
    if (this.#parser !== null) this.stream.setDeadline(this.#home.timeouts.headerMs);
    this.#next();
  }

  onTimeout(stream: Stream): void {
    switch (this.#phase) {
      case HEAD:
        if (this.#isYielding) break; // it waits for us
        if (!this.isIdle) this.#refuse(408, 'the head took too long');
        else if (this.#mustFlush()) break;
        else if (this.#home.isStopping) this.#endIdle();
        else stream.close();
        break;
      case BODY:
        this.#bodyIsDue();
        break;
      case DISCARD:
        this.#close();
        break;
      case ANSWER:
        this.#answerIsLate();
        break;
      case CUT:
        if (stream.queuedBytes > 0) stream.setDeadline(DELIVERY_MS);
        else stream.abort();
        break;
      default: // LINGER, as none of the others sets a deadline
        // The stream sees to it that the client takes the rest of our answer.
        if (stream.queuedBytes > 0) stream.setDeadline(this.#home.timeouts.lingerMs);
        else stream.close();
    }
  }

  onClose(_stream: Stream, error: Error | null): void {
    this.#phase = CLOSED;
    this.#pending = null;
    this.#pieces = null;
    this.#returnParser();
    this.#body?.release();
    this.#home.gone(this);
    const writers = this.#writers;
    this.#writers = null;
    // Most leave when nobody waits for them. An error has a stack, which takes longer to make than all the rest of this.
    if (this.#abort === null && writers === null && this.#body?.isComplete !== false) return;
    const reason = new ClientGoneError({ cause: error });
    this.#abort?.(reason);
    this.#body?.fail(reason);
    if (writers !== null) for (const writer of writers) writer.reject(reason);
  }

  // What a request may ask.

  get remoteAddress(): SocketAddress {
    return this.stream.remoteAddress;
  }

  get peerCredentials(): PeerCredentials | null {
    return this.stream.peerCredentials;
  }

  signalFor(request: HttpRequest): AbortSignal {
    if (request !== this.#request) return new AbortController().signal; // answered: nothing can happen to it any more
    if (this.#phase === CLOSED) return AbortSignal.abort(new ClientGoneError());
    const controller = new AbortController();
    this.#abort = AsyncResource.bind((reason: Error) => controller.abort(reason));
    return controller.signal;
  }

  // What a body may ask.

  get limits(): Limits {
    return this.#home.limits;
  }

  get bodyMemory(): BodyMemory {
    return this.#home.bodyMemory;
  }

  refused(error: HttpError): void {
    this.#bodyFailed(error);
  }

  wanted(): void {
    if (this.#phase !== BODY) return;
    if (this.#needsContinue) this.#sendContinue();
    this.#isBodyFull = false;
    if (this.#isPaused && !this.#isConsuming) this.#resume();
    this.#bodyClock?.run(this.#home.activeNow());
    this.#bodyIsDue();
  }

  enough(): void {
    if (this.#phase !== BODY) return;
    this.#isBodyFull = true;
    this.#pause();
    this.#bodyClock?.stop(this.#home.activeNow());
    this.#awaitAnswer();
  }

  // What an answer may ask.

  get isGone(): boolean {
    return this.#phase >= LINGER;
  }

  get isOverfull(): boolean {
    return this.stream.queuedBytes > this.#home.limits.answerBufferBytes;
  }

  get isHeadRequest(): boolean {
    return this.#head?.method === 'HEAD';
  }

  get minorVersion(): number {
    return (this.#head as RequestHead).minorVersion;
  }

  persists(): boolean {
    const head = this.#head as RequestHead;
    const body = this.#body;
    const isTooMuch = body !== null && head.framing - body.receivedBytes > this.#home.limits.drainBytes;
    return (
      !isTooMuch && // what is left of the body will not be read
      head.keepAlive &&
      !this.#mustClose &&
      !(this.#home.isStopping && this.#isLastKnown) &&
      !this.#needsContinue && // the body may come or not: nobody can tell what follows, RFC 9110 section 10.1.1
      this.#requests < this.#home.limits.requestsPerConnection
    );
  }

  dateLine(): string {
    return this.#home.dateLine();
  }

  plainHead(status: number, contentType: string, contentLength: number): void {
    if (this.isGone) return;
    const begin = this.#home.plainHeads.of(status, contentType);
    this.#output.plainHead(this.stream, begin, contentLength);
  }

  latin1(text: string): void {
    if (this.isGone) return;
    if (text.length > MAX_CERTAIN_BYTES) this.#isLong = true;
    this.#output.latin1(this.stream, text);
  }

  utf8(text: string): void {
    if (this.isGone) return;
    if (text.length * MOST_BYTES_PER_UNIT > MAX_CERTAIN_BYTES) this.#isLong = true;
    this.#output.utf8(this.stream, text);
  }

  bytes(bytes: Uint8Array): void {
    if (this.isGone) return;
    if (bytes.byteLength > MAX_CERTAIN_BYTES) this.#isLong = true;
    this.#output.bytes(this.stream, bytes);
  }

  streaming(): void {
    this.#isStreaming = true;
    this.#isLong = true;
    this.#body?.answerBegun();
  }

  handedOver(): void {
    if (this.#isFlushingSoon) return;
    this.#isFlushingSoon = true;
    // A tick comes after all microtasks: what a handler writes without having to wait leaves in one send.
    process.nextTick(() => {
      this.#isFlushingSoon = false;
      this.#flushPieces();
      if (!this.#isStreaming) return; // it is complete, and the deadline is another's
      if (this.#phase === ANSWER || (this.#phase === BODY && this.#isBodyFull)) this.#waitForNothing();
    });
  }

  drained(): Promise<void> {
    if (this.isGone) return Promise.reject(new ClientGoneError());
    // What is gathered may yet be queued: more than may wait then is not written on before that is known.
    const gathered = this.#pieces?.byteLength ?? 0;
    if (this.stream.queuedBytes === 0 && gathered <= this.#home.limits.answerBufferBytes) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#writers ??= [];
      this.#writers.push({ resolve, reject });
    });
  }

  completed(response: ResponseWriter): void {
    if (this.isGone || response !== this.#response) return;
    this.#flushPieces();
    this.#isStreaming = false;
    this.#abort = null; // whatever becomes of the client now, the handler's work was not in vain
    this.#request = null;
    if (response.isClosing) this.#mustClose = true;
    const body = this.#body;
    body?.release();
    if (body !== null && !body.isComplete) this.#discard(body);
    else this.#next();
  }

  broken(): void {
    if (this.isGone) return;
    this.#flushPieces();
    this.#home.output.flush();
    if (this.#requests === 1 && this.#isCutSeen) {
      this.stream.abort();
      return;
    }
    this.#phase = CUT;
    this.#dropped = 0;
    this.#pending = null;
    if (this.#isPaused) this.#resume();
    if (this.stream.queuedBytes > 0) this.#waitForNothing();
    else this.#endCut();
  }

  failed(error: unknown, response: ResponseWriter): void {
    this.#failed(error, this.#response === response ? this.#request : null, response);
  }

  /** RFC 9110 section 7.8: an Upgrade counts where Connection names it too, and not in HTTP/1.0. */
  isAskedFor(protocol: string): boolean {
    if (this.#head?.wantsUpgrade !== true) return false;
    return namesProtocol(this.#request?.headers.get('upgrade') ?? '', protocol);
  }

  get isRequestRead(): boolean {
    return this.#phase === ANSWER && this.#body?.isRead === true;
  }

  upgrade(fields: string, createHandler: (stream: Stream) => StreamHandler): void {
    const { stream } = this;
    this.#home.output.latin1(stream, `${statusLine(101)}${fields}\r\n`);
    this.#home.output.flush();
    this.#phase = UPGRADED;
    this.#body?.release();
    this.#home.gone(this);
    stream.setDeadline(NEVER_MS);
    stream.minimumProgress = null;
    if (this.#isPaused) stream.resume();
    let handover: Handover;
    try {
      handover = new Handover(createHandler(stream));
    } catch (error) {
      stream.abort(); // nothing reads from it or ends it
      throw error;
    }
    stream.handler = handover;
    queueMicrotask(() => {
      const behind = this.#pending;
      this.#pending = null;
      handover.complete(stream, behind, this.#hasPeerEnded);
    });
  }

  /** Where the answer goes: what is said in one piece, with others of this turn; what comes in pieces, with those of the tick. */
  get #output(): OutputBuffer {
    if (!this.#isStreaming) return this.#home.output;
    if (this.#pieces === null) {
      this.#home.output.flush(); // earlier answers first
      this.#pieces = this.#home.borrowOutput();
    }
    return this.#pieces;
  }

  #flushPieces(): void {
    const pieces = this.#pieces;
    if (pieces === null) return;
    this.#pieces = null;
    pieces.flush();
    this.#home.returnOutput(pieces);
    if (this.#writers !== null && this.stream.queuedBytes === 0) this.#letWrite();
  }

  // The machine.

  /** Works through bytes[start..end) as far as it can; answers the offset behind what is used. */
  #consume(bytes: Buffer, start: number, end: number): number {
    this.#isConsuming = true;
    let at = start;
    while (at < end) {
      if (this.#phase === HEAD) {
        if (this.stream.queuedBytes > 0) break; // answers first: the client asks faster than it reads
        if (this.#mustYield()) break;
        const used = this.#readHead(bytes, at, end);
        if (used === INCOMPLETE) break;
        at = used;
      } else if (this.#phase === BODY || this.#phase === DISCARD) {
        at = this.#readBody(bytes, at, end);
      } else if (this.#phase === LINGER || this.#phase === CLOSED || this.#phase === CUT) {
        at = end;
      } else {
        break;
      }
    }
    this.#isConsuming = false;
    this.#home.output.flush();
    return at;
  }

  /**
   * Whether the next request has to wait for another turn, which is asked for then. The clock is read behind the first request of a
   * pipeline and behind every fourth: a cheap pipeline hardly pays for it, and a slow handler is found out at once.
   */
  #mustYield(): boolean {
    const begun = this.#requests - this.#requestsBefore;
    if (begun === 0) return false;
    if (begun < this.#home.limits.requestsPerTurn) {
      const isToLook = begun === 1 || (begun & CLOCK_MASK) === 0;
      if (!isToLook || !this.#home.isTurnSpent) return false;
    }
    this.#home.output.flush();
    if (this.stream.queuedBytes > 0) return true; // it goes on when the client has taken that
    this.#isYielding = true;
    this.stream.awaitTurn();
    return true;
  }

  /** Whoever waits for the client may go on. */
  #letWrite(): void {
    const writers = this.#writers;
    this.#writers = null;
    if (writers !== null) for (const writer of writers) writer.resolve();
  }

  #consumePending(pending: PendingInput): void {
    pending.start = this.#consume(pending.bytes, pending.start, pending.end);
    if (pending.byteLength === 0) this.#pending = null;
    this.#afterTurn();
  }

  /** Keeps a copy of what cannot be used yet. Behind a request at work only so much is read. */
  #keep(bytes: Buffer): void {
    const { bodyBufferBytes, headBytes } = this.#home.limits;
    if (this.#pending === null) this.#pending = new PendingInput(bytes, Math.max(bodyBufferBytes, headBytes));
    else this.#pending.append(bytes);
    const isBehind = (this.#phase !== HEAD && this.#phase !== UPGRADED) || this.#isYielding;
    if (isBehind && this.#pending.byteLength >= bodyBufferBytes) this.#pause();
  }

  /** What came has been worked through, and what was answered is on its way. */
  #afterTurn(): void {
    // What was read ahead is used up, and it was not all of the body.
    if (this.#isPaused && (this.#phase === DISCARD || (this.#phase === BODY && !this.#isBodyFull))) this.#resume();
    if (this.#phase !== HEAD) return;
    if (this.#mustFlush()) return;
    if (this.#isYielding) return;
    if (this.#isPaused) this.#resume();
    if (this.#hasPeerEnded)
      this.stream.close(); // all its requests are answered; part of one is none
    else if (this.#pending !== null)
      return; // in the middle of a head, which has its deadline
    else if (this.#home.isStopping)
      this.stop(); // the answer did not say that it was the last: more requests may be on their way
    else this.stream.setDeadline(this.#home.timeouts.idleMs);
  }

  /** Goes on when the client has taken its answers. On io_uring a write that seemed to have room may turn out later to be queued. */
  #mustFlush(): boolean {
    if (this.stream.queuedBytes === 0) return false;
    this.#phase = FLUSH;
    this.#waitForNothing();
    return true;
  }

  #readHead(bytes: Buffer, start: number, end: number): number {
    const parser = this.#parser ?? this.#home.borrowParser();
    const isFirst = this.#parser === null;
    const hadBegun = parser.hasBegun;
    this.#parser = parser;
    const used = parser.parse(bytes, start, end);
    if (used === INCOMPLETE) {
      // Empty lines may come long before the head, whose time counts from its own first byte.
      if (isFirst || (!hadBegun && parser.hasBegun)) this.stream.setDeadline(this.#home.timeouts.headerMs);
      return INCOMPLETE;
    }
    // No error is made of it: a flood of heads that are none would pay for a stack each.
    if (used < 0) {
      this.#returnParser();
      this.#refuse(-used, 'the head is malformed or too large');
      return end;
    }
    let head: RequestHead;
    try {
      head = new RequestHead(latin1Of(bytes, start, used), parser, this.#home.limits.bodyBytes);
    } catch (error) {
      const { status, message } = error as HttpError;
      this.#refuse(status, message);
      return end;
    } finally {
      this.#returnParser();
    }
    this.#behind = end - used;
    this.#begin(head);
    return used;
  }

  #returnParser(): void {
    if (this.#parser === null) return;
    this.#home.returnParser(this.#parser);
    this.#parser = null;
  }

  #begin(head: RequestHead): void {
    const decoder = this.#decoderOf(head.framing);
    const body = decoder === null ? RequestBody.none : new RequestBody(decoder, this);
    const request = new HttpRequest(head, body, this);
    const response = new ResponseWriter(this);
    this.#head = head;
    this.#body = body;
    this.#request = request;
    this.#response = response;
    this.#requests++;
    if (body.isComplete) {
      this.#phase = ANSWER;
    } else {
      this.#phase = BODY;
      this.#isBodyFull = false;
      this.#needsContinue = head.expectsContinue;
      this.#bodyClock = new BodyClock(this.#home.timeouts);
      if (!this.#needsContinue) this.#bodyClock.run(this.#home.activeNow());
    }
    this.#call(request, response);
  }

  #decoderOf(framing: number): BodyDecoder | null {
    if (framing === NO_BODY || framing === 0) return null;
    return framing === CHUNKED ? new ChunkedDecoder(this.#home.limits) : new LengthDecoder(framing);
  }

  /** Calls the handler in an async context of its own, and reports what it throws there. */
  #call(request: HttpRequest, response: ResponseWriter): void {
    this.#home.createContext().runInAsyncScope(this.#callHere, this, request, response);
  }

  #callHere(request: HttpRequest, response: ResponseWriter): void {
    let result: Promise<void> | null;
    try {
      result = promiseOf(this.#home.handler(request, response));
    } catch (error) {
      this.#failed(error, request, response);
      return;
    }
    if (!response.hasEnded && !this.isGone) {
      if (this.#phase === BODY && !this.#needsContinue && !this.#isBodyFull) this.#bodyIsDue();
      else this.#awaitAnswer();
    }
    if (result === null) return; // it has answered, or will, from a callback
    result.then(
      () => this.#returned(request, response),
      (error: unknown) => this.#failed(error, request, response),
    );
  }

  /** An async handler is done. A stream that it has begun may go on without it, unless a length was promised for it. */
  #returned(request: HttpRequest, response: ResponseWriter): void {
    if (response.hasEnded || this.#response !== response || this.isGone) return;
    if (!response.hasBegun || response.hasPromisedLength) {
      this.#failed(new Error('the handler ended before its answer was complete'), request, response);
    }
  }

  /** The handler threw. What the client hears depends on whether the words were chosen for it (HttpError). */
  #failed(error: unknown, request: HttpRequest | null, response: ResponseWriter): void {
    const isOurs = this.#response === response && !this.isGone;
    if (error instanceof ClientGoneError && !isOurs) return; // to leave is nobody's mistake
    const isChosen = error instanceof HttpError;
    if (!isChosen || error.status >= 500) this.#home.report(error, request);
    if (response.hasEnded || !isOurs) return;
    if (response.hasBegun) {
      this.broken();
      return;
    }
    const status = isChosen ? error.status : 500;
    response.restart();
    response.status(status).text(`${isChosen ? error.message : reasonOf(500)}\n`);
  }

  /** A client that has read the cut answer knows that it is not whole, also without RST. */
  get #isCutSeen(): boolean {
    return this.minorVersion > 0 || this.#response?.hasPromisedLength === true;
  }

  /**
   * RST would destroy complete answers that are still on their way. So the connection ends with FIN where the length or the chunks of
   * the last answer show that it is cut. Where the end of the connection is the end of the answer, only RST shows it. It comes
   * later than the last bytes: some clients take an RST right behind them for a normal end.
   */
  #endCut(): void {
    if (this.#isCutSeen) this.#linger();
    else this.stream.setDeadline(DELIVERY_MS);
  }

  /** One answer, then the end: where the next request begins is not known any more. */
  #refuse(status: number, message: string, fields = ''): void {
    const isBodyless = this.#phase !== HEAD && this.isHeadRequest;
    const text = `${message}\n`;
    this.latin1(
      `${statusLine(status)}${this.dateLine()}Content-Type: text/plain; charset=utf-8\r\n` +
        `Content-Length: ${text.length}\r\n${fields}Connection: close\r\n\r\n${isBodyless ? '' : text}`,
    );
    this.#linger();
  }

  #readBody(bytes: Buffer, start: number, end: number): number {
    const body = this.#body as RequestBody;
    if (this.#needsContinue) {
      this.#needsContinue = false; // it did not wait
      this.#bodyClock?.run(this.#home.activeNow());
    }
    let at: number;
    try {
      at = body.push(bytes, start, end);
    } catch (error) {
      this.#bodyFailed(error as HttpError);
      return end;
    }
    if (this.#phase === DISCARD) {
      this.#dropped += at - start;
      if (body.isComplete) this.#next();
      else if (this.#dropped > this.#home.limits.drainBytes) this.#close();
    } else if (body.isComplete) {
      this.#phase = ANSWER;
      this.#awaitAnswer();
    }
    return at;
  }

  /** No more of the body will come, or none that could be trusted. */
  #bodyFailed(error: HttpError): void {
    if (this.#phase === DISCARD) this.#close();
    else if (this.#response?.hasBegun === true) this.broken();
    else this.#refuse(error.status, error.message, error.status === 503 ? RETRY_SOON : '');
    this.#body?.fail(error);
  }

  #sendContinue(): void {
    this.#needsContinue = false;
    if (this.#response?.hasBegun === true) return;
    this.latin1('HTTP/1.1 100 Continue\r\n\r\n');
    if (!this.#isConsuming) this.#home.output.flush();
  }

  /** The answer is complete and the body is not: it is read on for a while, so that the connection can be used again. */
  #discard(body: RequestBody): void {
    body.discard();
    this.#leavesBody = true;
    if (this.#mustClose) {
      this.#close();
      return;
    }
    this.#phase = DISCARD;
    this.#dropped = 0;
    if (this.#isPaused && !this.#isConsuming) this.#resume();
    if (!this.#isConsuming) this.#home.output.flush();
    this.stream.setDeadline(this.#home.timeouts.lingerMs);
  }

  /** The answer is complete, and so is the request. */
  #next(): void {
    if (this.#mustClose) {
      this.#close();
      return;
    }
    this.#head = null;
    this.#response = null;
    this.#body = null;
    this.#bodyClock = null;
    this.#leavesBody = false;
    this.#phase = HEAD;
    if (this.#isConsuming) return;
    this.#home.output.flush();
    if (this.stream.queuedBytes === 0 && this.#pending !== null) this.#consumePending(this.#pending);
    else this.#afterTurn();
  }

  /**
   * While the server stops: nothing that our kernel has received waits behind what is read of the request at work. Where the rest of a
   * body has come, a next request may lie behind it. RFC 9112 section 9.6: what came
   * behind a request whose answer says `Connection: close` must not be processed, so a pipeline that we have hears it at its end.
   */
  get #isLastKnown(): boolean {
    if (this.#phase === BODY) {
      const bodyBytes = Math.max(0, (this.#head as RequestHead).framing); // of a chunked body nobody knows yet
      if (this.#isConsuming && this.#behind > bodyBytes) return false;
    } else if (this.#isConsuming ? this.#behind > 0 : this.#pending !== null) {
      return false;
    }
    return this.#hasPeerEnded || !this.stream.hasInput();
  }

  /** FIN to a connection at rest, unless its next request has just come: that will be told to us in this turn or the next one. */
  #endIdle(): void {
    if (this.stream.hasInput()) this.stop();
    else this.#linger();
  }

  /**
   * No request will follow. A client that has ended, or asked for the end and has sent its request whole, sends nothing more, but
   * perhaps a late CRLF: with it we can close at once, where one short answer is all that it gets. What is left of a body is dropped,
   * but the answer must still reach the client.
   */
  #close(): void {
    this.#mustClose = true;
    this.#home.output.flush();
    if (this.stream.queuedBytes > 0) {
      this.#phase = FLUSH;
      this.#waitForNothing();
      return;
    }
    const isAnnounced = this.#head?.keepAlive === false && !this.#leavesBody;
    const isExpected = this.#hasPeerEnded || (isAnnounced && this.#requests === 1 && !this.#isLong);
    if (isExpected && this.#pending === null) this.stream.close();
    else this.#linger();
  }

  #linger(): void {
    this.#home.output.flush();
    this.#phase = LINGER;
    this.#dropped = 0;
    this.#pending = null;
    this.#body?.release();
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

  // Deadlines of those who are at work.

  /** The handler has what it needs, or takes its time to read on. */
  #awaitAnswer(): void {
    if (this.#response?.hasBegun === true) this.#waitForNothing();
    else this.stream.setDeadline(this.#home.timeouts.answerMs);
  }

  #answerIsLate(): void {
    if (this.#response?.hasBegun === true) return; // it has no deadline any more
    const error = new Error(`no answer after ${this.#home.timeouts.answerMs} ms`);
    // The alarm that rang may have been set while another request was at work, and would bring the stores of that one.
    this.#home.createContext().runInAsyncScope(this.#home.report, this.#home, error, this.#request);
    this.#refuse(503, reasonOf(503));
  }

  #bodyIsDue(): void {
    const clock = this.#bodyClock as BodyClock;
    if (this.#isBodyFull || this.#needsContinue) {
      this.#answerIsLate();
      return;
    }
    const delayMs = clock.nextCheckMs(this.#home.activeNow(), (this.#body as RequestBody).receivedBytes);
    if (delayMs > 0) this.stream.setDeadline(delayMs);
    else this.#bodyFailed(new HttpError(408, 'the body took too long'));
  }

  /** An answer that has begun may take as long as its handler likes: only the stream watches whether the client takes it. */
  #waitForNothing(): void {
    this.stream.setDeadline(NEVER_MS);
  }
}
