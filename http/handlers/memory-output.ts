/**
 * MemoryOutput: the answer of a MemoryExchange, taken apart for a client in memory. Outgoing does this for a connection.
 *
 * Only `head` gets heads, so what the other methods get is body. A body keeps no framing: its pieces go to the client as they are.
 *
 * Next: memory-exchange.ts
 */

import { ClientGoneError } from '../http-error.ts';
import { defaultLimits } from '../limits.ts';
import { markHandled } from '../promises.ts';
import { HeaderList } from '../request/header-list.ts';
import type { HttpRequest } from '../request/http-request.ts';
import type { Meter } from '../request/meter.ts';
import type { ResponseOutput } from '../response/response-writer.ts';
import { isFinalStatus, statusLine } from '../status.ts';

/** Who gets the answer. */
export interface MemoryClient {
  /** An informational response, before the head. */
  informational(status: number, headers: HeaderList): void;
  /** The head of the response. `isStream`: its body comes in pieces. */
  head(status: number, reason: string, headers: HeaderList, isStream: boolean): void;
  /** A piece of the body. Returns false if no more should come before the client calls `resumeWriters`. */
  piece(bytes: Uint8Array): boolean;
  /** Bytes of the body that the client has got and not taken yet. */
  readonly waitingBytes: number;
  /** The response is complete. */
  end(trailers: HeaderList): void;
  /** The response is broken off. */
  broken(error: Error): void;
  /** An error of the handler, which the response does not show. */
  report(error: unknown, request: HttpRequest): void;
}

const STATUS_AT = 'HTTP/1.1 '.length;

interface Writer {
  resolve(): void;
  reject(error: Error): void;
}

export class MemoryOutput implements ResponseOutput {
  /** The response is complete or broken off. What is written from now on is dropped. */
  isClosed = false;
  readonly answerBufferBytes = defaultLimits.answerBufferBytes;
  /** Null until the head of the request has been accepted. */
  meter: Meter | null = null;
  trailers = HeaderList.empty;
  readonly #client: MemoryClient;
  #isStream = false;
  /** The client wants no more for now. */
  #isFull = false;
  #writers: Writer[] = [];

  constructor(client: MemoryClient) {
    this.#client = client;
  }

  /** The body comes in pieces. */
  beginStream(): void {
    this.#isStream = true;
  }

  /** The client wants more. */
  resumeWriters(): void {
    this.#isFull = false;
    const writers = this.#writers;
    this.#writers = [];
    for (const writer of writers) writer.resolve();
  }

  rejectWriters(reason: Error): void {
    const writers = this.#writers;
    this.#writers = [];
    for (const writer of writers) writer.reject(reason);
  }

  get isOverfull(): boolean {
    return this.#client.waitingBytes > this.answerBufferBytes;
  }

  get queuedBytes(): number {
    return this.#client.waitingBytes;
  }

  /** The client has its own clock. */
  dateLine(): string {
    return '';
  }

  cachedHead(status: number, contentType: string, contentLength: number): void {
    this.cachedHeadOf(status, `Content-Type: ${contentType}\r\n`, contentLength);
  }

  cachedHeadOf(status: number, lines: string, contentLength: number): void {
    this.head(`${statusLine(status)}${lines}Content-Length: ${contentLength}\r\n\r\n`);
  }

  head(text: string): void {
    if (this.isClosed) return;
    this.meter?.count(text.length);
    const lineEnd = text.indexOf('\r\n');
    const status = Number(text.slice(STATUS_AT, STATUS_AT + 3));
    const headers = new HeaderList(text, lineEnd + 2);
    if (!isFinalStatus(status)) {
      this.#client.informational(status, headers);
      return;
    }
    this.meter?.begin(status);
    this.#client.head(status, text.slice(STATUS_AT + 4, lineEnd), headers, this.#isStream);
  }

  latin1(text: string): void {
    this.bytes(Buffer.from(text, 'latin1'));
  }

  utf8(text: string): void {
    this.bytes(Buffer.from(text));
  }

  bytes(bytes: Uint8Array): void {
    if (this.isClosed) return;
    this.meter?.count(bytes.byteLength);
    if (!this.#client.piece(bytes)) this.#isFull = true;
  }

  get sendsFiles(): boolean {
    return false;
  }

  /* c8 ignore next -- `sendsFiles` is false. */
  file(): void {}

  chunk(bytes: Uint8Array): void {
    this.bytes(bytes);
  }

  sendNow(bytes: Uint8Array): boolean {
    this.bytes(bytes);
    return true;
  }

  lastChunk(trailerLines: string): void {
    this.trailers = new HeaderList(trailerLines, 0);
  }

  pieceWritten(): void {}

  waitForDrain(): Promise<void> {
    if (this.isClosed) return markHandled(Promise.reject(new ClientGoneError()));
    if (!this.#isFull) return Promise.resolve();
    const promise = new Promise<void>((resolve, reject) => this.#writers.push({ resolve, reject }));
    return markHandled(promise);
  }
}
