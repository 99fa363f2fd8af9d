/**
 * DecodedBody: the body of a request that comes with a Content-Encoding, as a RequestBody of its own, whose bytes are decoded.
 *
 * A few bytes can decode to a million times as many (a bomb). So what is decoded counts for the limits: `bodyBytes` for all of it, and those of `json()`, `form()` and
 * the others. Decoding stops while the handler does not read, and so does the client. The body is decoded from the first read on: a handler that reads none of it pays nothing.
 *
 * Next: request-state.ts
 */

import { pipeline, type Transform } from 'node:stream';
import { bodyTooLarge, HttpError } from '../http-error.ts';
import type { Limits } from '../limits.ts';
import type { BodyDecoder, OnBody } from './body-decoder.ts';
import type { BodyMemory } from './body-memory.ts';
import type { HeaderList } from './header-list.ts';
import { type BodySource, RequestBody } from './request-body.ts';

/** What has limits: those of a route may come after the body has been replaced. */
interface Limited {
  readonly limits: Limits;
}

/** Bytes without a declared length, which are the body as they are. */
class DecodedBytes implements BodyDecoder {
  readonly left = 0;
  isDone = false;
  #total = 0;
  readonly #request: Limited;
  readonly #encoded: RequestBody;

  constructor(request: Limited, encoded: RequestBody) {
    this.#request = request;
    this.#encoded = encoded;
  }

  get trailers(): HeaderList {
    return this.#encoded.trailers as HeaderList; // null only for a request without a body, which is not decoded
  }

  /* c8 ignore next -- never called: the limits in force are asked for each piece. */
  useLimits(): void {}

  decode(_bytes: Buffer, start: number, end: number, onBody: OnBody): number {
    this.#total += end - start;
    const { bodyBytes } = this.#request.limits;
    if (this.#total > bodyBytes) throw bodyTooLarge(bodyBytes);
    if (end > start) onBody(start, end);
    return end;
  }
}

export class DecodedBody implements BodySource {
  readonly body: RequestBody;
  readonly #request: Limited;
  readonly #encoded: RequestBody;
  readonly #coding: string;
  readonly #createDecompressor: () => Transform;
  readonly #bytes: DecodedBytes;
  #engine: Transform | null = null;
  #pieces: AsyncIterator<Buffer> | null = null;
  #isPaused = false;
  #isPulling = false;

  constructor(request: Limited, encoded: RequestBody, coding: string, createDecompressor: () => Transform) {
    this.#request = request;
    this.#encoded = encoded;
    this.#coding = coding;
    this.#createDecompressor = createDecompressor;
    this.#bytes = new DecodedBytes(request, encoded);
    this.body = new RequestBody(this.#bytes, this);
  }

  get limits(): Limits {
    return this.#request.limits;
  }

  get bodyMemory(): BodyMemory {
    return this.#encoded.source.bodyMemory;
  }

  resumeReading(): void {
    this.#isPaused = false;
    if (!this.#isPulling) void this.#pull();
  }

  pauseReading(): void {
    this.#isPaused = true;
  }

  refuseBody(error: HttpError): void {
    this.#encoded.source.refuseBody(error);
  }

  /** The answer is over. */
  end(): void {
    this.#engine?.destroy();
    this.body.release();
  }

  /** Decodes while the handler wants more. */
  async #pull(): Promise<void> {
    this.#isPulling = true;
    try {
      this.#pieces ??= this.#decode();
      while (!this.#isPaused && !this.#bytes.isDone) {
        const { done, value } = await this.#pieces.next();
        this.#bytes.isDone = done === true;
        const piece = done === true ? Buffer.alloc(0) : value;
        this.body.push(piece, 0, piece.length);
      }
    } catch (error) {
      const isOfDecoding = !(error instanceof HttpError) && !this.#encoded.hasFailedWith(error);
      const failure = isOfDecoding
        ? new HttpError(400, `the body is not valid ${this.#coding}`, { cause: error })
        : error;
      this.#encoded.cancel(failure as Error);
      this.body.fail(failure as Error);
    } finally {
      this.#isPulling = false;
    }
  }

  #decode(): AsyncIterator<Buffer> {
    const engine = this.#createDecompressor();
    this.#engine = engine;
    pipeline(this.#encoded, engine, () => {}); // the reader gets the error
    return engine[Symbol.asyncIterator]();
  }
}
