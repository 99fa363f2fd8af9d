/**
 * Promises between the server and its handlers, in both directions.
 *
 * A handler may take a promise now and await it later: `const body = request.json(); await authorize(); await body`. When the
 * client sends broken bytes in between, that promise rejects while nothing listens to it, and Node then ends the process: one
 * client would stop the server for all. So every promise that a handler is given passes through `markHandled`.
 *
 * In the other direction handlers return whatever they like: promises of another realm, query builders with a `then`.
 *
 * Next: request/byte-run.ts
 */

const ignore = () => {};

/** Returns the promise. Its rejection reaches all code that awaits it, and is no uncaught exception where nothing does. */
export function markHandled<T>(promise: Promise<T>): Promise<T> {
  promise.then(undefined, ignore);
  return promise;
}

/** A promise for a value that has a `then`, and null for all other values. What reading that `then` throws is thrown on. */
export function promiseOf(value: unknown): Promise<void> | null {
  if (value === undefined || value === null) return null; // what most handlers return
  return typeof (value as PromiseLike<unknown>).then === 'function'
    ? Promise.resolve(value as PromiseLike<void>)
    : null;
}
