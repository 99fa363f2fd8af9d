/**
 * HandlerSource: what can be served. A function is a Handler; an object has one, as a Router does, or is a Fetch app.
 *
 * Next: memory-exchange.ts
 */

import type { Handler } from '../handler.ts';
import { type FetchFunction, fetchHandler } from './fetch-handler.ts';

/** An object with `fetch`, as the default export of a program for Deno, Bun or Workers has it. */
export interface FetchApp {
  fetch: FetchFunction;
}

/** A handler, an object that has one, such as a Router, or a Fetch app. */
export type HandlerSource = Handler | { handle: Handler } | FetchApp;

/** A Router has both: its `handle` is called, which is the shorter way. */
export function handlerOf(source: HandlerSource): Handler {
  if (typeof source === 'function') return source;
  if ('handle' in source) return (request, response) => source.handle(request, response);
  // `fetch` is looked up once for each request, so that a program can replace it, and called with its `this`.
  return fetchHandler((request, info, context) => source.fetch(request, info, context));
}
