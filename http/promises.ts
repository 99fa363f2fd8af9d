/**
 * Promises between the server and its handlers, in both directions.
 *
 * A handler may get a promise now and await it later: `const body = request.json(); await authorize(); await body`. If the
 * client sends a malformed body in between, the promise rejects before any code awaits it, and Node ends the process: one client
 * would stop the server for all. So every promise that a handler gets passes through `markHandled`.
 *
 * In the other direction a handler may return any value: a promise of another realm, or a query builder with a `then`.
 *
 * Next: address-text.ts
 */

import { described } from './nearest-name.ts';

const ignore = () => {};

/** Returns the promise. Its rejection still reaches all code that awaits it; if no code does, Node does not end the process. */
export function markHandled<T>(promise: Promise<T>): Promise<T> {
  promise.then(undefined, ignore);
  return promise;
}

/** Returns the generator, whose `next` marks each promise. */
export function markNextHandled<T>(generator: AsyncGenerator<T, void, undefined>): AsyncGenerator<T, void, undefined> {
  const next = generator.next.bind(generator);
  generator.next = () => markHandled(next());
  return generator;
}

/** Returns a promise for a value that has a `then`, and null for all other values. Throws what a getter of `then` throws. */
export function promiseOf<T = void>(value: unknown): Promise<T> | null {
  if (value === undefined || value === null) return null; // what most handlers return
  return typeof (value as PromiseLike<unknown>).then === 'function' ? Promise.resolve(value as PromiseLike<T>) : null;
}

/** Returns what a function of the program has decided. A promise is true as a condition, and would allow everything. */
export function decided(answer: unknown, what: string): boolean {
  if (typeof answer === 'boolean') return answer;
  throw new TypeError(`${what} must return true or false, not ${described(answer)}`);
}

/**
 * What is wrong with a value that a handler has returned without a response; null for values that say nothing. Other frameworks send what a
 * handler returns. Here the client would wait until `answerMs` has passed. A timer, an emitter, a number or a boolean is no mistake: an arrow
 * function returns what its one call returns, and a callback may send the response later.
 */
export function mistakenReturn(value: unknown): TypeError | null {
  if (typeof value === 'string') return mistake('a string', 'text() or response.html()');
  if (typeof value !== 'object' || value === null) return null;
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return mistake('bytes', 'bytes()');
  const prototype: unknown = Object.getPrototypeOf(value);
  if (Array.isArray(value)) return mistake('an array', 'json()');
  return prototype === Object.prototype || prototype === null ? mistake('an object', 'json()') : null;
}

function mistake(what: string, method: string): TypeError {
  return new TypeError(`a handler returned ${what}, which is not sent: call response.${method}`);
}
