/**
 * Outgoing: the bytes that a connection writes, and the handlers that wait until they have left.
 *
 * A response that is given in one call goes to the output buffer of the server, and leaves with the other responses of the turn. A
 * response that comes in pieces gets a buffer of its own until the end of the tick: what a handler writes without waiting leaves
 * in one send.
 *
 * Next: exchange.ts
 */

import type { Stream } from '../../simplenet/index.ts';
import { ClientGoneError } from '../http-error.ts';
import { MAX_BYTES_PER_UNIT, type OutputBuffer } from '../response/output-buffer.ts';
import type { ResponseOutput } from '../response/response-writer.ts';
import type { ConnectionContext } from './connection-context.ts';

/**
 * What fits in one segment on any path (RFC 8200 section 5) arrives whole or not at all. A larger response may be with us in part when
 * the kernel has taken it. A byte that the client sends after close(2) would be answered with RST, which destroys the rest.
 */
const MAX_CERTAIN_BYTES = 1_200;

interface Writer {
  resolve(): void;
  reject(error: Error): void;
}

export class Outgoing implements ResponseOutput {
  /** What is written from now on goes nowhere: the connection is closing, or belongs to another protocol. */
  isClosed = false;
  /** A response may have been larger than one segment. */
  isLong = false;
  readonly #context: ConnectionContext;
  readonly #stream: Stream;
  /** Called when the pieces of a tick have left and more are to come. */
  readonly #onPieces: { piecesSent(): void };
  #pieces: OutputBuffer | null = null;
  #isStreaming = false;
  #isFlushScheduled = false;
  #writers: Writer[] | null = null;

  constructor(context: ConnectionContext, stream: Stream, onPieces: { piecesSent(): void }) {
    this.#context = context;
    this.#stream = stream;
    this.#onPieces = onPieces;
  }

  /** The handler cannot have waited for the client: so much is queued. */
  get isOverfull(): boolean {
    return this.#stream.queuedBytes > this.#context.limits.answerBufferBytes;
  }

  get hasWriters(): boolean {
    return this.#writers !== null;
  }

  dateLine(): string {
    return this.#context.dateLine();
  }

  cachedHead(status: number, contentType: string, contentLength: number): void {
    if (this.isClosed) return;
    const begin = this.#context.headCache.get(status, contentType);
    this.#buffer.headWithLength(this.#stream, begin, contentLength);
  }

  latin1(text: string): void {
    if (this.isClosed) return;
    if (text.length > MAX_CERTAIN_BYTES) this.isLong = true;
    this.#buffer.latin1(this.#stream, text);
  }

  utf8(text: string): void {
    if (this.isClosed) return;
    if (text.length * MAX_BYTES_PER_UNIT > MAX_CERTAIN_BYTES) this.isLong = true;
    this.#buffer.utf8(this.#stream, text);
  }

  bytes(bytes: Uint8Array): void {
    if (this.isClosed) return;
    if (bytes.byteLength > MAX_CERTAIN_BYTES) this.isLong = true;
    this.#buffer.bytes(this.#stream, bytes);
  }

  beginStream(): void {
    this.#isStreaming = true;
    this.isLong = true;
  }

  /** nextTick runs after all microtasks, so it comes behind everything that the handler writes without having to wait. */
  pieceWritten(): void {
    if (this.#isFlushScheduled) return;
    this.#isFlushScheduled = true;
    process.nextTick(() => {
      this.#isFlushScheduled = false;
      this.flushPieces();
      if (this.#isStreaming) this.#onPieces.piecesSent();
    });
  }

  waitForDrain(): Promise<void> {
    if (this.isClosed) return Promise.reject(new ClientGoneError());
    // Gathered bytes may yet be queued. So a handler that has gathered more than may be queued waits, too.
    const gathered = this.#pieces?.byteLength ?? 0;
    if (this.#stream.queuedBytes === 0 && gathered <= this.#context.limits.answerBufferBytes) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#writers ??= [];
      this.#writers.push({ resolve, reject });
    });
  }

  resumeWriters(): void {
    const writers = this.#writers;
    this.#writers = null;
    if (writers !== null) for (const writer of writers) writer.resolve();
  }

  rejectWriters(reason: Error): void {
    const writers = this.#writers;
    this.#writers = null;
    if (writers !== null) for (const writer of writers) writer.reject(reason);
  }

  /** The response is complete. The next one is not streamed unless it says so. */
  endResponse(): void {
    this.flushPieces();
    this.#isStreaming = false;
  }

  /** Passes everything on to the stream. */
  flush(): void {
    this.flushPieces();
    this.#context.output.flush();
  }

  flushPieces(): void {
    const pieces = this.#pieces;
    if (pieces === null) return;
    this.#pieces = null;
    pieces.flush();
    this.#context.returnOutput(pieces);
    if (this.#writers !== null && this.#stream.queuedBytes === 0) this.resumeWriters();
  }

  get #buffer(): OutputBuffer {
    if (!this.#isStreaming) return this.#context.output;
    if (this.#pieces === null) {
      this.#context.output.flush(); // earlier responses first
      this.#pieces = this.#context.borrowOutput();
    }
    return this.#pieces;
  }
}
