/**
 * ResponseWriter: turns the response of a handler into bytes that no reader can misunderstand.
 *
 * `status` and `header` prepare the head. Then either one call sends all (`text`, `json`, `html`, `bytes`, `body`, `redirect`, `empty`), or
 * `write` sends pieces and `end` completes the response. Only this room decides how the body of a handler is framed. A line end in a
 * header value, or a body longer than its Content-Length, would let a client read a response that the handler did not write (response
 * splitting). Such calls throw, and what they were given is not sent. A body that is too short ends in a cut.
 *
 * The parts are in files of their own: prepared-head.ts has status and fields, streamed-body.ts a body in pieces, response-hooks.ts what few need.
 *
 * Next: refusal.ts
 */

import type { Stream, StreamHandler } from '../../simplenet/index.ts';
import { isProtocol } from '../grammar.ts';
import { markHandled } from '../promises.ts';
import { hasNoBody, statusLine } from '../status.ts';
import { type BodyStage, discardStages } from './body-transform.ts';
import { checkedBytes } from './checked-bytes.ts';
import { utf8Length } from './latin1.ts';
import { type BodyPieces, PieceSource } from './piece-source.ts';
import { PreparedHead } from './prepared-head.ts';
import type { FieldValue } from './response-fields.ts';
import { asciiLocation, type Framing, headOf, informationalHead, interimHead, RESET_CONTENT } from './response-head.ts';
import type { ResponseHooks } from './response-hooks.ts';
import type { ResponseOutput, ResponseOwner } from './response-output.ts';
import { StreamedBody, wrongLength } from './streamed-body.ts';

export type { ResponseOutput, ResponseOwner } from './response-output.ts';

const EMPTY = new Uint8Array(0);
const CONTINUE = 100;
const SWITCHING_PROTOCOLS = 101;
const OK = 200;
const NO_STAGES: readonly BodyStage[] = [];

/**
 * What a handler responds: its second argument. `status` and `header` prepare; then one call sends all, or `write` and `end` send in pieces.
 *
 * ```ts
 * import { createReadStream } from 'node:fs';
 * import { Router } from 'simplenet/http';
 *
 * new Router()
 *   .get('/order', (_request, response) => response.cookie('seen', '1').body(createReadStream('order.json')))
 *   .get('/numbers', async (_request, response) => {
 *     response.header('Content-Type', 'text/plain');
 *     for (let i = 0; i < 1_000_000; i++) await response.write(`${i}\n`); // waits while the client reads slowly
 *     response.end();
 *   });
 * ```
 */
export class ResponseWriter extends PreparedHead {
  readonly #owner: ResponseOwner;
  readonly #output: ResponseOutput;
  readonly #isToHead: boolean;
  readonly #minorVersion: number;
  /** Set from the head of a response on that comes in pieces. */
  #body: StreamedBody | null = null;

  /** @internal */
  constructor(owner: ResponseOwner, output: ResponseOutput, isToHead: boolean, minorVersion: number) {
    super();
    this.#owner = owner;
    this.#output = output;
    this.#isToHead = isToHead;
    this.#minorVersion = minorVersion;
  }

  /** The end of the body can be told by its Content-Length. */
  get hasPromisedLength(): boolean {
    return this.declaredLength >= 0 && (this.#body === null || this.#body.framing === 'length');
  }

  /**
   * Sends an informational response before the final one, such as 103 with Link fields. Returns false if it was not sent, because the
   * client speaks HTTP/1.0, which has none, or has gone, or has not taken what is queued for it.
   */
  informational(status: number, headers: Readonly<Record<string, FieldValue>> = {}): boolean {
    this.mustNotHaveBegun('informational');
    const head = informationalHead(status, headers);
    if (this.#minorVersion === 0 || this.#output.isClosed || this.#output.isOverfull) return false;
    this.#owner.sendInformational(head);
    return true;
  }

  text(body: string): void {
    this.#sendText('text', body, 'text/plain; charset=utf-8');
  }

  html(body: string): void {
    this.#sendText('html', body, 'text/html; charset=utf-8');
  }

  json(value: unknown): void {
    const body = JSON.stringify(value);
    if (body === undefined) throw new TypeError(`json() takes a value that JSON can represent, not ${typeof value}`);
    this.#sendText('json', body, 'application/json');
  }

  /** Sends the bytes. The program must not change them afterwards: a large body is not copied, and no promise says when it is sent. */
  bytes(body: Uint8Array): void {
    this.#sendBytes('bytes', body, 'application/octet-stream');
  }

  /**
   * Sends a body to which no Content-Type is added, except that of a Blob. A string or bytes are sent at once, as `text` and `bytes` do it.
   *
   * Of a stream, an AsyncIterable or a Blob each piece is written when the client has taken the one before, and the response ends with the
   * source. The promise resolves then. If the source fails, a client that has got the head is cut off, and another gets 500; the error is
   * reported, and the promise rejects. If the client leaves, the source is cancelled. `write('')` sends the head before the first piece.
   */
  body(body: string | Uint8Array): void;
  body(body: BodyPieces): Promise<void>;
  body(body: string | Uint8Array | BodyPieces): Promise<void> | void;
  body(body: string | Uint8Array | BodyPieces): Promise<void> | void {
    if (typeof body === 'string') return this.#sendText('body', body, null);
    this.mustBeOpen('body');
    const source = PieceSource.of(body);
    return source === null ? this.#sendBytes('body', body as Uint8Array, null) : markHandled(this.#sendSource(source));
  }

  /**
   * Sends a whole body, with this Content-Type in the place of an earlier one; null adds none. For http/handlers/.
   * @internal
   */
  whole(body: string | Uint8Array, contentType: string | null): void {
    if (contentType !== null && this.fields !== null) this.header('Content-Type', contentType);
    if (typeof body === 'string') this.#sendText('whole', body, contentType);
    else this.#sendBytes('whole', body, contentType);
  }

  redirect(location: string, status = 302): void {
    this.header('Location', asciiLocation(location)).status(status);
    this.#sendBytes('redirect', EMPTY, null);
  }

  /** Sends a response without a body: 204 unless another status is set or given. */
  empty(status?: number): void {
    this.mustNotHaveBegun('empty');
    if (status !== undefined) this.status(status);
    else if (!this.isStatusChosen) this.code = 204;
    this.#sendBytes('empty', EMPTY, null);
  }

  /**
   * Sends a piece. Await the promise before you write more or change the bytes: it resolves when the client has taken what was queued,
   * and what was written has been sent or copied. It rejects if the client has disconnected.
   */
  write(chunk: string | Uint8Array): Promise<void> {
    this.mustBeOpen('write');
    return this.#write(typeof chunk === 'string' ? Buffer.from(chunk) : checkedBytes(chunk, 'write()'));
  }

  /**
   * Completes a response that comes in pieces, after a last piece if one is given. The program must not change its bytes afterwards.
   * Without any `write`, that piece is the whole body.
   */
  end(chunk?: string | Uint8Array): void {
    this.mustBeOpen('end');
    const piece = chunk === undefined || typeof chunk === 'string' ? chunk : checkedBytes(chunk, 'end()');
    if (this.#output.isClosed) {
      this.ended = true;
      return;
    }
    if (!this.begun && (this.hooks === null || this.hooks.trailers === '')) {
      if (piece === undefined && hasNoBody(this.code)) this.empty(this.code);
      else if (typeof piece === 'string') this.text(piece);
      else this.bytes(piece ?? EMPTY);
      return;
    }
    if (piece !== undefined) void this.write(piece);
    this.#endPieces();
  }

  /**
   * Sends 101 and hands the stream over: `createHandler` gets it and returns its new handler. That handler first gets the bytes that the
   * client has sent after its request. HTTP has received them already, so they come even if `createHandler` pauses the stream; later
   * bytes wait in the kernel then. From now on HTTP does not manage the stream: it has no deadline. `close` of the server
   * tells it (`request.closing`), waits for it, and ends it when the grace ends.
   *
   * The callbacks of the new handler run in an async context of their own, which begins with the stores of the request. A handler that the
   * program sets later (`stream.handler`) does not: all such handlers of a loop share one context.
   *
   * Returns true if the stream has been handed over. False means that the program need not do anything: the client has disconnected, or it
   * got 426 because it did not ask for this protocol, or 400 because its request has a body that the handler has not read. No behaviour
   * of a client makes this throw, so a timer may call it.
   */
  upgrade(protocol: string, createHandler: (stream: Stream) => StreamHandler): boolean {
    this.mustNotHaveBegun('upgrade');
    if (!isProtocol(protocol))
      throw new TypeError(`a protocol must be a name such as websocket or x/1, not '${protocol}'`);
    if (this.#output.isClosed) return false;
    if (!this.#owner.hasAskedFor(protocol)) {
      this.restart(); // the prepared status was for the 101
      this.status(426).header('Upgrade', protocol).text(`This resource is served over ${protocol}.\n`);
      return false;
    }
    // RFC 9110 section 7.8: the whole request must be read before the protocol changes.
    if (!this.#owner.isRequestRead) {
      this.restart();
      this.status(400).text(`A request for ${protocol} must not have a body here.\n`);
      return false;
    }
    this.#handOver(`${statusLine(SWITCHING_PROTOCOLS)}Connection: Upgrade\r\nUpgrade: ${protocol}\r\n`, createHandler);
    return true;
  }

  // For the connection and the router.

  /**
   * Handles an error as if the handler had thrown it. For the router, which calls code of the program in a callback.
   * @internal
   */
  fail(error: unknown): void {
    this.#owner.handlerFailed(error);
  }

  /** @internal A stream or a transform completes the response by itself, and waits for the client. */
  get isSending(): boolean {
    return this.#body?.isTransforming === true || (this.hooks !== null && this.hooks.source !== null);
  }

  /** @internal Whether the response has reported this error already. */
  hasFailedWith(error: unknown): boolean {
    return this.hooks?.hasFailedWith(error) === true;
  }

  /** @internal The connection is closed: cancels what is being sent. */
  connectionClosed(reason: Error): void {
    this.hooks?.source?.cancel(reason);
    this.#body?.destroy(reason);
  }

  // For http/handlers/: what the Fetch Server API asks for.

  /** @internal Whether the client has asked for this protocol, in a way that lets the server switch to it. */
  hasAskedFor(protocol: string): boolean {
    return this.#owner.hasAskedFor(protocol);
  }

  /** @internal The client can still get something: it is connected, and the connection does not end. */
  get isOpen(): boolean {
    return !this.#output.isClosed;
  }

  /** @internal The request has no body, or its handler has read all of it. */
  get isRequestRead(): boolean {
    return this.#owner.isRequestRead;
  }

  /** @internal The client waits for `100 Continue` before it sends the body. */
  get isContinueDue(): boolean {
    return this.#owner.isContinueDue;
  }

  /** @internal Sends a `100 Continue` with these fields. */
  sendContinue(headers: Readonly<Record<string, FieldValue>>): void {
    this.mustNotHaveBegun('sendContinue');
    const head = interimHead(CONTINUE, headers);
    if (!this.#output.isClosed) this.#owner.sendContinue(head);
  }

  /** @internal Answers a CONNECT with 200, and hands the stream over as `upgrade` does. The caller has read the request. */
  tunnel(createHandler: (stream: Stream) => StreamHandler): void {
    this.mustNotHaveBegun('tunnel');
    // RFC 9110 section 9.3.6: no Content-Length and no Transfer-Encoding.
    if (!this.#output.isClosed) this.#handOver(`${statusLine(OK)}${this.#output.dateLine()}`, createHandler);
  }

  /** @internal Ends the connection without a response. */
  breakOff(): void {
    this.begun = true;
    this.ended = true;
    this.#owner.abortResponse();
  }

  #handOver(head: string, createHandler: (stream: Stream) => StreamHandler): void {
    let text = head;
    for (const [, line] of this.fields ?? []) text += line;
    this.begun = true;
    this.ended = true;
    this.#owner.upgrade(`${text}\r\n`, createHandler);
  }

  // Whole bodies.

  #sendText(caller: string, body: string, contentType: string | null): void {
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
      if (byteLength === body.length) this.#output.latin1(body);
      else this.#output.utf8(body);
    }
    this.#complete();
  }

  #sendBytes(caller: string, body: Uint8Array, contentType: string | null): void {
    this.mustNotHaveBegun(caller);
    const bytes = checkedBytes(body, `${caller}()`);
    if (this.hooks?.isHooked) this.#sendHooked(bytes, contentType, this.hooks);
    else this.#sendWhole(bytes, contentType);
  }

  #sendWhole(bytes: Uint8Array, contentType: string | null): void {
    this.#beginWhole(bytes.byteLength, contentType);
    if (bytes.byteLength > 0 && this.#mayHaveBody()) this.#output.bytes(bytes);
    this.#complete();
  }

  /** Sends a whole body after the callbacks of middleware, and through their transforms. */
  #sendHooked(bytes: Uint8Array, contentType: string | null, hooks: ResponseHooks): void {
    const stages = this.#runHooks(bytes, contentType, hooks);
    if (stages === null) return;
    if (stages.length === 0) {
      this.#sendWhole(bytes, hooks.impliedType);
      return;
    }
    this.#checkWhole(bytes.byteLength, stages);
    const body = this.#startPieces(stages, hooks.impliedType);
    this.ended = true;
    body.sendWhole(bytes, hooks.trailers);
  }

  #beginWhole(byteLength: number, contentType: string | null): void {
    this.#decideClosing();
    if (contentType !== null && this.#canUseHeadCache()) {
      this.#output.cachedHead(this.code, contentType, byteLength, this.#owner.keepAliveLine);
    } else {
      this.#checkWhole(byteLength, NO_STAGES);
      // A response to HEAD may declare the length of the GET response.
      this.#output.head(
        this.#headOf('length', this.declaredLength < 0 ? byteLength : this.declaredLength, contentType),
      );
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
      this.#minorVersion > 0
    );
  }

  #checkWhole(byteLength: number, stages: readonly BodyStage[]): void {
    if (this.declaredLength < 0 || byteLength === this.declaredLength || !this.#mayHaveBody()) return;
    discardStages(stages);
    this.closes = true; // what the handler sends next may be wrong as well
    throw new Error(`Content-Length is ${this.declaredLength}, but the body has ${byteLength} bytes`);
  }

  // Bodies in pieces.

  #write(bytes: Uint8Array): Promise<void> {
    if (this.#output.isClosed) return this.#output.waitForDrain();
    if (this.#body !== null) return this.#body.write(bytes);
    const body = this.#beginPieces(bytes.byteLength);
    return body === null ? markHandled(Promise.reject(this.hooks?.failure)) : body.writeFirst(bytes);
  }

  #endPieces(): void {
    if (this.ended) return; // a callback of middleware has failed at the first piece, and the error response is complete
    const body = this.#body ?? this.#beginPieces(0);
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
    const unknown: Framing = this.#minorVersion === 0 ? 'close' : 'chunked';
    const framing = isLengthKnown ? 'length' : unknown;
    if (framing === 'close') this.closes = true;
    this.#decideClosing();
    const head = this.#headOf(framing, this.declaredLength, contentType);
    this.#owner.beginStream();
    this.#output.head(head);
    this.begun = true;
    const body = new StreamedBody(this.#owner, this.#output, framing, this.#mayHaveBody(), this.declaredLength);
    if (stages.length > 0) body.transformBy(stages, (error) => this.#fail(error));
    this.#body = body;
    return body;
  }

  async #sendSource(source: PieceSource): Promise<void> {
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
        await this.#write(piece);
      }
      if (!this.#mayHaveBody()) source.cancel(new Error('this response has no body'));
      if (this.#output.isClosed) await this.#output.waitForDrain(); // rejects
      this.#endPieces();
      hooks.source = null;
    } catch (error) {
      if (hooks.source === source) {
        hooks.source = null;
        source.cancel(error);
        this.#fail(error);
      }
      throw error;
    }
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
      return this.#isToHead && this.declaredLength > 0 ? hooks.createStages(null) : NO_STAGES;
    } catch (error) {
      this.#fail(error);
      return null;
    }
  }

  /** The response has failed by itself: in a callback, in the stream that it sends, or in a transform. */
  #fail(error: unknown): void {
    if (this.#output.isClosed) return;
    const wasBegun = this.begun;
    this.#owner.handlerFailed(error);
    this.hooked.fail(error);
    if (wasBegun) this.#owner.abortResponse(); // the handler may have given all of the response already
  }

  #decideClosing(): void {
    if (!this.closes && !this.#owner.canKeepAlive()) this.closes = true;
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
      minorVersion: this.#minorVersion,
      isClosing: this.closes,
      keepAliveLine: this.closes ? '' : this.#owner.keepAliveLine,
      dateLine: this.#output.dateLine(),
    });
  }

  #mayHaveBody(): boolean {
    return !this.#isToHead && !hasNoBody(this.code) && this.code !== RESET_CONTENT;
  }

  #complete(): void {
    this.ended = true;
    this.#owner.responseCompleted();
  }
}
