/**
 * BodyTransform: transform streams between what a handler writes and the framing of its body, such as a compression.
 *
 * The streams are those of Node or of the web; Node's own `pipeline` connects them, so backpressure and errors pass through all of them. A
 * piece that a handler writes is copied: it may lie in a transform when the handler changes its bytes.
 *
 * Next: streamed-body.ts
 */

import { Duplex, pipeline, Writable } from 'node:stream';
import type { TransformStream } from 'node:stream/web';
import { ClientGoneError } from '../http-error.ts';
import { markHandled } from '../promises.ts';
import { checkedBytes } from './checked-bytes.ts';

/**
 * A TransformStream, as far as it is used here: those of Node, of the browser and of polyfills have different types.
 *
 * ```ts
 * import type { TransformLike } from 'simplenet/http';
 *
 * const stage: TransformLike = new CompressionStream('gzip');
 * ```
 */
export interface TransformLike {
  readonly readable: object;
  readonly writable: object;
}

/**
 * A transform stream of Node, such as `createGzip()`, or of the web, such as `new CompressionStream('gzip')`. It gets bytes and yields bytes.
 *
 * ```ts
 * import { createGzip } from 'node:zlib';
 * import { type BodyStage, Router } from 'simplenet/http';
 *
 * const compress = (): BodyStage => createGzip();
 * new Router().use((_request, response, next) => {
 *   response.header('Content-Encoding', 'gzip').transformBody(compress);
 *   return next();
 * });
 * ```
 */
export type BodyStage = Duplex | TransformLike;

/** What a transform asks of the body that it belongs to. */
export interface TransformOutput {
  /** Sends what the transform yields. Resolves when more can be sent. */
  send(bytes: Uint8Array): Promise<void>;
  /** All is sent, or the transform has failed. Called once. */
  transformEnded(error: Error | null): void;
}

interface Writer {
  resolve(): void;
  reject(error: Error): void;
}

/** What `write` returns if the transform takes more. */
const ready = Promise.resolve();

export class BodyTransform {
  readonly #input: Duplex;
  #writers: Writer[] = [];
  #error: Error | null = null;

  /** The first stage is the next one to the handler. There is at least one. */
  constructor(stages: readonly BodyStage[], output: TransformOutput) {
    const streams = stages.map(nodeStreamOf);
    // In object mode, because a transform may yield anything: a Writable of bytes would throw into the transform then.
    const target = new Writable({
      objectMode: true,
      highWaterMark: 1,
      write: (piece: unknown, _encoding, done) => {
        try {
          output
            .send(typeof piece === 'string' ? Buffer.from(piece) : checkedBytes(piece, 'transformBody()'))
            .then(() => done(), done);
        } catch (error) {
          done(error as Error);
        }
      },
    });
    this.#input = streams[0] as Duplex;
    this.#input.on('drain', () => this.#settle(null));
    pipeline([...streams, target], (error) => {
      this.#error = error ?? null;
      this.#settle(this.#error);
      output.transformEnded(this.#error);
    });
  }

  /** How many bytes wait in front of the transform. */
  get queuedBytes(): number {
    return this.#input.writableLength;
  }

  /** Writes a copy of the bytes. The promise resolves when the transform takes more. */
  write(bytes: Uint8Array): Promise<void> {
    if (this.#input.destroyed) return markHandled(Promise.reject(this.#error ?? new ClientGoneError()));
    if (this.#input.write(Buffer.from(bytes))) return ready;
    return markHandled(new Promise((resolve, reject) => this.#writers.push({ resolve, reject })));
  }

  /** Writes the last bytes, without a copy. */
  end(bytes?: Uint8Array): void {
    if (bytes === undefined) this.#input.end();
    else this.#input.end(bytes);
  }

  destroy(reason: Error): void {
    this.#input.destroy(reason);
  }

  #settle(error: Error | null): void {
    const writers = this.#writers;
    this.#writers = [];
    for (const writer of writers) {
      if (error === null) writer.resolve();
      else writer.reject(error);
    }
  }
}

/** Whether the value can be a stage. */
export function isStage(value: unknown): value is BodyStage {
  if (value instanceof Duplex) return true;
  return typeof value === 'object' && value !== null && 'readable' in value && 'writable' in value;
}

/** Ends streams through which nothing will pass. */
export function discardStages(stages: readonly BodyStage[]): void {
  for (const stage of stages) if (stage instanceof Duplex) stage.destroy();
}

function nodeStreamOf(stage: BodyStage): Duplex {
  return stage instanceof Duplex ? stage : Duplex.fromWeb(stage as TransformStream);
}
