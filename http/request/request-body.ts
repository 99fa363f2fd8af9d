/**
 * RequestBody: the body of a request, for the handler. It can be read once, in pieces or whole, and is received as fast as it is read.
 *
 * The connection pushes bytes when they arrive, and the handler reads them at its own pace. Between them is a short queue. When the
 * queue is full the connection stops reading and TCP stops the client, so an unread upload takes little memory. A client that sent
 * Expect: 100-continue gets `100 Continue` when the handler first reads.
 *
 * Every promise that a handler gets from here is marked as handled (promises.ts). The private methods return promises that are not
 * marked yet.
 *
 * Next: decoded-body.ts
 */

import type { MediaType } from '../content/content-types.ts';
import { formDataOf } from '../content/form-data.ts';
import { parseForm } from '../content/form-fields.ts';
import { describeJsonFault } from '../content/json-fault.ts';
import { nestsDeeperThan } from '../content/json-nesting.ts';
import { boundaryOf, MultipartParser } from '../content/multipart.ts';
import { decodeUtf8 } from '../content/utf8.ts';
import { HttpError } from '../http-error.ts';
import { defaultLimits, type Limits, type MultipartLimits, multipartLimitsFrom } from '../limits.ts';
import { markHandled, markNextHandled } from '../promises.ts';
import type { BodyDecoder } from './body-decoder.ts';
import { type BodyAccount, BodyMemory } from './body-memory.ts';
import type { FormPart } from './form-part.ts';
import type { HeaderList } from './header-list.ts';
import { MultipartReader } from './multipart-reader.ts';
import { PendingInput } from './pending-input.ts';

/** What a body asks of the exchange that it belongs to. */
export interface BodySource {
  readonly limits: Limits;
  readonly bodyMemory: BodyMemory;
  /** Called when the handler waits for bytes, or has made room for more. */
  resumeReading(): void;
  /** Called when the queue is full, or the body waits for memory. */
  pauseReading(): void;
  /** Refuses the rest of the body: the client gets this error, and the connection ends. */
  refuseBody(error: HttpError): void;
}

interface Reader {
  /** Whether `take` keeps no reference to the chunk. The chunk may then lie in the receive buffer, which is used again after `push`. */
  readonly usesAtOnce: boolean;
  take(chunk: Buffer | null): void;
  reject(error: Error): void;
}

/** A request without a body needs no source: its body is complete from the start. */
/* c8 ignore start -- never called. */
const UNUSED_SOURCE: BodySource = {
  limits: defaultLimits,
  bodyMemory: new BodyMemory(0, 0, () => ({ cancel: () => {} })),
  resumeReading: () => {},
  pauseReading: () => {},
  refuseBody: () => {},
};
/* c8 ignore stop */

/**
 * The body of a request: once, in pieces or whole. A handler that reads slowly slows its client down.
 *
 * ```ts
 * import { Router } from 'simplenet/http';
 *
 * new Router().put('/count', async (request, response) => {
 *   let bytes = 0;
 *   for await (const chunk of request.body) bytes += chunk.length;
 *   response.json({ bytes });
 * });
 * ```
 */
export class RequestBody implements AsyncIterable<Buffer> {
  /**
   * The one object for all requests without a body.
   * @internal
   */
  static readonly none = new RequestBody(null, UNUSED_SOURCE);

  readonly #decoder: BodyDecoder | null;
  readonly #source: BodySource;
  /** Bytes that have arrived and are not read yet. One piece of memory, because a client may send a million bytes as a million chunks. */
  #waiting: PendingInput | null = null;
  #receivedBytes = 0;
  #reader: Reader | null = null;
  /** A whole body in the receive buffer, only until `push` returns. */
  #lent: Buffer | null = null;
  #error: Error | null = null;
  #isTaken = false;
  /** The handler reads the body whole. */
  #isGathering = false;
  /** The largest body that the reading method accepts, and the message for a larger one. */
  #maxBytes = Number.POSITIVE_INFINITY;
  #tooLarge = '';
  /** Only while the body, or a part of it, is read whole: see body-memory.ts. */
  #account: BodyAccount | null = null;
  #hasResponseBegun = false;
  #isDiscarded = false;
  #isReleased = false;

  /**
   * `decoder` is null for a request without a body.
   * @internal
   */
  constructor(decoder: BodyDecoder | null, source: BodySource) {
    this.#decoder = decoder;
    this.#source = source;
  }

  /**
   * For DecodedBody, which stands before it.
   * @internal
   */
  get source(): BodySource {
    return this.#source;
  }

  /** The whole body has arrived. The handler may not have read it yet. */
  get isComplete(): boolean {
    return this.#decoder === null || this.#decoder.isDone;
  }

  /** The whole body has arrived, and no byte of it waits for the handler. */
  get isRead(): boolean {
    return this.isComplete && this.#waitingBytes === 0;
  }

  /** The handler has begun to read the body. */
  get isTaken(): boolean {
    return this.#isTaken;
  }

  /** Bytes of content that have arrived so far. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** The fields behind a chunked body, when all of it has been read; else null. */
  get trailers(): HeaderList | null {
    return this.#decoder?.trailers ?? null;
  }

  // For the connection.

  /**
   * Takes the body bytes of bytes[start..end), and returns the offset after them. Throws HttpError for a malformed body.
   * @internal
   */
  push(bytes: Buffer, start: number, end: number): number {
    const decoder = this.#decoder;
    if (decoder === null) return start;
    const at = decoder.decode(bytes, start, end, (from, to) => this.#take(bytes, from, to, decoder.left));
    this.#settleRead();
    if (decoder.isDone) this.#completed();
    else if (this.#mustPause()) this.#source.pauseReading();
    return at;
  }

  /**
   * The limits have been replaced by those of a route.
   * @internal
   */
  useLimits(limits: Limits): void {
    this.#decoder?.useLimits(limits);
  }

  /**
   * No more bytes will come: the client has disconnected, or the body is malformed.
   * @internal
   */
  fail(error: Error): void {
    if (this.isComplete || this.#error !== null) return;
    this.#error = error;
    this.#settleRead();
  }

  /**
   * The response is complete: bytes that still come are dropped.
   * @internal
   */
  discard(): void {
    this.#isDiscarded = true;
    this.#waiting = null;
    this.fail(new Error('the response was complete before the body had been read'));
  }

  /**
   * A response in pieces has begun. From now on the client can extend the exchange: see body-memory.ts.
   * @internal
   */
  responseBegun(): void {
    this.#hasResponseBegun = true;
    if (this.isComplete) this.#closeAccount();
  }

  /**
   * The exchange is over: the body does not count in BodyMemory any more.
   * @internal
   */
  release(): void {
    this.#isReleased = true;
    this.#closeAccount();
  }

  // For the handler.

  /** Returns the next piece, or null at the end. */
  read(): Promise<Buffer | null> {
    return markHandled(this.#read());
  }

  /** The pieces as they come, at the pace of the reader. */
  [Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    return markNextHandled(this.#chunks());
  }

  /** The whole body. */
  bytes(): Promise<Buffer> {
    return markHandled(this.#gather(Number.POSITIVE_INFINITY, 'a body'));
  }

  /** Decodes the body as UTF-8. Invalid UTF-8 is 400: replacement characters would change the text of the client. */
  text(): Promise<string> {
    return markHandled(this.#text(Number.POSITIVE_INFINITY, 'a body'));
  }

  /** Parses a body of at most `jsonBytes`, nested at most `jsonDepth` levels. */
  json(): Promise<unknown> {
    return markHandled(this.#json());
  }

  /** Parses application/x-www-form-urlencoded, as HTML forms send it: at most `formBytes` and `formFields`. */
  form(): Promise<URLSearchParams> {
    return markHandled(this.#form());
  }

  /**
   * The rest of the body is not wanted. What waits is dropped, the client is stopped, and reads reject with the reason. After the response
   * up to `discardBytes` of the rest are read and dropped; if there is more, the connection closes.
   */
  cancel(reason: Error = new Error('the body has been cancelled')): void {
    if (this.#decoder === null) return;
    this.#isTaken = true;
    this.#isDiscarded = true;
    this.#waiting = null;
    this.#error ??= reason;
    this.release();
    this.#settleRead();
    if (!this.isComplete) this.#source.pauseReading();
  }

  // For the request, which knows the type of the body.

  /** @internal */
  formData(type: MediaType | null): Promise<FormData> {
    return markHandled(this.#formData(type));
  }

  /** @internal */
  multipart(type: MediaType | null, limits: Partial<MultipartLimits>): AsyncGenerator<FormPart, void, undefined> {
    if (type?.essence !== MULTIPART) throw new HttpError(415, `multipart() reads ${MULTIPART} alone`);
    const parser = new MultipartParser(boundaryOf(type), multipartLimitsFrom(this.#source.limits, limits));
    return markNextHandled(this.#parts(new MultipartReader(this, parser)));
  }

  /**
   * A reader in pieces keeps so many bytes more. They count in BodyMemory as those of a body that is read whole.
   * @internal
   */
  keep(byteLength: number): void {
    this.#account ??= this.#createAccount();
    if (this.#account !== null) this.#source.bodyMemory.resize(this.#account, this.#account.bytes + byteLength);
  }

  /**
   * Whether reads of the body reject with this error.
   * @internal
   */
  hasFailedWith(error: unknown): boolean {
    return error === this.#error;
  }

  #read(): Promise<Buffer | null> {
    return this.#readWith((chunk) => chunk, false);
  }

  /** Resolves with what `use` makes of the next piece, or of null at the end. */
  async #readWith<T>(use: (chunk: Buffer | null) => T, usesAtOnce: boolean): Promise<T> {
    const wasFull = this.#waitingBytes >= this.#source.limits.bodyBufferBytes;
    const chunk = this.#takeReady();
    if (chunk !== null) {
      if (wasFull && !this.isComplete && !this.#mustPause()) this.#source.resumeReading();
      return use(chunk);
    }
    if (this.#error !== null) throw this.#error;
    if (this.isComplete) return use(null);
    if (this.#reader !== null) throw new Error('the body is being read already: await the earlier read() first');
    return new Promise((resolve, reject) => {
      const take = (chunk: Buffer | null) => {
        try {
          resolve(use(chunk));
        } catch (error) {
          reject(error); // the text is not UTF-8
        }
      };
      this.#reader = { usesAtOnce, take, reject };
      if (this.#mustPause()) this.#source.pauseReading();
      else this.#source.resumeReading();
    });
  }

  async *#chunks(): AsyncGenerator<Buffer, void, undefined> {
    this.#takeOnce();
    for (let chunk = await this.#read(); chunk !== null; chunk = await this.#read()) yield chunk;
  }

  async #gather(maxBytes: number, what: string): Promise<Buffer> {
    this.#beginGathering(maxBytes, what);
    return (await this.#read()) ?? Buffer.alloc(0);
  }

  /** From now on the body is read whole. Above `maxBytes` it is 413; a larger declared length is refused before the body is read. */
  #beginGathering(maxBytes: number, what: string): void {
    this.#takeOnce();
    const decoder = this.#decoder;
    if (decoder !== null) {
      this.#isGathering = true;
      this.#maxBytes = maxBytes;
      this.#tooLarge = `${what} of more than ${maxBytes} bytes`;
      if (this.#receivedBytes + decoder.left > maxBytes) this.#refuseRest();
      else this.#openAccount(decoder.left);
    }
  }

  /** A text that comes in one piece is decoded where it was received, and takes no memory of its own. */
  async #text(maxBytes: number, what: string): Promise<string> {
    this.#beginGathering(maxBytes, what);
    return this.#readWith((bytes) => (bytes === null ? '' : decodeUtf8(bytes, 'the body')), true);
  }

  async #json(): Promise<unknown> {
    const { jsonBytes, jsonDepth } = this.#source.limits;
    const text = await this.#text(jsonBytes, 'JSON');
    if (nestsDeeperThan(text, jsonDepth))
      throw new HttpError(400, `JSON that nests more than ${jsonDepth} levels deep`);
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new HttpError(400, `the body is not valid JSON: ${describeJsonFault(text)}`, { cause });
    }
  }

  async #form(): Promise<URLSearchParams> {
    const { formBytes, formFields } = this.#source.limits;
    return parseForm(await this.#text(formBytes, 'a form'), formFields);
  }

  async #formData(type: MediaType | null): Promise<FormData> {
    const { limits } = this.#source;
    if (type?.essence === MULTIPART) {
      const boundary = boundaryOf(type);
      return formDataOf(await this.#gather(limits.formDataBytes, 'a multipart form'), boundary, limits);
    }
    if (type?.essence !== URLENCODED) throw new HttpError(415, `formData() reads ${MULTIPART} and ${URLENCODED}`);
    const form = new FormData();
    for (const [name, value] of await this.#form()) form.append(name, value);
    return form;
  }

  async *#parts(reader: MultipartReader): AsyncGenerator<FormPart, void, undefined> {
    this.#takeOnce();
    yield* reader.parts();
  }

  #takeOnce(): void {
    if (this.#decoder === null) return;
    if (this.#isTaken) throw new Error('the body has been read already; it can be read once');
    this.#isTaken = true;
  }

  get #waitingBytes(): number {
    return this.#waiting === null ? 0 : this.#waiting.byteLength;
  }

  /** Takes bytes[from..to). Their buffer is used again when `push` returns, so most are copied. `left` bytes are still to come. */
  #take(bytes: Buffer, from: number, to: number, left: number): void {
    this.#receivedBytes += to - from;
    if (this.#isDiscarded) return;
    if (this.#receivedBytes > this.#maxBytes) {
      this.#refuseRest();
      return;
    }
    const heldBytes = this.#hold(bytes, from, to, left);
    if (this.#isGathering && this.#account !== null) this.#source.bodyMemory.resize(this.#account, heldBytes);
  }

  /** Returns how much memory the body takes now. */
  #hold(bytes: Buffer, from: number, to: number, left: number): number {
    if (this.#waiting === null && this.#reader?.usesAtOnce === true && this.isComplete) {
      this.#lent = bytes.subarray(from, to);
      return to - from; // its text will take that
    }
    if (this.#waiting !== null) this.#waiting.append(bytes, from, to);
    else this.#waiting = this.#startWaiting(bytes.subarray(from, to), left);
    return this.#waiting.capacity;
  }

  #startWaiting(first: Buffer, left: number): PendingInput {
    if (!this.#isGathering) return new PendingInput(first, this.#source.limits.bodyBufferBytes);
    return new PendingInput(first, Number.POSITIVE_INFINITY, first.length + left);
  }

  #refuseRest(): void {
    this.#isDiscarded = true;
    this.#waiting = null;
    this.#error ??= new HttpError(413, this.#tooLarge);
    this.release();
  }

  #openAccount(left: number): void {
    const waiting = this.#waiting;
    waiting?.expectAll(waiting.byteLength + left);
    this.#account = this.#createAccount();
    if (this.#account !== null) this.#source.bodyMemory.resize(this.#account, waiting?.capacity ?? 0);
  }

  /** Returns null if the body does not count any more. */
  #createAccount(): BodyAccount | null {
    if (this.#isReleased || (this.#hasResponseBegun && this.isComplete)) return null;
    return {
      bytes: 0,
      alarm: null,
      onRoom: () => this.#source.resumeReading(),
      onLate: () => this.#source.refuseBody(new HttpError(503, 'the memory for request bodies is used up')),
    };
  }

  /** Whether the connection must not be read: the queue is full, or the body waits for memory. */
  #mustPause(): boolean {
    if (!this.#isGathering && this.#waitingBytes >= this.#source.limits.bodyBufferBytes) return true;
    return this.#account !== null && this.#source.bodyMemory.mustWait(this.#account);
  }

  #completed(): void {
    if (this.#hasResponseBegun) this.#closeAccount();
    else if (this.#account !== null) this.#source.bodyMemory.complete(this.#account);
  }

  #closeAccount(): void {
    if (this.#account !== null) this.#source.bodyMemory.close(this.#account);
    this.#account = null;
  }

  /** Returns the bytes that can be read now, or null. */
  #takeReady(): Buffer | null {
    const waiting = this.#waiting;
    if (this.#isGathering && !this.isComplete) return null;
    this.#waiting = null;
    return waiting === null ? null : waiting.all();
  }

  /** Settles the pending read, if there are bytes for it, an error or the end. */
  #settleRead(): void {
    const reader = this.#reader;
    if (reader === null) return;
    const chunk = this.#lent ?? this.#takeReady();
    this.#lent = null;
    if (chunk === null && this.#error === null && !this.isComplete) return;
    this.#reader = null;
    if (chunk === null && this.#error !== null) reader.reject(this.#error);
    else reader.take(chunk);
  }
}

export const MULTIPART = 'multipart/form-data';
export const URLENCODED = 'application/x-www-form-urlencoded';
