/**
 * ResponseOutput and ResponseOwner: what a response asks of its connection and of its exchange.
 *
 * With the two a response can be tested without a connection, and an exchange in memory can take it apart: `head` gets heads, all other
 * methods that write get parts of a body.
 *
 * Next: piece-source.ts
 */

import type { Stream, StreamHandler } from '../../simplenet/index.ts';
import type { WebSocketCounts } from '../web-socket-counts.ts';

/** What a response asks of the output of its connection. */
export interface ResponseOutput {
  /** The client has disconnected or the connection is ending: what is written now is dropped. That is not an error of the program. */
  readonly isClosed: boolean;
  /** More is queued than a handler that waits for the client can have written. */
  readonly isOverfull: boolean;
  /** How much may wait in a transform: as much as may be queued for the client (limits.ts). */
  readonly answerBufferBytes: number;
  /** How much waits because the client has not taken it yet. */
  readonly queuedBytes: number;
  dateLine(): string;
  /** Writes the head of a response without fields of its own, for a connection that stays open. `keepAliveLine` is that of the owner. */
  cachedHead(status: number, contentType: string, contentLength: number, keepAliveLine: string): void;
  /** The same with these field lines in the place of a Content-Type. */
  cachedHeadOf(status: number, lines: string, contentLength: number, keepAliveLine: string): void;
  /** Writes a head that is not in the cache, with its empty line. `latin1`, `utf8`, `bytes` and `chunk` write a body only. */
  head(text: string): void;
  latin1(text: string): void;
  utf8(text: string): void;
  /** Writes bytes that the caller does not change afterwards. */
  bytes(bytes: Uint8Array): void;
  /** Whether `file` can be called. If not, the program reads the file and writes its bytes. */
  readonly sendsFiles: boolean;
  /** Writes a part of an open file. The descriptor stays open until `waitForDrain` has resolved or rejected. */
  file(fd: number, offset: number, length: number): void;
  /** Writes bytes as a chunk (RFC 9112 section 7.1). The caller does not change them afterwards. */
  chunk(bytes: Uint8Array): void;
  /**
   * Sends bytes that many responses share, without gathering them: as they are, or as this chunk, which holds the same bytes. Returns false if bytes wait
   * for the client.
   */
  sendNow(bytes: Uint8Array, chunk: Uint8Array | null): boolean;
  /** Writes the end of a chunked body. `trailerLines` are field lines, each with its CRLF. */
  lastChunk(trailerLines: string): void;
  /** Called after each piece of a stream. The pieces of one tick leave together. */
  pieceWritten(): void;
  /** Resolves when the client has taken what is queued, so that more can be written; rejects when the connection closes. It is marked as handled. */
  waitForDrain(): Promise<void>;
}

/** What a response asks of the exchange that it belongs to. */
export interface ResponseOwner {
  /** Whether the connection can stay open after this response. Called before the head is made, and again for an error response in its place. */
  canKeepAlive(): boolean;
  /** The line `Keep-Alive: ...` if the client asks to keep the connection alive, as old clients do, else ''. */
  readonly keepAliveLine: string;
  /** Sends the head of an informational response now. The deadline of the final one goes on. */
  sendInformational(head: string): void;
  /** The client waits for `100 Continue` before it sends the body. */
  readonly isContinueDue: boolean;
  /** Sends the head of a `100 Continue`, and reads the body from then on. */
  sendContinue(head: string): void;
  /** Called before the first byte of a response that comes in pieces. */
  beginStream(): void;
  /** The client has left, or the server stops: a response without an end must end now. */
  readonly mustEndStreams: boolean;
  /** A field of the request, or null. Only before the response begins. */
  requestField(name: string): string | null;
  /** The response does not need the request any more, and goes on for long. */
  forgetRequest(): void;
  responseCompleted(): void;
  /** Breaks off a response whose body does not fit its head. */
  abortResponse(): void;
  /** Reports an error of the handler, and sends its response if none has begun. */
  handlerFailed(error: unknown): void;
  /** Whether the client has asked for this protocol, in a way that lets the server switch to it. */
  hasAskedFor(protocol: string): boolean;
  /** The request has no body, or its handler has read all of it. */
  readonly isRequestRead: boolean;
  /** To which a WebSocket adds that this response opens. */
  readonly webSocketCounts: WebSocketCounts;
  /** Sends this head, and hands the stream over to another protocol. */
  upgrade(head: string, createHandler: (stream: Stream) => StreamHandler): void;
}
