/**
 * ResponseHooks: what few responses have: a reason phrase, trailers, a stream as body, and the callbacks of middleware.
 *
 * A response makes this object when it needs it, so a plain response pays for none of this. Callbacks run from the last one that was added
 * to the first, as a response passes the middleware of a router: the one next to the handler comes first.
 *
 * An error of a callback leads to an error response, for which the callbacks are called again. So a callback that has thrown is removed:
 * it cannot fail twice, and the error response cannot fail without end.
 *
 * Next: prepared-head.ts
 */

import { promiseOf } from '../promises.ts';
import { type BodyStage, discardStages, isStage } from './body-transform.ts';
import { checkedBytes } from './checked-bytes.ts';
import type { PieceSource } from './piece-source.ts';

/**
 * Called before the head of a response is made. It gets the whole body, or null if the body comes in pieces.
 *
 * ```ts
 * import { createHash } from 'node:crypto';
 * import { type BeforeHead, type ResponseWriter, Router } from 'simplenet/http';
 *
 * const etagFor = (response: ResponseWriter): BeforeHead => (body) => {
 *   if (body !== null) response.header('ETag', `"${createHash('sha1').update(body).digest('base64url')}"`);
 * };
 * new Router().use((_request, response, next) => {
 *   response.beforeHead(etagFor(response));
 *   return next();
 * });
 * ```
 */
export type BeforeHead = (body: Uint8Array | null) => void;

/**
 * Makes the transform for the body of one response, or declines with null. It gets what a BeforeHead gets. In place of a whole body it may return other bytes.
 *
 * ```ts
 * import { createGzip } from 'node:zlib';
 * import { Router, type TransformFactory } from 'simplenet/http';
 *
 * const gzip: TransformFactory = (body) => (body !== null && body.byteLength < 1_024 ? null : createGzip());
 * new Router().use((_request, response, next) => {
 *   response.transformBody(gzip);
 *   return next();
 * });
 * ```
 */
export type TransformFactory = (body: Uint8Array | null) => BodyStage | Uint8Array | null;

export class ResponseHooks {
  /** Null for the usual phrase of the status. */
  reason: string | null = null;
  /** Field lines, each with its CRLF. */
  trailers = '';
  /** The Content-Type that the call of the handler implies. A callback sees it, and may remove it. */
  impliedType: string | null = null;
  /** The stream that `body()` is sending. */
  source: PieceSource | null = null;
  /** What a factory has returned in place of a whole body. */
  replacement: Uint8Array | null = null;
  /** A callback is at work: it may change the head, and send nothing. */
  isCalling = false;
  readonly #callbacks: BeforeHead[] = [];
  readonly #factories: TransformFactory[] = [];
  /** The error that the response itself has passed on. */
  #failure: { readonly error: unknown } | null = null;

  /** Whether there are callbacks. */
  get isHooked(): boolean {
    return this.#callbacks.length > 0 || this.#factories.length > 0;
  }

  addBeforeHead(callback: BeforeHead): void {
    this.#callbacks.push(callback);
  }

  addFactory(factory: TransformFactory): void {
    this.#factories.push(factory);
  }

  /** `body()` is sending a stream. */
  get hasSource(): boolean {
    return this.source !== null;
  }

  /** No other part of the response may be sent now. */
  get isBusy(): boolean {
    return this.isCalling || this.source !== null;
  }

  /** Drops all but the callbacks of middleware. */
  restart(): void {
    const { source } = this;
    this.reason = null;
    this.trailers = '';
    this.impliedType = null;
    this.source = null;
    source?.cancel(new Error('another response is sent instead'));
  }

  get failure(): unknown {
    return this.#failure?.error;
  }

  fail(error: unknown): void {
    this.#failure = { error };
  }

  hasFailedWith(error: unknown): boolean {
    return this.#failure !== null && this.#failure.error === error;
  }

  /** Calls all BeforeHead. Throws what one of them throws. */
  callBeforeHead(body: Uint8Array | null): void {
    for (const callback of this.#callbacks.toReversed()) {
      this.#call(this.#callbacks, callback, () => {
        const result = promiseOf(callback(body));
        if (result === null) return;
        result.then(undefined, () => {}); // the error below says enough
        throw new TypeError('beforeHead() takes a function that returns nothing: the head does not wait for a promise');
      });
    }
  }

  /** Calls the factories, and returns their transforms, the next one to the handler first. Throws what one of them throws. */
  createStages(body: Uint8Array | null): BodyStage[] {
    const stages: BodyStage[] = [];
    let whole = body;
    this.replacement = null;
    try {
      for (const factory of this.#factories.toReversed()) {
        this.#call(this.#factories, factory, () => {
          const stage: unknown = factory(stages.length === 0 ? whole : null); // a transform before it changes the body
          if (stage === null) return;
          if (stage instanceof Uint8Array && stages.length === 0 && whole !== null) {
            whole = this.replacement = checkedBytes(stage, 'transformBody()');
            return;
          }
          if (!isStage(stage)) {
            promiseOf(stage)?.then(undefined, () => {}); // the error below says enough
            throw new TypeError(
              'transformBody() takes a function that returns a transform stream or null, or bytes in place of a whole body',
            );
          }
          stages.push(stage);
        });
      }
    } catch (error) {
      discardStages(stages);
      throw error;
    }
    return stages;
  }

  /** Calls code of the program. If it throws, it is not called again. */
  #call<T>(list: T[], member: T, code: () => void): void {
    this.isCalling = true;
    try {
      code();
    } catch (error) {
      list.splice(list.indexOf(member), 1);
      throw error;
    } finally {
      this.isCalling = false;
    }
  }
}
