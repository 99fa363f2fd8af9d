/**
 * PendingWork: the promises that handlers have passed to `waitUntil`. `close` of a server waits for them.
 *
 * Nothing can cancel a promise. When its time after the response has passed, the server only stops waiting.
 *
 * A server of http/ has another rule (GracefulStop): one grace for all that is left. Here each promise has a time of its own, which counts from its
 * response. And this server is several servers of http/, one for each listener, and waits for the promises of all of them together.
 *
 * Next: listener.ts
 */

import type { HttpRequest } from '../http/index.ts';

/** setTimeout calls back at once for longer delays. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export class PendingWork {
  /** Each promise with the timer that ends the wait for it, once there is one. */
  readonly #promises = new Map<Promise<unknown>, NodeJS.Timeout | null>();
  #whenDone: (() => void)[] = [];

  /** Waits for the promise, but no longer than `limitMs` after the response. Reports its error. */
  add(promise: Promise<unknown>, request: HttpRequest, limitMs: number): void {
    this.#promises.set(promise, null);
    promise.catch((error: unknown) => console.error(error)).finally(() => this.#forget(promise));
    if (limitMs > MAX_TIMER_MS) return;
    void request.done.then(() => {
      if (!this.#promises.has(promise)) return;
      const timer = setTimeout(() => this.#forget(promise), limitMs);
      if (this.#whenDone.length === 0) timer.unref(); // only a server that closes waits for it
      this.#promises.set(promise, timer);
    });
  }

  /** Resolves when there is none left. */
  settled(): Promise<void> {
    if (this.#promises.size === 0) return Promise.resolve();
    for (const timer of this.#promises.values()) timer?.ref();
    return new Promise((resolve) => {
      this.#whenDone.push(resolve);
    });
  }

  /** Waits for nothing any more. */
  clear(): void {
    for (const promise of [...this.#promises.keys()]) this.#forget(promise);
  }

  #forget(promise: Promise<unknown>): void {
    clearTimeout(this.#promises.get(promise) ?? undefined);
    this.#promises.delete(promise);
    if (this.#promises.size > 0) return;
    for (const resolve of this.#whenDone.splice(0)) resolve();
  }
}
