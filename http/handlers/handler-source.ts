/**
 * HandlerSource: what can be served. A function is a Handler; an object has one, as a Router does, or is a Fetch app. An object with the
 * protocol marker of the Fetch Server API gets a context instead of a request.
 *
 * Next: handler-call.ts
 */

import type { Handler } from '../handler.ts';
import { described } from '../nearest-name.ts';
import type { RouteLimits } from '../route-limits.ts';
import { type ContextApp, contextHandler, keepTraits } from './context-handler.ts';
import { type FetchFunction, fetchHandler } from './fetch-handler.ts';
import { isMarked } from './fetch-server-draft.ts';

/**
 * An object with `fetch`, as the default export of a program for Deno, Bun or Workers has it.
 *
 * ```ts
 * import { type FetchApp, serve } from 'simplenet/http';
 *
 * const app: FetchApp = { fetch: (request) => new Response(`you asked for ${request.url}\n`) };
 * serve(app);
 * ```
 */
export interface FetchApp {
  fetch: FetchFunction;
}

/**
 * What `serve` takes: a handler, an object that has one, such as a Router, or a Fetch app; and a ContextApp. `limitsFor` returns the limits of a
 * route, which can be larger than those of the server. It is only asked for a body whose declared length is above `bodyBytes`.
 *
 * ```ts
 * import { type HandlerSource, serve } from 'simplenet/http';
 *
 * const site: HandlerSource = { handle: (_request, response) => response.text('hello\n') };
 * serve(site);
 * ```
 */
export type HandlerSource =
  | Handler
  | { readonly handle: Handler; limitsFor?(method: string, path: string): RouteLimits | null }
  | FetchApp;

/** Checked, because a program may pass what an import has not found. A Router has both: its `handle` is called, which is the shorter way. */
export function handlerOf(source: HandlerSource | ContextApp): Handler {
  if (typeof source === 'function') {
    if (isClass(source)) throw new TypeError(`serve needs an object of the class ${source.name}: new ${source.name}()`);
    return source;
  }
  if (isMarked(source)) return contextHandler(source as ContextApp);
  if (hasMethod(source, 'handle')) {
    const site = source as { readonly handle: Handler };
    return keepTraits(site.handle, (request, response) => site.handle(request, response));
  }
  if (hasMethod(source, 'fetch')) {
    const app = source as FetchApp;
    // `fetch` is looked up once for each request, so that a program can replace it, and called with its `this`.
    return fetchHandler((request, info, context) => app.fetch(request, info, context));
  }
  throw new TypeError(
    `serve needs a handler first: a function (request, response), or an object with a method \`handle\`, such as a Router, or \`fetch\`; not ${described(source)}`,
  );
}

/** Returns a function that finds the limits of a route. What has no routes has no limits. */
export function limitsLookupOf(
  source: HandlerSource | ContextApp,
): (method: string, path: string) => RouteLimits | null {
  if (typeof source === 'function' || !('limitsFor' in source)) return () => null;
  return (method, path) => source.limitsFor?.(method, path) ?? null;
}

/** Without `new` every call of a class throws, so each request would get 500. The text of a class begins with this word. */
function isClass(source: object): boolean {
  return /^class\b/.test(Function.prototype.toString.call(source));
}

/** `in` first: the objects of some frameworks return a function for any name that is read. */
function hasMethod(source: unknown, name: 'handle' | 'fetch'): boolean {
  if (typeof source !== 'object' || source === null || !(name in source)) return false;
  return typeof (source as Readonly<Record<string, unknown>>)[name] === 'function';
}
