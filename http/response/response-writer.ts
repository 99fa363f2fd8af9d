/**
 * ResponseWriter: the answer as the handler gives it, turned into bytes that no reader can misunderstand.
 *
 * `status` and `header` prepare; then either one call sends all (`text`, `json`, `html`, `bytes`, `redirect`, `empty`), or
 * `write` sends piece by piece and `end` closes. How the body is framed is decided here and by nobody else: a
 * Content-Length that does not fit, or a line end hidden in a header value, would let a client read an answer that the
 * handler never gave (response splitting). Such calls throw before a byte has left.
 *
 * Next: refusal.ts
 */

import type { Stream, StreamHandler } from '../../simplenet/index.ts';
import { isFieldValue, isProtocol, isToken, tokensOf } from '../grammar.ts';
import { markHandled } from '../promises.ts';
import { hasNoBody, isFinalStatus, statusLine } from '../status.ts';
import { plainBytes } from './plain-bytes.ts';

/** Where the bytes of a response go. */
export interface ResponseOutput {
  /** The client is gone: what is written now goes nowhere, and that is not an error of the program. */
  readonly isClosed: boolean;
  /** So much is queued that the handler cannot have waited for the client. */
  readonly isOverfull: boolean;
  dateLine(): string;
  /** The head of a response without fields of its own, for a connection that goes on. */
  plainHead(status: number, contentType: string, contentLength: number): void;
  latin1(text: string): void;
  utf8(text: string): void;
  /** Bytes that are left alone from now on. */
  bytes(bytes: Uint8Array): void;
  /** A piece is complete: it is to leave with the others of this tick. */
  pieceWritten(): void;
  /** Settles when the client has taken enough for more to be written; rejects when it is gone. */
  waitForDrain(): Promise<void>;
}

/** What only the exchange knows that the response belongs to. */
export interface ResponseOwner {
  /** Whether the connection could go on after this response. Called once, before the head is made. */
  canKeepAlive(): boolean;
  /** The response will come in pieces. */
  beginStream(): void;
  responseCompleted(): void;
  /** The response cannot be completed as its head has promised. */
  abortResponse(): void;
  /** The handler has failed where its caller cannot see it. */
  handlerFailed(error: unknown): void;
  /** The client has asked for this protocol, in a way that lets the server switch to it. */
  hasAskedFor(protocol: string): boolean;
  /** The request has no body, or its handler has read all of it. */
  readonly isRequestRead: boolean;
  /** Another protocol takes over, after a 101 with these field lines. */
  upgrade(fields: string, createHandler: (stream: Stream) => StreamHandler): void;
}

type Framing = 'length' | 'chunked' | 'close' | 'none';

const DEFAULT_STATUS = 200;

/** RFC 9110 section 15.3.6: an answer without content, whose length is given as 0. */
const RESET_CONTENT = 205;

export class ResponseWriter {
  readonly #owner: ResponseOwner;
  readonly #output: ResponseOutput;
  readonly #isToHead: boolean;
  readonly #minorVersion: number;
  #status = DEFAULT_STATUS;
  #isStatusChosen = false;
  /** Lower-case name, then the line with its CRLF. */
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

  /** Its head has been handed over: status and headers cannot change any more. */
  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** A Content-Length was set, which the body has to fill. */
  get hasPromisedLength(): boolean {
    return this.#declaredLength >= 0;
  }

  /** After it, the connection closes. */
  get isClosing(): boolean {
    return this.#isClosing;
  }

  status(code: number): this {
    this.#mustNotHaveBegun('status');
    if (!isFinalStatus(code)) throw new RangeError(`a status is an integer from 200 to 599, not ${String(code)}`);
    this.#status = code;
    this.#isStatusChosen = true;
    return this;
  }

  /** Sets a field. Given twice, the last counts, but for Set-Cookie, of which there may be many. */
  header(name: string, value: string | number): this {
    this.#mustNotHaveBegun('header');
    const text = String(value);
    const lower = checkField(name, text);
    if (lower === 'transfer-encoding') throw new Error('Transfer-Encoding is set by the server: use write() to stream');
    if (lower === 'connection' && tokensOf(text).includes('close')) this.#isClosing = true;
    if (lower === 'connection' || lower === 'keep-alive') return this; // the rest of it is the connection's business
    if (lower === 'content-length') this.#declareLength(text);
    else this.#set(lower, `${name}: ${text}\r\n`);
    return this;
  }

  /** A field behind a chunked body. Browsers ignore them, other programs may not. */
  trailer(name: string, value: string | number): this {
    if (this.#hasEnded) throw new Error('trailer() after the answer has ended');
    const text = String(value);
    const lower = checkField(name, text);
    // RFC 9110 section 6.5.1: what frames or routes a message cannot come behind it.
    if (['transfer-encoding', 'content-length', 'host', 'trailer', 'connection'].includes(lower)) {
      throw new Error(`${name} cannot be a trailer`);
    }
    this.#trailers += `${name}: ${text}\r\n`;
    return this;
  }

  text(body: string): void {
    this.#send(body, 'text/plain; charset=utf-8');
  }

  html(body: string): void {
    this.#send(body, 'text/html; charset=utf-8');
  }

  json(value: unknown): void {
    const body = JSON.stringify(value);
    if (body === undefined) throw new TypeError('json() was given a value that JSON has no form for');
    this.#send(body, 'application/json');
  }

  /** The bytes are given away: a large body is not copied, and nothing tells when it has been sent. `write` does. */
  bytes(body: Uint8Array): void {
    this.#mustNotHaveBegun('bytes');
    const bytes = plainBytes(body, 'bytes()');
    this.#beginWhole(bytes.byteLength, 'application/octet-stream');
    if (this.#mayHaveBody()) this.#output.bytes(bytes);
    this.#complete();
  }

  redirect(location: string, status = 302): void {
    this.header('Location', asciiLocation(location)).status(status);
    this.#beginWhole(0, null);
    this.#complete();
  }

  /** No body: 204 unless another status is set or given. */
  empty(status?: number): void {
    this.#mustNotHaveBegun('empty');
    if (status !== undefined) this.status(status);
    else if (!this.#isStatusChosen) this.#status = 204;
    this.#beginWhole(0, null);
    this.#complete();
  }

  /**
   * Sends a piece. Wait for the promise before sending more, or using its bytes again: it settles when the client keeps up, and what was
   * written is sent or copied.
   */
  write(chunk: string | Uint8Array): Promise<void> {
    this.#mustNotHaveEnded('write');
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : plainBytes(chunk, 'write()');
    if (this.#output.isClosed) return markHandled(this.#output.waitForDrain());
    // Before the first piece it is the answer before that is queued: the client has pipelined.
    if (this.#hasBegun && this.#output.isOverfull) {
      this.#owner.abortResponse();
      return markHandled(Promise.reject(new Error('write() without waiting for the client: too much is queued')));
    }
    this.#checkLength(bytes.byteLength);
    if (!this.#hasBegun) this.#beginStream();
    this.#writeChunk(bytes);
    this.#output.pieceWritten();
    return markHandled(this.#output.waitForDrain());
  }

  /**
   * Ends a streamed answer, after a last piece if one is given; its bytes are given away. Without any `write`, that piece is the whole
   * answer.
   */
  end(chunk?: string | Uint8Array): void {
    this.#mustNotHaveEnded('end');
    const piece = chunk === undefined || typeof chunk === 'string' ? chunk : plainBytes(chunk, 'end()');
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
    if (this.#framing === 'chunked' && this.#mayHaveBody()) this.#output.latin1(`0\r\n${this.#trailers}\r\n`);
    if (this.#framing === 'length' && this.#writtenBytes !== this.#declaredLength && this.#mayHaveBody()) {
      this.#hasEnded = true;
      this.#owner.abortResponse();
      throw new Error(`Content-Length promised ${this.#declaredLength} bytes, ${this.#writtenBytes} were written`);
    }
    this.#complete();
  }

  /**
   * Answers 101 and hands the connection over: `createHandler` gets the bare stream and says who is to hear of it. What the
   * client has sent behind its request comes first. HTTP has read that already, so it comes even if `createHandler` pauses the stream;
   * what is still in the kernel waits there. From now on the stream is the program's: no deadline, no grace when the
   * server closes.
   *
   * Its callbacks run in an async context of their own, which begins with the stores of the request. A handler that the program sets later
   * (`stream.handler`) is on its own: all such handlers of a loop share a context.
   *
   * Returns true when the stream has been handed over. False means that nothing is left to do: the client has gone, or it got
   * 426 because it did not ask for this protocol, or 400 because its request has a body that the handler has not read. Nothing
   * that a client does makes this throw, so a timer may call it.
   */
  upgrade(protocol: string, createHandler: (stream: Stream) => StreamHandler): boolean {
    this.#mustNotHaveBegun('upgrade');
    if (!isProtocol(protocol))
      throw new TypeError(`'${protocol}' is not the name of a protocol, such as websocket or x/1`);
    if (this.#output.isClosed) return false;
    if (!this.#owner.hasAskedFor(protocol)) {
      this.restart(); // what was prepared belongs to the other protocol
      this.status(426).header('Upgrade', protocol).text(`This resource is served over ${protocol}.\n`);
      return false;
    }
    // RFC 9110 section 7.8: the request comes first, and all of it.
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

  /** Answers and reports an error as if the handler had thrown it. For the router, where code of a handler runs in a callback. */
  fail(error: unknown): void {
    this.#owner.handlerFailed(error);
  }

  /** Forgets what was prepared, so that an error can be answered instead. For the connection. */
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

  #send(body: string, contentType: string): void {
    this.#mustNotHaveBegun('an answer');
    // Bytes have a length, too, and where a string would be copied from them the client would get what lay there before.
    if (typeof body !== 'string') throw new TypeError('the body of this answer must be a string');
    const byteLength = Buffer.byteLength(body);
    this.#beginWhole(byteLength, contentType);
    if (this.#mayHaveBody()) {
      if (byteLength === body.length) this.#output.latin1(body);
      else this.#output.utf8(body);
    }
    this.#complete();
  }

  #beginWhole(byteLength: number, contentType: string | null): void {
    this.#settleClosing();
    if (contentType !== null && this.#isPlain()) this.#output.plainHead(this.#status, contentType, byteLength);
    else this.#output.latin1(this.#headOf('length', byteLength, contentType));
    this.#hasBegun = true;
  }

  /** Nothing is special about it: the fast way, for nearly all. */
  #isPlain(): boolean {
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

  #settleClosing(): void {
    if (!this.#isClosing && !this.#owner.canKeepAlive()) this.#isClosing = true;
  }

  /** RFC 9112 section 6.1: HTTP/1.0 knows no chunks; there the end of the connection ends the body. */
  #beginStream(): void {
    if (this.#declaredLength >= 0 || this.#status === RESET_CONTENT) this.#framing = 'length';
    else this.#framing = this.#minorVersion === 0 ? 'close' : 'chunked';
    if (this.#framing === 'close') this.#isClosing = true;
    this.#settleClosing();
    const head = this.#headOf(this.#framing, this.#declaredLength, null);
    this.#owner.beginStream();
    this.#output.latin1(head);
    this.#hasBegun = true;
  }

  #writeChunk(bytes: Uint8Array): void {
    this.#writtenBytes += bytes.byteLength;
    if (!this.#mayHaveBody() || bytes.byteLength === 0) return; // an empty chunk would end the body
    if (this.#framing === 'chunked') this.#output.latin1(`${bytes.byteLength.toString(16)}\r\n`);
    this.#output.bytes(bytes);
    if (this.#framing === 'chunked') this.#output.latin1('\r\n');
  }

  #headOf(framing: Framing, byteLength: number, contentType: string | null): string {
    const status = this.#status;
    if (framing === 'length' && this.#declaredLength >= 0 && byteLength !== this.#declaredLength) {
      if (this.#mayHaveBody()) {
        this.#isClosing = true;
        throw new Error(`Content-Length promised ${this.#declaredLength} bytes, the body has ${byteLength}`);
      }
      byteLength = this.#declaredLength; // an answer to HEAD may say what GET would have
    }
    if (status === RESET_CONTENT) byteLength = 0; // whatever was promised: a client would wait for it
    if (framing === 'length' && this.#trailers !== '') {
      throw new Error('trailers need a streamed answer: use write() and end()');
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
    // RFC 9110 section 8.6: no Content-Length in 204; in 304 it would have to be that of the whole answer.
    if (framing === 'length' && !hasNoBody(status)) head += `Content-Length: ${byteLength}\r\n`;
    if (framing === 'chunked' && !hasNoBody(status)) head += 'Transfer-Encoding: chunked\r\n';
    let connection = '';
    if (this.#isClosing) connection = 'close';
    else if (this.#minorVersion === 0) connection = 'keep-alive';
    // RFC 9110 section 7.8: whoever sends Upgrade names it in Connection, too, so that no proxy passes it on.
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
    this.#isClosing = true; // a handler that is wrong here may be so in ways that are not seen
    throw new Error(`Content-Length promised ${this.#declaredLength} bytes, and more are written`);
  }

  #declareLength(text: string): void {
    if (!/^\d{1,15}$/.test(text)) throw new RangeError(`Content-Length must be a number of bytes, not ${text}`);
    this.#declaredLength = Number(text);
  }

  #set(lower: string, line: string): void {
    this.#headers ??= [];
    const at = lower === 'set-cookie' ? -1 : this.#headers.findIndex(([name]) => name === lower);
    if (at === -1) this.#headers.push([lower, line]);
    else this.#headers[at] = [lower, line];
  }

  #mustNotHaveBegun(what: string): void {
    this.#mustNotHaveEnded(what);
    if (this.#hasBegun) throw new Error(`${what} after the answer has begun`);
  }

  #mustNotHaveEnded(what: string): void {
    if (this.#hasEnded) throw new Error(`${what} after the answer has ended`);
  }
}

function has(headers: readonly [name: string, line: string][], lower: string): boolean {
  return headers.some(([name]) => name === lower);
}

/** Answers the lower-case name of a field that can be sent. */
function checkField(name: string, value: string): string {
  if (!isToken(name)) throw new TypeError(`'${name}' is no header name`);
  if (!isFieldValue(value)) throw new TypeError(`the value of ${name} holds a character that a header cannot hold`);
  return name.toLowerCase();
}

/** What is no ASCII cannot stand in a Location. */
function asciiLocation(location: string): string {
  // Encoding would hide a line end in %0D%0A: it is as much of a mistake here as in any field.
  if (/[\x00-\x1f\x7f]/.test(location)) throw new TypeError('the location of a redirect holds a control character');
  return location.replace(/[^\x21-\x7e]+/g, encodeURIComponent);
}
