/**
 * PieceSource: what `response.body()` reads from: a ReadableStream, an AsyncIterable, a stream of Node or a Blob, piece by piece.
 *
 * The four end in different ways when their reader goes away, so each gets the call that it knows: `cancel`, `return` or `destroy`. A
 * generator that waits notices `return` only at its next `yield`, so a pending `next` rejects at once, whatever the source does.
 *
 * It reads a piece only when the one before it has been taken. It takes no other pieces than strings and true Uint8Arrays.
 *
 * Next: body-transform.ts
 */

import { markHandled } from '../promises.ts';
import { checkedBytes } from './checked-bytes.ts';

interface Reading {
  readonly done?: boolean | undefined;
  readonly value?: unknown;
}

/**
 * A ReadableStream, as far as it is used here: those of Node, of the browser and of polyfills have different types.
 *
 * ```ts
 * import { type ReadableLike, Router } from 'simplenet/http';
 *
 * const numbers = (): ReadableLike => new Blob(['1', '2']).stream();
 * new Router().get('/numbers', (_request, response) => response.body(numbers()));
 * ```
 */
export interface ReadableLike {
  getReader(): { read(): Promise<Reading>; cancel(reason?: unknown): Promise<void> };
}

/**
 * A Blob, as far as it is used here. Its size becomes the Content-Length.
 *
 * ```ts
 * import { type BlobLike, Router } from 'simplenet/http';
 *
 * const page: BlobLike = new Blob(['<p>hello</p>'], { type: 'text/html' });
 * new Router().get('/', (_request, response) => response.body(page));
 * ```
 */
export interface BlobLike {
  readonly size: number;
  readonly type: string;
  stream(): ReadableLike;
}

/**
 * What `response.body()` sends in pieces. The pieces are strings and Uint8Arrays.
 *
 * ```ts
 * import { createReadStream } from 'node:fs';
 * import { type BodyPieces, Router } from 'simplenet/http';
 *
 * const rows = (): BodyPieces => createReadStream('large.csv');
 * new Router().get('/rows', (_request, response) => response.header('Content-Type', 'text/csv').body(rows()));
 * ```
 */
export type BodyPieces = ReadableLike | AsyncIterable<string | Uint8Array> | BlobLike;

export class PieceSource {
  /** Known for a Blob; -1 for all others. */
  readonly byteLength: number;
  /** The media type of a Blob; '' for all others. */
  readonly type: string;
  readonly #read: () => Promise<Reading>;
  readonly #stop: (reason: unknown) => unknown;
  #rejectPending: ((reason: unknown) => void) | null = null;
  #cancellation: { readonly reason: unknown } | null = null;

  private constructor(
    read: () => Promise<Reading>,
    stop: (reason: unknown) => unknown,
    { size = -1, type = '' }: { readonly size?: number; readonly type?: string } = {},
  ) {
    this.#read = read;
    this.#stop = stop;
    this.byteLength = size;
    this.type = type;
  }

  /** Returns null if the value is no source. Throws what a stream throws that another reader has locked. */
  static of(value: unknown): PieceSource | null {
    if (typeof value !== 'object' || value === null) return null;
    if ('stream' in value && 'size' in value && typeof value.stream === 'function') {
      const blob = value as BlobLike;
      return PieceSource.#ofStream(blob.stream(), blob);
    }
    if ('getReader' in value) return PieceSource.#ofStream(value as ReadableLike);
    if (!(Symbol.asyncIterator in value)) return null;
    const iterator = (value as AsyncIterable<unknown>)[Symbol.asyncIterator]();
    if ('destroy' in value && typeof value.destroy === 'function') {
      const stream = value as { destroy(): void };
      return new PieceSource(
        () => iterator.next(),
        () => stream.destroy(),
      );
    }
    return new PieceSource(
      () => iterator.next(),
      () => iterator.return?.(),
    );
  }

  static #ofStream(stream: ReadableLike, blob?: BlobLike): PieceSource {
    const reader = stream.getReader();
    return new PieceSource(
      () => reader.read(),
      (reason) => reader.cancel(reason),
      blob,
    );
  }

  /** Returns the next piece, or null at the end. Rejects if the source fails, or is cancelled before or meanwhile. */
  next(): Promise<Uint8Array | null> {
    // A source that was cancelled may say that it has ended, and its response must not look complete.
    if (this.#cancellation !== null) return Promise.reject(this.#cancellation.reason);
    return new Promise((resolve, reject) => {
      this.#rejectPending = reject;
      this.#nextPiece().then(resolve, reject);
    });
  }

  /** Ends the source: nobody will read the rest of it. */
  cancel(reason: unknown): void {
    this.#cancellation ??= { reason };
    this.#rejectPending?.(reason);
    void markHandled(this.#cancelled(reason)); // the source may fail while it ends, and then there is no reader whom it could tell
  }

  async #cancelled(reason: unknown): Promise<void> {
    await this.#stop(reason);
  }

  async #nextPiece(): Promise<Uint8Array | null> {
    const { done, value } = await this.#read();
    if (done === true) return null;
    return typeof value === 'string' ? Buffer.from(value) : checkedBytes(value, 'body()');
  }
}
