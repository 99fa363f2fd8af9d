/**
 * RequestBody: the body as the handler sees it: once, in pieces or whole, and only as fast as it is read.
 *
 * Between the connection, which pushes bytes when the network brings them, and the handler, which reads when it likes, lies
 * a short queue. When it is full the connection stops reading, TCP stops the client, and an upload that nobody reads costs
 * no memory. A client that asked for permission (Expect: 100-continue) gets it when the handler first reads.
 *
 * Every promise that a handler gets here is marked as handled (promises.ts): what the client sends must not end the process
 * because the handler awaits something else first. The private methods return promises that are not marked yet.
 *
 * Next: http-request.ts
 */

import { HttpError } from '../http-error.ts';
import { defaultLimits, type Limits } from '../limits.ts';
import { markHandled } from '../promises.ts';
import type { BodyDecoder } from './body-decoder.ts';
import { type BodyAccount, BodyMemory } from './body-memory.ts';
import { hasMoreFieldsThan } from './form-fields.ts';
import type { HeaderList } from './header-list.ts';
import { nestsDeeperThan } from './json-nesting.ts';
import { PendingInput } from './pending-input.ts';

/** Where the bytes come from. */
export interface BodySource {
  readonly limits: Limits;
  readonly bodyMemory: BodyMemory;
  /** The handler waits for bytes, or has made room for more. */
  resumeReading(): void;
  /** So much waits for the handler that no more should come. */
  pauseReading(): void;
  /** No more of the body can be taken: the client gets this error, and the connection ends. */
  refuseBody(error: HttpError): void;
}

interface Reader {
  resolve(chunk: Buffer | null): void;
  reject(error: Error): void;
}

/** Of a body that is complete, nobody asks for more. */
/* c8 ignore start -- and nobody does. */
const NOWHERE: BodySource = {
  limits: defaultLimits,
  bodyMemory: new BodyMemory(0, 0, () => ({ cancel: () => {} })),
  resumeReading: () => {},
  pauseReading: () => {},
  refuseBody: () => {},
};
/* c8 ignore stop */

export class RequestBody implements AsyncIterable<Buffer> {
  /** The body of all requests that have none. */
  static readonly none = new RequestBody(null, NOWHERE);

  readonly #decoder: BodyDecoder | null;
  readonly #source: BodySource;
  /** What has arrived and is not read yet: in one piece, or a client could send a million bytes as a million pieces. */
  #waiting: PendingInput | null = null;
  #receivedBytes = 0;
  #reader: Reader | null = null;
  #error: Error | null = null;
  #isTaken = false;
  /** Whoever reads wants all of it, in one piece. */
  #isGathering = false;
  /** What the reader takes of it. */
  #mostBytes = Number.POSITIVE_INFINITY;
  #tooLarge = '';
  /** What it takes of the server's memory: see body-memory.ts. */
  #account: BodyAccount | null = null;
  #hasAnswerBegun = false;
  #isDiscarded = false;
  #isReleased = false;

  /** `decoder` is null for a request without a body. */
  constructor(decoder: BodyDecoder | null, source: BodySource) {
    this.#decoder = decoder;
    this.#source = source;
  }

  /** All of it has arrived, though the handler may not have read it yet. */
  get isComplete(): boolean {
    return this.#decoder === null || this.#decoder.isDone;
  }

  /** All of it has arrived and none of it waits for the handler. */
  get isRead(): boolean {
    return this.isComplete && this.#waitingBytes === 0;
  }

  /** The handler has begun to read it. */
  get isTaken(): boolean {
    return this.#isTaken;
  }

  /** Bytes of content that have arrived so far. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  get trailers(): HeaderList | null {
    return this.#decoder?.trailers ?? null;
  }

  // For the connection.

  /** Takes bytes[start..end) as far as they are body; answers the offset behind. Throws HttpError for what is no body. */
  push(bytes: Buffer, start: number, end: number): number {
    const decoder = this.#decoder;
    if (decoder === null) return start;
    const at = decoder.decode(bytes, start, end, (from, to) => this.#take(bytes, from, to, decoder.left));
    this.#answerReader();
    if (decoder.isDone) this.#completed();
    else if (this.#mustPause()) this.#source.pauseReading();
    return at;
  }

  /** No more will come: the client is gone, or what it sent is no body. */
  fail(error: Error): void {
    if (this.isComplete || this.#error !== null) return;
    this.#error = error;
    this.#answerReader();
  }

  /** The answer is complete: whatever still comes is of no interest. */
  discard(): void {
    this.#isDiscarded = true;
    this.#waiting = null;
    this.fail(new Error('the answer was complete before the body had been read'));
  }

  /** The answer comes in pieces, and has begun: its client says now how long the exchange takes. */
  answerBegun(): void {
    this.#hasAnswerBegun = true;
    if (this.isComplete) this.#closeAccount();
  }

  /** The exchange is over: what the handler still holds of the body is its own business. */
  release(): void {
    this.#isReleased = true;
    this.#closeAccount();
  }

  // For the handler.

  /** The next piece, or null at the end. */
  read(): Promise<Buffer | null> {
    return markHandled(this.#read());
  }

  [Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    const chunks = this.#chunks();
    const next = chunks.next.bind(chunks);
    chunks.next = () => markHandled(next());
    return chunks;
  }

  bytes(): Promise<Buffer> {
    return markHandled(this.#gather(Number.POSITIVE_INFINITY, 'a body'));
  }

  /** As UTF-8. Bytes that are none are refused: replacing them would change what the client said. */
  text(): Promise<string> {
    return markHandled(this.#text(Number.POSITIVE_INFINITY, 'a body'));
  }

  /** At most `jsonBytes`, nested at most `jsonDepth` deep. */
  json(): Promise<unknown> {
    return markHandled(this.#json());
  }

  /** application/x-www-form-urlencoded, as HTML forms send it: at most `formBytes` and `formFields`. */
  form(): Promise<URLSearchParams> {
    return markHandled(this.#form());
  }

  async #read(): Promise<Buffer | null> {
    const wasFull = this.#waitingBytes >= this.#source.limits.bodyBufferBytes;
    const chunk = this.#takeReady();
    if (chunk !== null) {
      if (wasFull && !this.isComplete) this.#source.resumeReading();
      return chunk;
    }
    if (this.#error !== null) throw this.#error;
    if (this.isComplete) return null;
    if (this.#reader !== null) throw new Error('the body is being read already');
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
      if (this.#isGathering && this.#mustPause()) this.#source.pauseReading();
      else this.#source.resumeReading();
    });
  }

  async *#chunks(): AsyncGenerator<Buffer, void, undefined> {
    this.#takeOnce();
    for (let chunk = await this.#read(); chunk !== null; chunk = await this.#read()) yield chunk;
  }

  /** All of it. Above `mostBytes` it is 413, as soon as that is known: a declared length is refused before the body is read. */
  async #gather(mostBytes: number, what: string): Promise<Buffer> {
    this.#takeOnce();
    const decoder = this.#decoder;
    if (decoder !== null) {
      this.#isGathering = true;
      this.#mostBytes = mostBytes;
      this.#tooLarge = `${what} of more than ${mostBytes} bytes`;
      if (this.#receivedBytes + decoder.left > mostBytes) this.#refuseRest();
      else this.#openAccount(decoder.left);
    }
    return (await this.#read()) ?? Buffer.alloc(0);
  }

  async #text(mostBytes: number, what: string): Promise<string> {
    const bytes = await this.#gather(mostBytes, what);
    try {
      return strictUtf8.decode(bytes);
    } catch (cause) {
      throw new HttpError(400, 'the body is not valid UTF-8', { cause });
    }
  }

  async #json(): Promise<unknown> {
    const { jsonBytes, jsonDepth } = this.#source.limits;
    const text = await this.#text(jsonBytes, 'JSON');
    if (nestsDeeperThan(text, jsonDepth))
      throw new HttpError(400, `JSON that nests more than ${jsonDepth} levels deep`);
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new HttpError(400, 'the body is not valid JSON', { cause });
    }
  }

  async #form(): Promise<URLSearchParams> {
    const { formBytes, formFields } = this.#source.limits;
    const text = await this.#text(formBytes, 'a form');
    if (hasMoreFieldsThan(text, formFields)) throw new HttpError(413, `a form of more than ${formFields} fields`);
    return new URLSearchParams(text);
  }

  #takeOnce(): void {
    if (this.#decoder === null) return;
    if (this.#isTaken) throw new Error('the body has been read already; it can be read once');
    this.#isTaken = true;
  }

  get #waitingBytes(): number {
    return this.#waiting === null ? 0 : this.#waiting.byteLength;
  }

  /** The bytes lie in a buffer that is used again at once: what is kept is a copy. So many are promised behind them. */
  #take(bytes: Buffer, from: number, to: number, left: number): void {
    this.#receivedBytes += to - from;
    if (this.#isDiscarded) return;
    if (this.#receivedBytes > this.#mostBytes) {
      this.#refuseRest();
      return;
    }
    if (this.#waiting !== null) this.#waiting.append(bytes, from, to);
    else this.#waiting = this.#begun(bytes.subarray(from, to), left);
    if (this.#account !== null) this.#source.bodyMemory.resize(this.#account, this.#waiting.capacity);
  }

  #begun(first: Buffer, left: number): PendingInput {
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
    if (this.#isReleased || (this.#hasAnswerBegun && this.isComplete)) return;
    this.#account = {
      bytes: 0,
      alarm: null,
      onRoom: () => this.#source.resumeReading(),
      onLate: () => this.#source.refuseBody(new HttpError(503, 'the memory for request bodies is used up')),
    };
    this.#source.bodyMemory.resize(this.#account, waiting?.capacity ?? 0);
  }

  /** Whether the client has to wait: for the handler, or for memory of the server. */
  #mustPause(): boolean {
    if (this.#account !== null) return this.#source.bodyMemory.mustWait(this.#account);
    return !this.#isGathering && this.#waitingBytes >= this.#source.limits.bodyBufferBytes;
  }

  #completed(): void {
    if (this.#hasAnswerBegun) this.#closeAccount();
    else if (this.#account !== null) this.#source.bodyMemory.complete(this.#account);
  }

  #closeAccount(): void {
    if (this.#account !== null) this.#source.bodyMemory.close(this.#account);
    this.#account = null;
  }

  /** What the reader can have now. */
  #takeReady(): Buffer | null {
    const waiting = this.#waiting;
    if (this.#isGathering && !this.isComplete) return null;
    this.#waiting = null;
    return waiting === null ? null : waiting.all();
  }

  /** Gives whoever waits what there is, if there is anything. */
  #answerReader(): void {
    const reader = this.#reader;
    if (reader === null) return;
    const chunk = this.#takeReady();
    if (chunk === null && this.#error === null && !this.isComplete) return;
    this.#reader = null;
    if (chunk === null && this.#error !== null) reader.reject(this.#error);
    else reader.resolve(chunk);
  }
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true });
