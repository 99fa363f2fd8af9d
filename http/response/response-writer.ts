/**
 * ResponseWriter: turns the response of a handler into bytes that no reader can misunderstand.
 *
 * `status` and `header` prepare the head. Then either one call sends all (`text`, `json`, `html`, `bytes`, `body`, `redirect`, `empty`), or
 * `write` sends pieces and `end` completes the response. `upgrade` ends HTTP on the connection.
 *
 * A response is three classes, one on top of the other: PreparedHead has status and fields, FramedResponse sends, and this one has the calls of a
 * handler.
 *
 * Next: refusal.ts
 */

import type { Stream, StreamHandler } from '../../simplenet/index.ts';
import { isProtocol } from '../grammar.ts';
import { markHandled } from '../promises.ts';
import { hasNoBody, statusLine } from '../status.ts';
import type { WebSocketCounts } from '../web-socket-counts.ts';
import { checkedBytes } from './checked-bytes.ts';
import type { EventOptions, EventWriter } from './event-writer.ts';
import { FramedResponse } from './framed-response.ts';
import { type BodyPieces, PieceSource } from './piece-source.ts';
import type { FieldValue } from './response-fields.ts';
import { asciiLocation, informationalHead, interimHead } from './response-head.ts';

export type { ResponseOutput, ResponseOwner } from './response-output.ts';

const EMPTY = new Uint8Array(0);
const CONTINUE = 100;
const SWITCHING_PROTOCOLS = 101;
const OK = 200;

/** Bytes of a file. */
export interface FilePart {
  readonly start: number;
  readonly length: number;
}

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
export class ResponseWriter extends FramedResponse {
  /**
   * Sends an informational response before the final one, such as 103 with Link fields. Returns false if it was not sent, because the
   * client speaks HTTP/1.0, which has none, or has gone, or has not taken what is queued for it.
   */
  informational(status: number, headers: Readonly<Record<string, FieldValue>> = {}): boolean {
    this.mustNotHaveBegun('informational');
    const head = informationalHead(status, headers);
    if (this.minorVersion === 0 || this.output.isClosed || this.output.isOverfull) return false;
    this.owner.sendInformational(head);
    return true;
  }

  /** Sends the whole response, as plain text. */
  text(body: string): void {
    this.sendText('text', body, 'text/plain; charset=utf-8');
  }

  /** Sends the whole response, as HTML. */
  html(body: string): void {
    this.sendText('html', body, 'text/html; charset=utf-8');
  }

  /** Sends the whole response: the value as JSON. */
  json(value: unknown): void {
    const body = JSON.stringify(value);
    if (body === undefined) throw new TypeError(`json() takes a value that JSON can represent, not ${typeof value}`);
    this.sendText('json', body, 'application/json');
  }

  /** Sends the bytes. The program must not change them afterwards: a large body is not copied, and no promise says when it is sent. */
  bytes(body: Uint8Array): void {
    this.sendBytes('bytes', body, 'application/octet-stream');
  }

  /**
   * Sends a body to which no Content-Type is added, except that of a Blob. A string or bytes are sent at once, as `text` and `bytes` do it.
   *
   * Of a stream, an AsyncIterable or a Blob each piece is written when the client has taken the one before, and the response ends with the
   * source. The promise resolves then. If the source fails, a client that has got the head is cut off, and another gets 500; the error is
   * reported, and the promise rejects. If the client leaves, the source is cancelled. `write('')` sends the head before the first piece.
   */
  body(body: string | Uint8Array): void;
  /** Sends pieces, and resolves at their end. */
  body(body: BodyPieces): Promise<void>;
  /** Sends either, for a caller that does not know which it has. */
  body(body: string | Uint8Array | BodyPieces): Promise<void> | void;
  body(body: string | Uint8Array | BodyPieces): Promise<void> | void {
    if (typeof body === 'string') return this.sendText('body', body, null);
    this.mustBeOpen('body');
    const source = PieceSource.of(body);
    return source === null ? this.sendBytes('body', body as Uint8Array, null) : markHandled(this.sendSource(source));
  }

  /**
   * Sends a whole body, with this Content-Type in the place of an earlier one; null adds none. For http/handlers/.
   * @internal
   */
  whole(body: string | Uint8Array, contentType: string | null): void {
    if (contentType !== null && this.fields !== null) this.header('Content-Type', contentType);
    if (typeof body === 'string') this.sendText('whole', body, contentType);
    else this.sendBytes('whole', body, contentType);
  }

  /** Sends the client to another place: a path, or a URL as text or object. */
  redirect(location: string | URL, status = 302): void {
    this.header('Location', asciiLocation(location instanceof URL ? location.href : location)).status(status);
    this.sendBytes('redirect', EMPTY, null);
  }

  /** Sends a response without a body: 204 unless another status is set or given. */
  empty(status?: number): void {
    this.mustNotHaveBegun('empty');
    if (status !== undefined) this.status(status);
    else if (!this.isStatusChosen) this.code = 204;
    this.sendBytes('empty', EMPTY, null);
  }

  /**
   * Sends a piece. Await the promise before you write more or change the bytes: it resolves when the client has taken what was queued,
   * and what was written has been sent or copied. It rejects if the client has disconnected.
   */
  write(chunk: string | Uint8Array): Promise<void> {
    this.mustBeOpen('write');
    return this.writePiece(typeof chunk === 'string' ? Buffer.from(chunk) : checkedBytes(chunk, 'write()'));
  }

  /**
   * Completes a response that comes in pieces, after a last piece if one is given. The program must not change its bytes afterwards.
   * Without any `write`, that piece is the whole body.
   */
  end(chunk?: string | Uint8Array): void {
    this.mustBeOpen('end');
    const piece = chunk === undefined || typeof chunk === 'string' ? chunk : checkedBytes(chunk, 'end()');
    if (this.output.isClosed) {
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
    this.endPieces();
  }

  /**
   * Begins a stream of events (text/event-stream), for `new EventSource()` of a browser. It is not cached unless `Cache-Control` is set. The stream ends with
   * the client, with `close()` of what this returns, and when the server stops; a handler need not wait for any of that.
   *
   *     router.get('/time', (_request, response) => clock.add(response.events()));
   */
  events(options: EventOptions = {}): EventWriter {
    return this.beginEvents(options);
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
    if (this.output.isClosed) return false;
    if (!this.owner.hasAskedFor(protocol)) {
      this.restart(); // the prepared status was for the 101
      this.status(426).header('Upgrade', protocol).text(`This resource is served over ${protocol}.\n`);
      return false;
    }
    // RFC 9110 section 7.8: the whole request must be read before the protocol changes.
    if (!this.owner.isRequestRead) {
      this.restart();
      this.status(400).text(`A request for ${protocol} must not have a body here.\n`);
      return false;
    }
    this.handOver(`${statusLine(SWITCHING_PROTOCOLS)}Connection: Upgrade\r\nUpgrade: ${protocol}\r\n`, createHandler);
    return true;
  }

  // For the connection and the router.

  /**
   * Handles an error as if the handler had thrown it. For the router, which calls code of the program in a callback.
   * @internal
   */
  fail(error: unknown): void {
    this.owner.handlerFailed(error);
  }

  // For http/handlers/: files.

  /**
   * Sends a body that consists of bytes and of parts of one open file, with the Content-Length that is set. Resolves when the client has taken it, and rejects if the client
   * has gone: the descriptor must be open until then. Returns null if only bytes can be sent here: for a transform, and for a client in memory.
   * @internal
   */
  fileBody(fd: number, parts: readonly (Uint8Array | FilePart)[]): Promise<void> | null {
    this.mustNotHaveBegun('fileBody');
    return this.beginFiles() ? markHandled(this.#sendParts(fd, parts)) : null;
  }

  async #sendParts(fd: number, parts: readonly (Uint8Array | FilePart)[]): Promise<void> {
    for (const part of parts) {
      if (part instanceof Uint8Array) await this.writePiece(part);
      else await this.writeFilePart(fd, part.start, part.length);
    }
    this.endPieces();
  }

  // For http/handlers/: what the Fetch Server API asks for.

  /** @internal Whether the client has asked for this protocol, in a way that lets the server switch to it. */
  hasAskedFor(protocol: string): boolean {
    return this.owner.hasAskedFor(protocol);
  }

  /** @internal The client can still get something: it is connected, and the connection does not end. */
  get isOpen(): boolean {
    return !this.output.isClosed;
  }

  /** @internal The request has no body, or its handler has read all of it. */
  get isRequestRead(): boolean {
    return this.owner.isRequestRead;
  }

  /** @internal For websocket/. */
  get webSocketCounts(): WebSocketCounts {
    return this.owner.webSocketCounts;
  }

  /** @internal The client waits for `100 Continue` before it sends the body. */
  get isContinueDue(): boolean {
    return this.owner.isContinueDue;
  }

  /** @internal Sends a `100 Continue` with these fields. */
  sendContinue(headers: Readonly<Record<string, FieldValue>>): void {
    this.mustNotHaveBegun('sendContinue');
    const head = interimHead(CONTINUE, headers);
    if (!this.output.isClosed) this.owner.sendContinue(head);
  }

  /** @internal Answers a CONNECT with 200, and hands the stream over as `upgrade` does. The caller has read the request. */
  tunnel(createHandler: (stream: Stream) => StreamHandler): void {
    this.mustNotHaveBegun('tunnel');
    // RFC 9110 section 9.3.6: no Content-Length and no Transfer-Encoding.
    if (!this.output.isClosed) this.handOver(`${statusLine(OK)}${this.output.dateLine()}`, createHandler);
  }

  /** @internal Ends the connection without a response. */
  breakOff(): void {
    this.begun = true;
    this.ended = true;
    this.owner.abortResponse();
  }
}
