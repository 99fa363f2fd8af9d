/**
 * ResponseWriter: turns the response of a handler into bytes that no reader can misunderstand.
 *
 * `status` and `header` prepare the head. Then either one call sends all (`text`, `json`, `html`, `bytes`, `redirect`, `empty`), or
 * `write` sends pieces and `end` completes the response. Only this file decides how the body of a handler is framed. A line end in a
 * header value, or a body longer than its Content-Length, would let a client read a response that the handler did not write (response
 * splitting). Such calls throw, and what they were given is not sent. A body that is too short ends in a cut.
 *
 * Next: refusal.ts
 */

import type { Stream, StreamHandler } from '../../simplenet/index.ts';
import { isFieldValue, isProtocol, isToken, tokensOf } from '../grammar.ts';
import { markHandled } from '../promises.ts';
import { hasNoBody, isFinalStatus, statusLine } from '../status.ts';
import { checkedBytes } from './checked-bytes.ts';
import { utf8Length } from './latin1.ts';

/** What a response asks of the output of its connection. */
export interface ResponseOutput {
  /** The client has disconnected or the connection is ending: what is written now is dropped. That is not an error of the program. */
  readonly isClosed: boolean;
  /** More is queued than a handler that waits for the client can have written. */
  readonly isOverfull: boolean;
  dateLine(): string;
  /** Writes the head of a response without fields of its own, for a connection that stays open. */
  cachedHead(status: number, contentType: string, contentLength: number): void;
  /** Writes a head that is not in the cache, with its empty line. `latin1`, `utf8`, `bytes` and `chunk` write a body only. */
  head(text: string): void;
  latin1(text: string): void;
  utf8(text: string): void;
  /** Writes bytes that the caller does not change afterwards. */
  bytes(bytes: Uint8Array): void;
  /** Writes bytes as a chunk (RFC 9112 section 7.1). The caller does not change them afterwards. */
  chunk(bytes: Uint8Array): void;
  /** Writes the end of a chunked body. `trailerLines` are field lines, each with its CRLF. */
  lastChunk(trailerLines: string): void;
  /** Called after each piece of a stream. The pieces of one tick leave together. */
  pieceWritten(): void;
  /** Resolves when the client has taken what is queued, so that more can be written; rejects when the connection closes. It is marked as handled. */
  waitForDrain(): Promise<void>;
}

/** What a response asks of the exchange that it belongs to. */
export interface ResponseOwner {
  /** Whether the connection can stay open after this response. Called once, before the head is made. */
  canKeepAlive(): boolean;
  /** Called before the first byte of a response that comes in pieces. */
  beginStream(): void;
  responseCompleted(): void;
  /** Breaks off a response whose body does not fit its head. */
  abortResponse(): void;
  /** Reports an error of the handler, and sends its response if none has begun. */
  handlerFailed(error: unknown): void;
  /** Whether the client has asked for this protocol, in a way that lets the server switch to it. */
  hasAskedFor(protocol: string): boolean;
  /** The request has no body, or its handler has read all of it. */
  readonly isRequestRead: boolean;
  /** Sends a 101 with these field lines, and hands the stream over to another protocol. */
  upgrade(fields: string, createHandler: (stream: Stream) => StreamHandler): void;
}

type Framing = 'length' | 'chunked' | 'close' | 'none';

const DEFAULT_STATUS = 200;

/** RFC 9110 section 15.3.6: a response without content, whose Content-Length is 0. */
const RESET_CONTENT = 205;

export class ResponseWriter {
  readonly #owner: ResponseOwner;
  readonly #output: ResponseOutput;
  readonly #isToHead: boolean;
  readonly #minorVersion: number;
  #status = DEFAULT_STATUS;
  #isStatusChosen = false;
  /** Pairs of the lower-case name and the line with its CRLF. */
  #headers: [name: string, line: string][] | null = null;
  #trailers = '';
  #declaredLength = -1;
  #writtenBytes = 0;
  #framing: Framing = 'none';
  #isClosing = false;
  #hasBegun = false;
  #hasEnded = false;

  constructor(owner: ResponseOwner, output: ResponseOutput, isToHead: boolean, minorVersion: number) {
    this.#owner = owner;
    this.#output = output;
    this.#isToHead = isToHead;
    this.#minorVersion = minorVersion;
  }

  /** The head has been written: status and headers cannot change any more. */
  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** The handler has set a Content-Length. */
  get hasPromisedLength(): boolean {
    return this.#declaredLength >= 0;
  }

  /** The connection closes after this response. */
  get isClosing(): boolean {
    return this.#isClosing;
  }

  status(code: number): this {
    this.#mustNotHaveBegun('status');
    if (!isFinalStatus(code)) throw new RangeError(`a status must be an integer from 200 to 599, not ${String(code)}`);
    this.#status = code;
    this.#isStatusChosen = true;
    return this;
  }

  /** Sets a field, and replaces an earlier one of that name. Set-Cookie is added instead, because a response may have several. */
  header(name: string, value: string | number): this {
    this.#mustNotHaveBegun('header');
    const text = String(value);
    const lower = checkField(name, text);
    if (lower === 'transfer-encoding') throw new Error('Transfer-Encoding is set by the server: use write() to stream');
    if (lower === 'connection' && tokensOf(text).includes('close')) this.#isClosing = true;
    if (lower === 'connection' || lower === 'keep-alive') return this; // the server writes these fields
    if (lower === 'content-length') this.#declareLength(text);
    else this.#set(lower, `${name}: ${text}\r\n`);
    return this;
  }

  /** Adds a field after a chunked body. Browsers ignore such fields, other programs may read them. */
  trailer(name: string, value: string | number): this {
    this.#mustNotHaveEnded('trailer');
    const text = String(value);
    const lower = checkField(name, text);
    // RFC 9110 section 6.5.1: a field that frames or routes a message must come before its body.
    if (['transfer-encoding', 'content-length', 'host', 'trailer', 'connection'].includes(lower)) {
      throw new Error(`${name} cannot be a trailer`);
    }
    this.#trailers += `${name}: ${text}\r\n`;
    return this;
  }

  text(body: string): void {
    this.#send('text', body, 'text/plain; charset=utf-8');
  }

  html(body: string): void {
    this.#send('html', body, 'text/html; charset=utf-8');
  }

  json(value: unknown): void {
    const body = JSON.stringify(value);
    if (body === undefined) throw new TypeError(`json() takes a value that JSON can represent, not ${typeof value}`);
    this.#send('json', body, 'application/json');
  }

  /** Sends the bytes. The program must not change them afterwards: a large body is not copied, and no promise says when it is sent. */
  bytes(body: Uint8Array): void {
    this.#mustNotHaveBegun('bytes');
    const bytes = checkedBytes(body, 'bytes()');
    this.#beginWhole(bytes.byteLength, 'application/octet-stream');
    if (this.#mayHaveBody()) this.#output.bytes(bytes);
    this.#complete();
  }

  /** Sends a whole body, with this Content-Type in the place of an earlier one; null adds none. For http/handlers/. */
  whole(body: string | Uint8Array, contentType: string | null): void {
    if (contentType !== null && this.#headers !== null) this.header('Content-Type', contentType);
    if (typeof body === 'string') {
      this.#send('whole', body, contentType);
      return;
    }
    this.#mustNotHaveBegun('whole');
    const bytes = checkedBytes(body, 'whole()');
    this.#beginWhole(bytes.byteLength, contentType);
    if (this.#mayHaveBody()) this.#output.bytes(bytes);
    this.#complete();
  }

  redirect(location: string, status = 302): void {
    this.header('Location', asciiLocation(location)).status(status);
    this.#beginWhole(0, null);
    this.#complete();
  }

  /** Sends a response without a body: 204 unless another status is set or given. */
  empty(status?: number): void {
    this.#mustNotHaveBegun('empty');
    if (status !== undefined) this.status(status);
    else if (!this.#isStatusChosen) this.#status = 204;
    this.#beginWhole(0, null);
    this.#complete();
  }

  /**
   * Sends a piece. Await the promise before you write more or change the bytes: it resolves when the client has taken what was queued,
   * and what was written has been sent or copied. It rejects if the client has disconnected.
   */
  write(chunk: string | Uint8Array): Promise<void> {
    this.#mustNotHaveEnded('write');
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : checkedBytes(chunk, 'write()');
    if (this.#output.isClosed) return this.#output.waitForDrain();
    // Before the first piece, only earlier responses of a pipeline can be queued. They do not count.
    if (this.#hasBegun && this.#output.isOverfull) {
      this.#owner.abortResponse();
      return markHandled(Promise.reject(new Error('too much is queued for the client: await each write()')));
    }
    this.#checkLength(bytes.byteLength);
    if (!this.#hasBegun) this.#beginStream();
    this.#writeChunk(bytes);
    this.#output.pieceWritten();
    return this.#output.waitForDrain();
  }

  /**
   * Completes a response that comes in pieces, after a last piece if one is given. The program must not change its bytes afterwards.
   * Without any `write`, that piece is the whole body.
   */
  end(chunk?: string | Uint8Array): void {
    this.#mustNotHaveEnded('end');
    const piece = chunk === undefined || typeof chunk === 'string' ? chunk : checkedBytes(chunk, 'end()');
    if (this.#output.isClosed) {
      this.#hasEnded = true;
      return;
    }
    if (!this.#hasBegun && this.#trailers === '') {
      this.#endWhole(piece);
      return;
    }
    if (piece !== undefined) void this.write(piece);
    else if (!this.#hasBegun) this.#beginStream();
    if (this.#framing === 'chunked' && this.#mayHaveBody()) this.#output.lastChunk(this.#trailers);
    if (this.#framing === 'length' && this.#writtenBytes !== this.#declaredLength && this.#mayHaveBody()) {
      this.#hasEnded = true;
      this.#owner.abortResponse();
      throw new Error(`Content-Length is ${this.#declaredLength}, but only ${this.#writtenBytes} bytes were written`);
    }
    this.#complete();
  }

  /**
   * Sends 101 and hands the stream over: `createHandler` gets it and returns its new handler. That handler first gets the bytes that the
   * client has sent after its request. HTTP has received them already, so they come even if `createHandler` pauses the stream; later
   * bytes wait in the kernel then. From now on HTTP does not manage the stream: it has no deadline, and `close` of the server does not
   * wait for it.
   *
   * The callbacks of the new handler run in an async context of their own, which begins with the stores of the request. A handler that the
   * program sets later (`stream.handler`) does not: all such handlers of a loop share one context.
   *
   * Returns true if the stream has been handed over. False means that the program need not do anything: the client has disconnected, or it
   * got 426 because it did not ask for this protocol, or 400 because its request has a body that the handler has not read. No behaviour
   * of a client makes this throw, so a timer may call it.
   */
  upgrade(protocol: string, createHandler: (stream: Stream) => StreamHandler): boolean {
    this.#mustNotHaveBegun('upgrade');
    if (!isProtocol(protocol))
      throw new TypeError(`a protocol must be a name such as websocket or x/1, not '${protocol}'`);
    if (this.#output.isClosed) return false;
    if (!this.#owner.hasAskedFor(protocol)) {
      this.restart(); // the prepared status and headers were for the 101
      this.status(426).header('Upgrade', protocol).text(`This resource is served over ${protocol}.\n`);
      return false;
    }
    // RFC 9110 section 7.8: the whole request must be read before the protocol changes.
    if (!this.#owner.isRequestRead) {
      this.restart();
      this.status(400).text(`A request for ${protocol} must not have a body here.\n`);
      return false;
    }
    let fields = `Connection: Upgrade\r\nUpgrade: ${protocol}\r\n`;
    for (const [, line] of this.#headers ?? []) fields += line;
    this.#hasBegun = true;
    this.#hasEnded = true;
    this.#owner.upgrade(fields, createHandler);
    return true;
  }

  /** Handles an error as if the handler had thrown it. For the router, which calls code of the program in a callback. */
  fail(error: unknown): void {
    this.#owner.handlerFailed(error);
  }

  /** Resets status and headers, so that an error response can be sent instead. For the connection. */
  restart(): void {
    this.#status = DEFAULT_STATUS;
    this.#isStatusChosen = false;
    this.#headers = null;
    this.#trailers = '';
    this.#declaredLength = -1;
  }

  #endWhole(chunk: string | Uint8Array | undefined): void {
    if (chunk === undefined && hasNoBody(this.#status)) this.empty(this.#status);
    else if (typeof chunk === 'string') this.text(chunk);
    else this.bytes(chunk ?? new Uint8Array(0));
  }

  #send(caller: string, body: string, contentType: string | null): void {
    this.#mustNotHaveBegun(caller);
    // Bytes have a `length` too. They would be counted for Content-Length and not written, and the client would get older memory.
    if (typeof body !== 'string') throw new TypeError(`${caller}() takes a string, not ${typeof body}`);
    const byteLength = utf8Length(body);
    this.#beginWhole(byteLength, contentType);
    if (this.#mayHaveBody()) {
      if (byteLength === body.length) this.#output.latin1(body);
      else this.#output.utf8(body);
    }
    this.#complete();
  }

  #beginWhole(byteLength: number, contentType: string | null): void {
    this.#decideClosing();
    if (contentType !== null && this.#canUseHeadCache()) this.#output.cachedHead(this.#status, contentType, byteLength);
    else this.#output.head(this.#headOf('length', byteLength, contentType));
    this.#hasBegun = true;
  }

  /** Whether the head is status, Date, Content-Type and Content-Length alone, as that of most responses. */
  #canUseHeadCache(): boolean {
    return (
      this.#headers === null &&
      this.#declaredLength < 0 &&
      !this.#isClosing &&
      this.#trailers === '' &&
      this.#status !== RESET_CONTENT &&
      !hasNoBody(this.#status) &&
      this.#minorVersion > 0
    );
  }

  #decideClosing(): void {
    if (!this.#isClosing && !this.#owner.canKeepAlive()) this.#isClosing = true;
  }

  /** RFC 9112 section 6.1: HTTP/1.0 does not have chunks. There the end of the connection ends the body. */
  #beginStream(): void {
    if (this.#declaredLength >= 0 || this.#status === RESET_CONTENT) this.#framing = 'length';
    else this.#framing = this.#minorVersion === 0 ? 'close' : 'chunked';
    if (this.#framing === 'close') this.#isClosing = true;
    this.#decideClosing();
    const head = this.#headOf(this.#framing, this.#declaredLength, null);
    this.#owner.beginStream();
    this.#output.head(head);
    this.#hasBegun = true;
  }

  #writeChunk(bytes: Uint8Array): void {
    this.#writtenBytes += bytes.byteLength;
    if (!this.#mayHaveBody() || bytes.byteLength === 0) return; // an empty chunk would end the body
    if (this.#framing === 'chunked') this.#output.chunk(bytes);
    else this.#output.bytes(bytes);
  }

  #headOf(framing: Framing, byteLength: number, contentType: string | null): string {
    const status = this.#status;
    if (framing === 'length' && this.#declaredLength >= 0 && byteLength !== this.#declaredLength) {
      if (this.#mayHaveBody()) {
        this.#isClosing = true;
        throw new Error(`Content-Length is ${this.#declaredLength}, but the body has ${byteLength} bytes`);
      }
      byteLength = this.#declaredLength; // a response to HEAD may declare the length of the GET response
    }
    if (status === RESET_CONTENT) byteLength = 0; // also if a length was declared: the client would wait for a body
    if (framing === 'length' && this.#trailers !== '') {
      throw new Error('trailers need a chunked response: use write() and end(), without Content-Length');
    }
    let head = statusLine(status);
    if (this.#headers === null) {
      head += this.#output.dateLine();
      if (contentType !== null && !hasNoBody(status)) head += `Content-Type: ${contentType}\r\n`;
    } else {
      if (!has(this.#headers, 'date')) head += this.#output.dateLine();
      if (contentType !== null && !hasNoBody(status) && !has(this.#headers, 'content-type')) {
        head += `Content-Type: ${contentType}\r\n`;
      }
      for (const [, line] of this.#headers) head += line;
    }
    // RFC 9110 section 8.6: no Content-Length in 204; in 304 it would have to be that of the whole 200 response.
    if (framing === 'length' && !hasNoBody(status)) head += `Content-Length: ${byteLength}\r\n`;
    if (framing === 'chunked' && !hasNoBody(status)) head += 'Transfer-Encoding: chunked\r\n';
    let connection = '';
    if (this.#isClosing) connection = 'close';
    else if (this.#minorVersion === 0) connection = 'keep-alive';
    // RFC 9110 section 7.8: Connection must name Upgrade too, so that a proxy does not pass it on.
    if (this.#headers !== null && has(this.#headers, 'upgrade'))
      connection += connection === '' ? 'Upgrade' : ', Upgrade';
    if (connection !== '') head += `Connection: ${connection}\r\n`;
    return `${head}\r\n`;
  }

  #mayHaveBody(): boolean {
    return !this.#isToHead && !hasNoBody(this.#status) && this.#status !== RESET_CONTENT;
  }

  #complete(): void {
    this.#hasEnded = true;
    this.#owner.responseCompleted();
  }

  #checkLength(more: number): void {
    if (this.#declaredLength < 0 || this.#writtenBytes + more <= this.#declaredLength) return;
    if (this.#hasBegun) this.#owner.abortResponse();
    this.#isClosing = true; // the rest of this response may be wrong as well
    throw new Error(
      `Content-Length is ${this.#declaredLength}, but the body would have ${this.#writtenBytes + more} bytes`,
    );
  }

  #declareLength(text: string): void {
    if (!/^\d{1,15}$/.test(text)) throw new RangeError(`Content-Length must be a number of bytes, not '${text}'`);
    this.#declaredLength = Number(text);
  }

  #set(lower: string, line: string): void {
    this.#headers ??= [];
    const at = lower === 'set-cookie' ? -1 : this.#headers.findIndex(([name]) => name === lower);
    if (at === -1) this.#headers.push([lower, line]);
    else this.#headers[at] = [lower, line];
  }

  #mustNotHaveBegun(caller: string): void {
    this.#mustNotHaveEnded(caller);
    if (this.#hasBegun) throw new Error(`${caller}() was called after the response had begun`);
  }

  #mustNotHaveEnded(caller: string): void {
    if (this.#hasEnded) throw new Error(`${caller}() was called after the response had ended`);
  }
}

function has(headers: readonly [name: string, line: string][], lower: string): boolean {
  return headers.some(([name]) => name === lower);
}

/** Throws if the field cannot be sent. Returns its name in lower case. */
function checkField(name: string, value: string): string {
  if (!isToken(name)) throw new TypeError(`'${name}' is not a valid header name`);
  if (!isFieldValue(value)) throw new TypeError(`the value of ${name} has a character that a header must not contain`);
  return name.toLowerCase();
}

/** Location must be ASCII, so other characters are percent-encoded. */
function asciiLocation(location: string): string {
  // Encoding would hide a line end as %0D%0A. It is a mistake, as in every field.
  if (/[\x00-\x1f\x7f]/.test(location)) throw new TypeError('the location of a redirect has a control character');
  return location.replace(/[^\x21-\x7e]+/g, encodeURIComponent);
}
