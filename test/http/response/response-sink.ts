/** A connection and an exchange that keep what a response gives them. */

import { markHandled } from '../../../http/promises.ts';
import { type ResponseOutput, type ResponseOwner, ResponseWriter } from '../../../http/response/response-writer.ts';
import { statusLine } from '../../../http/status.ts';
import { WebSocketCounts } from '../../../http/web-socket-counts.ts';
import type { Stream, StreamHandler } from '../../../simplenet/loop/event-loop.ts';

export const DATE = 'Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n';

/** A connection that keeps what it is given. */
export class Sink implements ResponseOutput, ResponseOwner {
  isClosed = false;
  isOverfull = false;
  answerBufferBytes = 100_000;
  queuedBytes = 0;
  mustEndStreams = false;
  fields: Readonly<Record<string, string>> = {};
  isHeadRequest = false;
  minorVersion = 1;
  mayPersist = true;
  keepAliveLine = '';
  asksFor: string | null = null;
  isRequestRead = true;
  webSocketCounts = new WebSocketCounts();
  timesAsked = 0;
  handovers = 0;
  completions = 0;
  breaks = 0;
  readonly failures: unknown[] = [];
  upgrades: string[] = [];
  readonly heads: string[] = [];
  readonly informational: string[] = [];
  drain: Promise<void> = Promise.resolve();
  readonly #pieces: Buffer[] = [];

  canKeepAlive(): boolean {
    this.timesAsked++;
    return this.mayPersist;
  }

  dateLine(): string {
    return DATE;
  }

  cachedHead(status: number, contentType: string, contentLength: number, keepAliveLine: string): void {
    this.cachedHeadOf(status, `Content-Type: ${contentType}\r\n`, contentLength, keepAliveLine);
  }

  cachedHeadOf(status: number, lines: string, contentLength: number, keepAliveLine: string): void {
    const connection = keepAliveLine === '' ? '' : `Connection: keep-alive\r\n${keepAliveLine}`;
    const fields = `${lines}${connection}Content-Length: ${contentLength}\r\n`;
    this.head(`${statusLine(status)}${DATE}${fields}\r\n`);
  }

  head(text: string): void {
    this.heads.push(text);
    this.latin1(text);
  }

  latin1(text: string): void {
    if (/[^\x00-\xff]/.test(text)) throw new Error(`not latin1: ${text}`);
    this.#pieces.push(Buffer.from(text, 'latin1'));
  }

  utf8(text: string): void {
    this.#pieces.push(Buffer.from(text));
  }

  bytes(bytes: Uint8Array): void {
    this.#pieces.push(Buffer.from(bytes));
  }

  readonly sendsFiles = false;
  file(): void {}

  chunk(bytes: Uint8Array): void {
    this.latin1(`${bytes.byteLength.toString(16)}\r\n`);
    this.bytes(bytes);
    this.latin1('\r\n');
  }

  sendNow(bytes: Uint8Array, chunk: Uint8Array | null): boolean {
    this.bytes(chunk ?? bytes);
    return this.queuedBytes === 0;
  }

  requestField(name: string): string | null {
    return this.fields[name] ?? null;
  }

  forgetRequest(): void {}

  lastChunk(trailerLines: string): void {
    this.latin1(`0\r\n${trailerLines}\r\n`);
  }

  sendInformational(head: string): void {
    this.informational.push(head);
    this.latin1(head);
  }

  beginStream(): void {}

  pieceWritten(): void {
    this.handovers++;
  }

  waitForDrain(): Promise<void> {
    return markHandled(this.drain);
  }

  responseCompleted(): void {
    this.completions++;
  }

  hasAskedFor(protocol: string): boolean {
    return protocol === this.asksFor;
  }

  readonly isContinueDue = false;

  sendContinue(head: string): void {
    this.head(head);
  }

  upgrade(head: string, _createHandler: (stream: Stream) => StreamHandler): void {
    this.upgrades.push(head);
  }

  handlerFailed(error: unknown): void {
    this.failures.push(error);
  }

  abortResponse(): void {
    this.breaks++;
  }

  get sent(): Buffer {
    return Buffer.concat(this.#pieces);
  }

  get text(): string {
    return this.sent.toString('latin1');
  }
}

export interface Request {
  readonly isHeadRequest?: boolean;
  readonly minorVersion?: number;
  readonly mayPersist?: boolean;
  readonly keepAliveLine?: string;
  readonly asksFor?: string;
  readonly isRequestRead?: boolean;
  readonly isClosed?: boolean;
}

export function responseTo(sink: Sink): ResponseWriter {
  return new ResponseWriter(sink, sink, sink.isHeadRequest, sink.minorVersion);
}

export function exchange(request: Request = {}): { sink: Sink; response: ResponseWriter } {
  const sink = Object.assign(new Sink(), request);
  return { sink, response: responseTo(sink) };
}

/** The bytes of an answer, as latin1 text. */
export function answer(give: (response: ResponseWriter) => unknown, request: Request = {}): string {
  const { sink, response } = exchange(request);
  give(response);
  return sink.text;
}

export const TEXT = 'Content-Type: text/plain; charset=utf-8\r\n';
export const BYTES = 'Content-Type: application/octet-stream\r\n';
