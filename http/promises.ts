/**
 * Promises between the server and its handlers, in both directions.
 *
 * A handler may get a promise now and await it later: `const body = request.json(); await authorize(); await body`. If the
 * client sends a malformed body in between, the promise rejects before any code awaits it, and Node ends the process: one client
 * would stop the server for all. So every promise that a handler gets passes through `markHandled`.
 *
 * In the other direction a handler may return any value: a promise of another realm, or a query builder with a `then`.
 *
 * Next: request/byte-run.ts
 */

const ignore = () => {};

/** Returns the promise. Its rejection still reaches all code that awaits it; if no code does, Node does not end the process. */
export function markHandled<T>(promise: Promise<T>): Promise<T> {
  promise.then(undefined, ignore);
  return promise;
}

/** Returns a promise for a value that has a `then`, and null for all other values. Throws what a getter of `then` throws. */
export function promiseOf<T = void>(value: unknown): Promise<T> | null {
  if (value === undefined || value === null) return null; // what most handlers return
  return typeof (value as PromiseLike<unknown>).then === 'function' ? Promise.resolve(value as PromiseLike<T>) : null;
}
