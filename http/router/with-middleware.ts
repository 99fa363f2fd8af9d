/**
 * withMiddleware: middleware around whatever can be served, without a Router.
 *
 * A Router passes on neither CONNECT nor the wish of a program to send `100 Continue` itself. What stands around a program must keep both, and the limits of its routes.
 *
 * Next: ../handlers/event-channel.ts
 */

import type { Handler, Middleware } from '../handler.ts';
import { type ContextApp, keepTraits } from '../handlers/context-handler.ts';
import { type HandlerSource, handlerOf, limitsLookupOf } from '../handlers/handler-source.ts';
import { described } from '../nearest-name.ts';
import { wrap } from './middleware.ts';
import { parsePrefix } from './route-pattern.ts';

/**
 * Puts middleware around a program; the first one is the outermost. It gets every request, also CONNECT if the program takes it.
 *
 * ```ts
 * import { compress, cors, serve, withMiddleware } from 'simplenet/http';
 *
 * const app = { fetch: () => new Response('hello\n') };
 * serve(withMiddleware(app, cors({ origin: '*' }), compress()));
 * ```
 */
export function withMiddleware(
  source: HandlerSource | ContextApp,
  ...middleware: readonly Middleware[]
): HandlerSource {
  for (const each of middleware as readonly unknown[]) {
    if (typeof each !== 'function') throw new TypeError(`a middleware is a function, not ${described(each)}`);
  }
  const inner: Handler = handlerOf(source);
  const prefix = parsePrefix('/');
  const layers = middleware.map((each, order) => ({ prefix, middleware: each, order }));
  return { handle: keepTraits(inner, wrap(layers, inner, null)), limitsFor: limitsLookupOf(source) };
}
