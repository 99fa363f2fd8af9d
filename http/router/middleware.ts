/**
 * Middleware around a handler: an onion. The first one registered is the outermost.
 *
 *     wrap([timing, guard], handler)      timing -> next() -> guard -> next() -> handler
 *                                         timing <--------- guard <-------- its response is on its way
 *
 * A middleware for `/users/:id` needs its `id`. It also runs for the route `/users/me` and for a 404, which do not have a param of that
 * name. If the route does not have the same params, a middleware gets its own while it runs, and `next` gets those of the route:
 *
 *     use('/users/:id', guard); get('/users/:id/posts', h)     GET /users/7/posts   both get { id: '7' }: nothing to do
 *     use('/users/:id', guard); get('/users/me', h)            GET /users/me        guard gets { id: 'me' }, h gets {}
 *
 * A middleware that returns a Response of Fetch has answered, as one that writes a response.
 *
 * Without a promise from a middleware or the handler, no promise is created.
 *
 * Next: router.ts
 */

import type { Handler, HttpRequest, Middleware, ResponseWriter } from '../handler.ts';
import { isResponse, sendResponse, sendReturned } from '../handlers/send-response.ts';
import { markHandled, promiseOf } from '../promises.ts';
import { decodedName, decodePath } from './path.ts';
import { type RoutePattern, sharesParams } from './route-pattern.ts';
import type { Layer } from './route-tree.ts';

/** Returns the handler inside its middleware. `route` is the pattern that matched, or null if none did: then there are no params. */
export function wrap(layers: readonly Layer[], handler: Handler, route: RoutePattern | null): Handler {
  if (layers.length === 0) return handler; // the server sends a Response that it returns
  return layers.reduceRight<Handler>((inner, { prefix, middleware }) => {
    const hasItsParams = prefix.names.length === 0 || (route !== null && sharesParams(prefix, route));
    return onion(hasItsParams ? middleware : withParamsOf(prefix, middleware), inner);
  }, sending(handler));
}

/**
 * A handler whose Response is sent when the handler returns it. So it is on its way when `next()` has returned or its promise is resolved, as
 * that of a handler which writes it, and no middleware has to pass it on.
 */
function sending(handler: Handler): Handler {
  return (request, response) => sendReturned(handler(request, response), request, response) ?? undefined;
}

function onion(middleware: Middleware, inner: Handler): Handler {
  return (request, response) => {
    let isCalled = false;
    let pending: Promise<void> | null = null;
    /** The middleware has returned and its promise is settled, so a later call of next() comes from a callback. */
    let isOver = false;
    const next = () => {
      if (isCalled) throw new Error('a middleware called next() twice');
      isCalled = true;
      if (isOver) return runLate(inner, request, response);
      pending = promiseOf(inner(request, response));
      if (pending !== null) markHandled(pending); // `both` awaits it later
      return pending ?? undefined;
    };
    const returned = middleware(request, response, next);
    const done = isResponse(returned) ? sendResponse(returned, request, response) : promiseOf<unknown>(returned);
    if (done === null || done === pending) {
      isOver = true;
      return pending ?? undefined;
    }
    // Awaits the handler too: a middleware may not await next(), and the exchange must not end before its handler.
    const both = async () => {
      try {
        const value = await done;
        if (isResponse(value)) await sendResponse(value, request, response);
      } finally {
        isOver = true;
      }
      try {
        await pending;
      } catch (error) {
        // The middleware may have caught this error and sent a response.
        if (!response.hasBegun) throw error;
      }
    };
    return both();
  };
}

/**
 * For a middleware that calls next() from a timer or from a callback of a database. No caller would catch an exception or a rejection
 * there, and malformed JSON of one client could end the process. So the error goes to the response.
 */
async function runLate(inner: Handler, request: HttpRequest, response: ResponseWriter): Promise<void> {
  try {
    await inner(request, response);
  } catch (error) {
    response.fail(error);
  }
}

/** Sets the params of the prefix while the middleware runs, and those of the route while `next` runs. */
function withParamsOf(prefix: RoutePattern, middleware: Middleware): Middleware {
  return (request, response, next) => {
    const ofRoute = request.params;
    const own = { ...ofRoute };
    const names = decodePath(request.path).split('/');
    for (const [i, segment] of prefix.segments.entries()) {
      if (segment.kind === 'param') own[segment.name] = decodedName(names[i + 1] as string);
    }
    request.params = own;
    return middleware(request, response, () => {
      request.params = ofRoute;
      const done = promiseOf(next());
      const restore = () => {
        request.params = own;
      };
      if (done === null) restore();
      else done.then(restore, restore); // `finally` would return a second promise that rejects, with no handler
      return done ?? undefined;
    });
  };
}
