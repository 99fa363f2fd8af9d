/**
 * limit: a middleware that replaces limits and timeouts of the server for the routes below it.
 *
 *     router.use('/chat', limit({ answerMs: 600_000 }));
 *
 * A Router does not wait until this middleware is called. It knows which of them cover a route, and puts their limits in force as soon as the route is
 * found, before any middleware runs: one that awaits would otherwise let the body come under the limits of the server meanwhile. The options of the
 * route itself count last. Elsewhere the limits are in force from the call on.
 *
 * Next: middleware.ts
 */

import type { Middleware } from '../handler.ts';
import { type RouteLimits, routeLimitsFrom } from '../route-limits.ts';
import type { Layer } from './route-tree.ts';

const limitsOf = new WeakMap<object, RouteLimits>();

/**
 * Returns a middleware that sets limits and timeouts for the requests that pass it.
 *
 * ```ts
 * import { limit, Router } from 'simplenet/http';
 *
 * const router = new Router();
 * router.use('/uploads', limit({ bodyBytes: 5 * 1024 ** 3, bodyMs: 3_600_000 }));
 * ```
 */
export function limit(limits: RouteLimits): Middleware<unknown> {
  const checked = routeLimitsFrom(limits);
  const middleware: Middleware<unknown> = (request, _response, next) => {
    request.applyLimits(checked);
    return next();
  };
  limitsOf.set(middleware, checked);
  return middleware;
}

/** Returns the limits of all `limit` layers, from the outermost to the innermost, and of the route itself; null if there are none. */
export function limitsIn(layers: readonly Layer[], own: RouteLimits | null): RouteLimits | null {
  const all = [...layers.map(({ middleware }) => limitsOf.get(middleware)), own].filter((limits) => limits != null);
  return all.length === 0 ? null : Object.assign({}, ...all);
}

/** Returns the layers with one layer for all limits in the place of the `limit` layers: inside the handler of errors, around all other middleware. */
export function withLimits(layers: readonly Layer[], limits: RouteLimits): Layer[] {
  const others = layers.filter(({ middleware }) => !limitsOf.has(middleware));
  const isMiddleware = ({ middleware }: Layer) => typeof middleware === 'function';
  const at = others.findIndex(isMiddleware);
  const prefix = { text: '', segments: [], names: [] };
  const layer: Layer = { prefix, middleware: limit(limits), order: 0 };
  return others.toSpliced(at === -1 ? others.length : at, 0, layer);
}
