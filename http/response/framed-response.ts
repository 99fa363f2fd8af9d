/**
 * FramedResponse: from the prepared head to the output: how a body is framed, and what a response does with callbacks, transforms and streams.
 *
 * Only this room decides how the body of a handler is framed. A line end in a header value, or a body longer than its Content-Length, would
 * let a client read a response that the handler did not write (response splitting). Such calls throw, and what they were given is not sent. A
 * body that is too short ends in a cut.
 *
 * The calls of a handler are in ResponseWriter.
 *
 * Next: response-writer.ts
 */

import type { Stream, StreamHandler } from '../../simplenet/index.ts';
import { markHandled } from '../promises.ts';
import { hasNoBody } from '../status.ts';
import { type BodyStage, discardStages } from './body-transform.ts';
import { checkedBytes } from './checked-bytes.ts';
import { checkEventOptions, type EventOptions, EventWriter } from './event-writer.ts';
import { utf8Length } from './latin1.ts';
import type { PieceSource } from './piece-source.ts';
import { PreparedHead } from './prepared-head.ts';
import { type FieldLine, setField } from './response-fields.ts';
import { type Framing, headOf, RESET_CONTENT } from './response-head.ts';
import type { ResponseHooks } from './response-hooks.ts';
import type { ResponseOutput, ResponseOwner } from './response-output.ts';
import { StreamedBody, wrongLength } from './streamed-body.ts';

const NO_STAGES: readonly BodyStage[] = [];
const NO_BYTES = new Uint8Array(0);

/** The fields of a stream of events. All streams share the lines: thousands of them are open at a time. */
const EVENTS: readonly FieldLine[] = [['content-type', 'Content-Type: text/event-stream\r\n']];
const UNCACHED_EVENTS: readonly FieldLine[] = [...EVENTS, ['cache-control', 'Cache-Control: no-store\r\n']];

/** An error that the connection answers by itself. */
interface RefusalParts {
  readonly status: number;
  readonly contentType: string;
  readonly text: string;
  /** In seconds; null adds no such field. */
  readonly retryAfter: string | null;
}

/** What sends a response. See ResponseWriter. */
export abstract class FramedResponse extends PreparedHead {
  /** @internal */
  declare protected readonly owner: ResponseOwner;
  /** @internal */
  declare protected readonly output: ResponseOutput;
  declare private readonly isToHead: boolean;
  /** @internal */
  declare protected readonly minorVersion: number;
  /** Set from the head of a response on that comes in pieces. */
  declare private streamed: StreamedBody | null;

  /**
   * The fields are assigned and not defined, as in PreparedHead.
   * @internal
   */
  constructor(owner: ResponseOwner, output: ResponseOutput, isToHead: boolean, minorVersion: number) {
    super();
    this.owner = owner;
    this.output = output;
    this.isToHead = isToHead;
    this.minorVersion = minorVersion;
    this.streamed = null;
  }

  /** The end of the body can be told by its Content-Length. */
  get hasPromisedLength(): boolean {
    return this.declaredLength >= 0 && (this.streamed === null || this.streamed.framing === 'length');
  }

  /** @internal Its framing shows whether it is complete: by chunks or by a length. */
  get isEndDetectable(): boolean {
    return this.minorVersion > 0 || this.hasPromisedLength;
  }

  // For the connection.

  /** @internal Its handler has returned, or its promise has resolved. Only a transform of a stream of events can still fail then. */
  handlerDone(): void {
    if (this.streamed?.events && !this.streamed.isTransforming) this.owner.forgetRequest();
  }

  /** @internal A stream or a transform completes the response by itself, and waits for the client. */
  get isSending(): boolean {
    const { streamed } = this;
    if (streamed !== null && (streamed.isTransforming || streamed.events !== null)) return true;
    return this.hooks !== null && this.hooks.source !== null;
  }

  /** @internal Cancels the stream that `body()` is sending, whose response then fails with this reason. */
  cancelSource(reason: Error): void {
    this.hooks?.source?.cancel(reason);
  }

  /** @internal Whether the response has reported this error already. */
  hasFailedWith(error: unknown): boolean {
    return this.hooks?.hasFailedWith(error) === true;
  }

  /** @internal The connection is closed: cancels what is being sent. */
  connectionClosed(reason: Error): void {
    this.cancelSource(reason);
    this.streamed?.destroy(reason);
  }

  /**
   * @internal The whole message of an error response that the connection sends in the place of this one, which has not begun. Its text is ASCII. The
   * callbacks of `beforeHead` may change the head. If one throws, the head is made again without it: the error is reported, and the client gets
   * its refusal.
   */
  refusal({ status, contentType, text, retryAfter }: RefusalParts, report: (error: unknown) => void): string {
    const bytes = Buffer.from(text);
    for (let isMade = false; !isMade; ) {
      this.clear(status);
      if (retryAfter !== null && this.getHeader('retry-after') === null) {
        this.fields ??= [];
        setField(this.fields, 'retry-after', `Retry-After: ${retryAfter}\r\n`);
      }
      isMade = this.hooks === null || this.#hasCalledHooks(this.hooks, bytes, contentType, report);
    }
    this.closes = true;
    const type = this.hooks === null ? contentType : this.hooks.impliedType;
    return `${this.#headOf('length', bytes.byteLength, type)}${this.#mayHaveBody() ? text : ''}`;
  }

  #hasCalledHooks(
    hooks: ResponseHooks,
    bytes: Uint8Array,
    contentType: string,
    report: (error: unknown) => void,
  ): boolean {
    hooks.reason = null;
    hooks.impliedType = contentType;
    try {
      hooks.callBeforeHead(bytes);
      hooks.trailers = ''; // a length frames the body
      return true;
    } catch (error) {
      report(error);
      return false;
    }
  }

  /** @internal After so long a silence `heartbeat` is to be called; Infinity for all but a stream of events. */
  get heartbeatMs(): number {
    return this.streamed?.events?.heartbeatMs ?? Number.POSITIVE_INFINITY;
  }

  /** @internal */
  heartbeat(): void {
    this.streamed?.events?.heartbeat();
  }

  /** @internal The client has left, or the server stops: a stream of events, which has no end of its own, is completed. */
  closeEvents(): void {
    this.streamed?.events?.close();
  }

  /** @internal */
  endEvents(): void {
    if (!this.output.isClosed) this.endPieces();
  }

  // Whole bodies.

  /** @internal */
  protected sendText(caller: string, body: string, contentType: string | null): void {
    this.mustNotHaveBegun(caller);
    // Bytes have a `length` too. They would be counted for Content-Length and not written, and the client would get older memory.
    if (typeof body !== 'string') throw new TypeError(`${caller}() takes a string, not ${typeof body}`);
    if (this.hooks?.isHooked) {
      this.#sendHooked(Buffer.from(body), contentType, this.hooks);
      return;
    }
    const byteLength = utf8Length(body);
    this.#beginWhole(byteLength, contentType);
    if (this.#mayHaveBody()) {
      if (byteLength === body.length) this.output.latin1(body);
      else this.output.utf8(body);
    }
    this.#complete();
  }

  /** @internal */
  protected sendBytes(caller: string, body: Uint8Array, contentType: string | null): void {
    this.mustNotHaveBegun(caller);
    const bytes = checkedBytes(body, `${caller}()`);
    if (this.hooks?.isHooked) this.#sendHooked(bytes, contentType, this.hooks);
    else this.#sendWhole(bytes, contentType);
  }

  #sendWhole(bytes: Uint8Array, contentType: string | null): void {
    this.#beginWhole(bytes.byteLength, contentType);
    if (bytes.byteLength > 0 && this.#mayHaveBody()) this.output.bytes(bytes);
    this.#complete();
  }

  /** Sends a whole body after the callbacks of middleware, and through their transforms. */
  #sendHooked(bytes: Uint8Array, contentType: string | null, hooks: ResponseHooks): void {
    hooks.replacement = null;
    const stages = this.#runHooks(bytes, contentType, hooks);
    if (stages === null) return;
    const { replacement } = hooks;
    if (stages.length > 0 || replacement !== null) this.#checkWhole(bytes.byteLength, stages);
    if (replacement !== null) this.declaredLength = -1; // it was that of the other bytes
    const whole = replacement ?? bytes;
    if (stages.length === 0) {
      this.#sendWhole(whole, hooks.impliedType);
      return;
    }
    const body = this.#startPieces(stages, hooks.impliedType);
    this.ended = true;
    body.sendWhole(whole, hooks.trailers);
  }

  /** @internal Whether the head may consist of lines that were made before: nothing else was set, and the connection stays open. */
  get takesKeptLines(): boolean {
    this.#decideClosing();
    return this.#canUseHeadCache();
  }

  /** @internal Whether the kernel can send a file. */
  get sendsFiles(): boolean {
    return this.output.sendsFiles;
  }

  /** @internal Sends a whole response. `lines` are all fields but Date and Content-Length. Only if `takesKeptLines`. */
  keptBytes(lines: string, bytes: Uint8Array): void {
    this.#beginKept(lines, bytes.byteLength);
    if (this.#mayHaveBody()) this.output.bytes(bytes);
    this.#complete();
  }

  /** @internal The same with a file as its body, if `sendsFiles`. The descriptor must be open until the promise has resolved or rejected. */
  keptFile(lines: string, fd: number, length: number): Promise<void> {
    this.#beginKept(lines, length);
    if (!this.output.isClosed) this.output.file(fd, 0, length);
    const taken = this.output.waitForDrain();
    this.#complete();
    return taken;
  }

  #beginKept(lines: string, byteLength: number): void {
    this.mustNotHaveBegun('body');
    this.output.cachedHeadOf(this.code, lines, byteLength, this.owner.keepAliveLine);
    this.begun = true;
  }

  #beginWhole(byteLength: number, contentType: string | null): void {
    this.#decideClosing();
    if (contentType !== null && this.#canUseHeadCache()) {
      this.output.cachedHead(this.code, contentType, byteLength, this.owner.keepAliveLine);
    } else {
      this.#checkWhole(byteLength, NO_STAGES);
      // A response to HEAD may declare the length of the GET response.
      this.output.head(this.#headOf('length', this.declaredLength < 0 ? byteLength : this.declaredLength, contentType));
    }
    this.begun = true;
  }

  /** Whether the head is status, Date, Content-Type and Content-Length alone, as that of most responses. */
  #canUseHeadCache(): boolean {
    return (
      this.fields === null &&
      this.hooks === null &&
      this.declaredLength < 0 &&
      !this.closes &&
      this.code !== RESET_CONTENT &&
      !hasNoBody(this.code) &&
      this.minorVersion > 0
    );
  }

  #checkWhole(byteLength: number, stages: readonly BodyStage[]): void {
    if (this.declaredLength < 0 || byteLength === this.declaredLength || !this.#mayHaveBody()) return;
    discardStages(stages);
    this.closes = true; // what the handler sends next may be wrong as well
    throw new Error(`Content-Length is ${this.declaredLength}, but the body has ${byteLength} bytes`);
  }

  // Bodies in pieces.

  /** @internal */
  protected writePiece(bytes: Uint8Array): Promise<void> {
    if (this.output.isClosed) return this.output.waitForDrain();
    if (this.streamed !== null) return this.streamed.write(bytes);
    const body = this.#beginPieces(bytes.byteLength);
    return body === null ? markHandled(Promise.reject(this.hooks?.failure)) : body.writeFirst(bytes);
  }

  /** @internal Begins a body of a declared length, for `writeFile`. Returns false if `writeFile` cannot be called. */
  protected beginFiles(): boolean {
    if (!this.output.sendsFiles || this.hooks?.isHooked === true || this.output.isClosed) return false;
    this.#beginPieces(0);
    return true;
  }

  /** @internal Rejects if the client has gone. */
  protected writeFilePart(fd: number, offset: number, length: number): Promise<void> {
    /* c8 ignore next -- the client leaves between two parts, and the wait for the first one rejects before. */
    if (this.output.isClosed) return this.output.waitForDrain();
    return (this.streamed as StreamedBody).writeFile(fd, offset, length);
  }

  /** @internal */
  protected endPieces(): void {
    if (this.ended) return; // a callback of middleware has failed at the first piece, and the error response is complete
    const body = this.streamed ?? this.#beginPieces(0);
    if (body === null) return;
    this.ended = true;
    body.end(this.hooks?.trailers ?? '');
  }

  /** Returns null if a callback of middleware has failed. */
  #beginPieces(firstBytes: number): StreamedBody | null {
    const { hooks } = this;
    const stages = hooks?.isHooked ? this.#runHooks(null, null, hooks) : NO_STAGES;
    if (stages === null) return null;
    if (this.declaredLength < 0 || firstBytes <= this.declaredLength) return this.#startPieces(stages, null);
    discardStages(stages);
    this.closes = true; // what the handler sends next may be wrong as well
    throw wrongLength(this.declaredLength, firstBytes);
  }

  /** Writes the head. RFC 9112 section 6.1: HTTP/1.0 does not have chunks. There the end of the connection ends the body. */
  #startPieces(stages: readonly BodyStage[], contentType: string | null): StreamedBody {
    const isLengthKnown = stages.length === 0 && (this.declaredLength >= 0 || this.code === RESET_CONTENT);
    const unknown: Framing = this.minorVersion === 0 ? 'close' : 'chunked';
    const framing = isLengthKnown ? 'length' : unknown;
    if (framing === 'close') this.closes = true;
    this.#decideClosing();
    const head = this.#headOf(framing, this.declaredLength, contentType);
    this.owner.beginStream();
    this.output.head(head);
    this.begun = true;
    const body = new StreamedBody(this, this.owner, this.output, framing, this.#mayHaveBody(), this.declaredLength);
    if (stages.length > 0) body.transformBy(stages);
    this.streamed = body;
    return body;
  }

  /** @internal */
  protected async sendSource(source: PieceSource): Promise<void> {
    const hooks = this.hooked;
    if (!this.begun) {
      if (source.type !== '' && this.getHeader('content-type') === null) this.header('Content-Type', source.type);
      if (this.declaredLength < 0) this.declaredLength = source.byteLength;
    }
    hooks.source = source;
    try {
      while (this.#mayHaveBody()) {
        const piece = await source.next();
        if (piece === null) break;
        await this.writePiece(piece);
      }
      if (!this.#mayHaveBody()) source.cancel(new Error('this response has no body'));
      if (this.output.isClosed) await this.output.waitForDrain(); // rejects
      this.endPieces();
      hooks.source = null;
    } catch (error) {
      if (hooks.source === source) {
        hooks.source = null;
        source.cancel(error);
        this.bodyFailed(error);
      }
      throw error;
    }
  }

  // Streams of events.

  /** @internal */
  protected beginEvents(options: EventOptions): EventWriter {
    this.mustNotHaveBegun('events');
    checkEventOptions(options);
    if (this.declaredLength >= 0) throw new Error('a stream of events has no Content-Length');
    this.checkedFields(this.getHeader('cache-control') === null ? UNCACHED_EVENTS : EVENTS);
    const lastEventId = Buffer.from(this.owner.requestField('last-event-id') ?? '', 'latin1').toString(); // UTF-8 (HTML, section 9.2.4)
    const body = this.output.isClosed ? null : this.#beginPieces(0);
    const events = new EventWriter(this, body, lastEventId, options);
    if (body === null) return events;
    body.events = events;
    void body.writeFirst(NO_BYTES); // the head leaves: the browser tells the page that the stream is open
    if (!this.#mayHaveBody() || this.owner.mustEndStreams) events.close();
    return events;
  }

  /** @internal */
  protected override mustBeOpen(caller: string): void {
    super.mustBeOpen(caller);
    if (this.streamed?.events) throw new Error(`${caller}() was called while events() sends a stream`);
  }

  // Both.

  /** Calls the callbacks of middleware, and returns the transforms for the body; null if an error response was sent instead. */
  #runHooks(body: Uint8Array | null, contentType: string | null, hooks: ResponseHooks): readonly BodyStage[] | null {
    hooks.impliedType = contentType;
    try {
      hooks.callBeforeHead(body);
      const isEmpty = body !== null && body.byteLength === 0;
      if (hasNoBody(this.code) || this.code === RESET_CONTENT) return NO_STAGES;
      if (!isEmpty) return hooks.createStages(body);
      // A handler may answer HEAD with the length of the GET response alone.
      return this.isToHead && this.declaredLength > 0 ? hooks.createStages(null) : NO_STAGES;
    } catch (error) {
      this.bodyFailed(error);
      return null;
    }
  }

  /** @internal The response has failed by itself: in a callback, in the stream that it sends, in a transform, or at writes that nobody awaits. */
  bodyFailed(error: unknown): void {
    if (this.output.isClosed) return;
    const wasBegun = this.begun;
    this.owner.handlerFailed(error);
    this.hooked.fail(error);
    if (wasBegun) this.owner.abortResponse(); // the handler may have given all of the response already
  }

  /** @internal */
  protected handOver(head: string, createHandler: (stream: Stream) => StreamHandler): void {
    let text = head;
    for (const [, line] of this.fields ?? []) text += line;
    this.begun = true;
    this.ended = true;
    this.owner.upgrade(`${text}\r\n`, createHandler);
  }

  #decideClosing(): void {
    if (!this.closes && !this.owner.canKeepAlive()) this.closes = true;
  }

  #headOf(framing: Framing, byteLength: number, contentType: string | null): string {
    if (framing === 'length' && this.hooks !== null && this.hooks.trailers !== '') {
      throw new Error('trailers need a chunked response: use write() and end(), without Content-Length');
    }
    return headOf({
      status: this.code,
      reason: this.hooks === null ? null : this.hooks.reason,
      fields: this.fields,
      framing,
      byteLength: this.code === RESET_CONTENT ? 0 : byteLength, // also if a length was declared: the client would wait for a body
      contentType,
      minorVersion: this.minorVersion,
      isClosing: this.closes,
      keepAliveLine: this.closes ? '' : this.owner.keepAliveLine,
      dateLine: this.output.dateLine(),
    });
  }

  #mayHaveBody(): boolean {
    return !this.isToHead && !hasNoBody(this.code) && this.code !== RESET_CONTENT;
  }

  #complete(): void {
    this.ended = true;
    this.owner.responseCompleted();
  }
}
