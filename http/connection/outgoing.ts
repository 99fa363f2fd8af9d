/**
 * Outgoing: the bytes that a connection writes, and the handlers that wait until the client has taken them.
 *
 * A response that is written in one call goes to the output buffer of the server, and leaves with the other responses of the turn. A
 * response that comes in pieces gets a buffer of its own until the end of the tick: pieces that a handler writes without waiting leave
 * in one send.
 *
 * Next: error-line.ts
 */

import type { Stream } from '../../simplenet/index.ts';
import { ClientGoneError } from '../http-error.ts';
import { markHandled } from '../promises.ts';
import { type Measured, Meter } from '../request/meter.ts';
import type { HeadCache } from '../response/head-cache.ts';
import { utf8Length } from '../response/latin1.ts';
import { MAX_BYTES_PER_UNIT, type OutputBuffer } from '../response/output-buffer.ts';
import type { ResponseOutput } from '../response/response-writer.ts';
import { AnswerLog } from './answer-log.ts';
import type { ConnectionContext } from './connection-context.ts';

/**
 * This much fits in one segment on any path (RFC 8200 section 5), so it arrives whole or not at all. The kernel may still have to send a
 * part of a larger response after close(2). If the client then sends a byte, the kernel replies with RST, which destroys that part.
 */
const MAX_SEGMENT_BYTES = 1_200;

/** What a write returns if its handler need not wait. It is shared: a promise for each piece would cost as much as copying the piece. */
const drained = Promise.resolve();

/** CRLF and the empty line. */
const END_OF_HEAD_BYTES = 4;

/** Behind the size of a chunk and behind its bytes. */
const CHUNK_CRLF_BYTES = 4;

/** Where the status stands in a status line: `HTTP/1.1 200 OK`. */
const STATUS_AT = 'HTTP/1.1 '.length;

function statusOf(head: string): number {
  return Number(head.slice(STATUS_AT, STATUS_AT + 3));
}

const NOT_SILENT = -1;

interface Writer {
  resolve(): void;
  reject(error: Error): void;
}

export class Outgoing implements ResponseOutput {
  /** What is written from now on is dropped: the connection is closing, or its stream has been handed over. */
  isClosed = false;
  /** A response may have been longer than one segment. */
  isLong = false;
  /** What is written is counted for its outcome; null if no answer of this connection was measured. */
  log: AnswerLog | null = null;
  /**
   * How long this response may send nothing until a heartbeat is due, once that is what the connection waits for. Then an event sets the deadline itself: in
   * a broadcast, asking the connection and its exchange costs as much as all else that is ours. NOT_SILENT while the connection waits for something else.
   */
  silenceMs = NOT_SILENT;
  readonly #context: ConnectionContext;
  readonly #stream: Stream;
  /** Called when the pieces of a tick have been sent and the response is not complete. */
  readonly #connection: { piecesSent(): void };
  #pieces: OutputBuffer | null = null;
  #isStreaming = false;
  #isFlushScheduled = false;
  #writers: Writer[] | null = null;

  constructor(context: ConnectionContext, stream: Stream, connection: { piecesSent(): void }) {
    this.#context = context;
    this.#stream = stream;
    this.#connection = connection;
  }

  /** More is queued than a handler that waits for the client can have written. */
  get isOverfull(): boolean {
    return this.#stream.queuedBytes > this.#context.limits.answerBufferBytes;
  }

  get answerBufferBytes(): number {
    return this.#context.limits.answerBufferBytes;
  }

  get queuedBytes(): number {
    return this.#stream.queuedBytes;
  }

  get hasWriters(): boolean {
    return this.#writers !== null;
  }

  dateLine(): string {
    return this.#context.dateLine();
  }

  cachedHead(status: number, contentType: string, contentLength: number, keepAliveLine: string): void {
    this.#cachedHead(this.#context.headCache, status, contentType, contentLength, keepAliveLine);
  }

  cachedHeadOf(status: number, lines: string, contentLength: number, keepAliveLine: string): void {
    this.#cachedHead(this.#context.lineCache, status, lines, contentLength, keepAliveLine);
  }

  #cachedHead(cache: HeadCache, status: number, key: string, contentLength: number, keepAliveLine: string): void {
    if (this.isClosed) return;
    const begin = cache.get(status, key, keepAliveLine);
    this.#buffer.headWithLength(this.#stream, begin, contentLength);
    if (this.log === null) return;
    this.log.begin(status);
    this.log.count(begin.byteLength + String(contentLength).length + END_OF_HEAD_BYTES);
  }

  head(text: string): void {
    this.latin1(text);
    if (this.log !== null && !this.isClosed) this.log.begin(statusOf(text));
  }

  latin1(text: string): void {
    if (this.isClosed) return;
    if (text.length > MAX_SEGMENT_BYTES) this.isLong = true;
    this.#buffer.latin1(this.#stream, text);
    this.log?.count(text.length);
  }

  utf8(text: string): void {
    if (this.isClosed) return;
    if (text.length * MAX_BYTES_PER_UNIT > MAX_SEGMENT_BYTES) this.isLong = true;
    this.#buffer.utf8(this.#stream, text);
    if (this.log !== null) this.log.count(utf8Length(text));
  }

  bytes(bytes: Uint8Array): void {
    if (this.isClosed) return;
    if (bytes.byteLength > MAX_SEGMENT_BYTES) this.isLong = true;
    this.#buffer.bytes(this.#stream, bytes);
    this.log?.count(bytes.byteLength);
  }

  get sendsFiles(): boolean {
    return true;
  }

  file(fd: number, offset: number, length: number): void {
    this.isLong = true;
    this.#buffer.file(this.#stream, fd, offset, length);
    this.log?.count(length);
  }

  chunk(bytes: Uint8Array): void {
    this.isLong = true;
    this.#buffer.chunk(this.#stream, bytes);
    if (this.log !== null) this.log.count(bytes.byteLength + bytes.byteLength.toString(16).length + CHUNK_CRLF_BYTES);
  }

  lastChunk(trailerLines: string): void {
    this.latin1(`0\r\n${trailerLines}\r\n`);
  }

  /** What is gathered leaves before it. The bytes are owned by all responses that share them, and nobody changes them. */
  sendNow(bytes: Uint8Array, chunk: Uint8Array | null): boolean {
    /* c8 ignore next -- a stream of events learns of a cut when the connection closes, in the same turn. */
    if (this.isClosed) return false;
    const framed = chunk ?? bytes;
    this.flushPieces();
    const isTaken = this.#stream.writeOwned(framed);
    this.log?.count(framed.byteLength);
    if (this.silenceMs === NOT_SILENT) this.#connection.piecesSent();
    else if (this.silenceMs !== Number.POSITIVE_INFINITY) this.#stream.setDeadline(this.silenceMs);
    return isTaken;
  }

  beginStream(): void {
    this.silenceMs = NOT_SILENT;
    this.#isStreaming = true;
    this.isLong = true;
  }

  /**
   * Sends gathered pieces in a nextTick that a microtask schedules. So it runs after all microtasks, and the pieces of a handler that awaits each
   * write leave in one send. A nextTick that is scheduled here would often run before the microtasks: after the first piece.
   */
  pieceWritten(): void {
    if (this.#isFlushScheduled) return;
    this.#isFlushScheduled = true;
    drained.then(() => process.nextTick(() => this.#flushScheduled()));
  }

  #flushScheduled(): void {
    this.#isFlushScheduled = false;
    this.flushPieces();
    if (this.#isStreaming) this.#connection.piecesSent();
  }

  waitForDrain(): Promise<void> {
    if (this.isClosed) return markHandled(Promise.reject(new ClientGoneError()));
    // Gathered bytes may be queued later. So a handler also waits if more is gathered than may be queued.
    const gathered = this.#pieces?.byteLength ?? 0;
    if (this.#stream.queuedBytes === 0 && gathered <= this.#context.limits.answerBufferBytes) return drained;
    const promise = new Promise<void>((resolve, reject) => {
      this.#writers ??= [];
      this.#writers.push({ resolve, reject });
    });
    return markHandled(promise);
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

  /** The response is complete. The next one does not come in pieces unless it calls `beginStream`. */
  endResponse(): void {
    this.flushPieces();
    this.#isStreaming = false;
  }

  /** Counts what is written from now on, up to the end of this answer. Null is an answer without a request: its head was refused. */
  measure(exchange: Measured | null): Meter {
    const meter = new Meter(exchange, this.#context);
    this.log ??= new AnswerLog((answer) => this.#context.answerDone(answer));
    this.log.measure(meter);
    return meter;
  }

  /** If nothing is queued, the kernel has taken all that was written. */
  reportTaken(): void {
    if (this.log !== null && this.#stream.queuedBytes === 0) this.log.taken();
  }

  /** Passes all gathered bytes on to the stream. */
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
