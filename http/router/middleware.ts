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
 * A middleware that returns a Response of Fetch has answered, as one that writes a response. A handler's is sent as soon as it is returned.
 *
 * Without a promise from a middleware or the handler, no promise is created.
 *
 * Next: router.ts
 */

import type { ErrorHandler, Handler, HttpRequest, Middleware, ResponseWriter, Returned } from '../handler.ts';
import { sendReturned } from '../handlers/send-response.ts';
import { HttpError, isClientGone } from '../http-error.ts';
import { markHandled, mistakenReturn, promiseOf } from '../promises.ts';
import { decodedName, decodePath } from './path.ts';
import { type RoutePattern, sharesParams } from './route-pattern.ts';
import type { Layer } from './route-tree.ts';

/** Returns the handler inside its middleware. `route` is the pattern that matched, or null if none did: then there are no params. */
export function wrap(layers: readonly Layer[], handler: Handler, route: RoutePattern | null): Handler {
  if (layers.length === 0) return handler; // the server sends a Response that it returns
  return layers.reduceRight<Handler>((inner, { prefix, middleware }) => {
    if (typeof middleware !== 'function')
      return middleware.onError === null ? inner : caught(middleware.onError, inner);
    const hasItsParams = prefix.names.length === 0 || (route !== null && sharesParams(prefix, route));
    return onion(hasItsParams ? middleware : withParamsOf(prefix, middleware), inner);
  }, sending(handler));
}

/**
 * A handler whose Response is sent when the handler returns it. So it is on its way when `next()` has returned or its promise is resolved, as
 * that of a handler which writes it, and no middleware has to pass it on.
 */
function sending(handler: Handler): Handler {
  return (request, response) => sendReturned(handler(request, response), request, response) as Returned;
}

function onion(middleware: Middleware, inner: Handler): Handler {
  return (request, response) => {
    let isCalled = false;
    let pending: Promise<unknown> | null = null;
    /** What the inner handler has returned: the exchange looks at it. */
    let result: unknown;
    /** The middleware has returned and its promise is settled, so a later call of next() comes from a callback. */
    let isOver = false;
    const next = () => {
      if (isCalled) throw new Error('a middleware called next() twice');
      isCalled = true;
      if (isOver) return runLate(inner, request, response);
      result = inner(request, response);
      pending = promiseOf(result);
      if (pending !== null) markHandled(pending); // `both` awaits it later
      return (pending ?? result) as void | Promise<void>;
    };
    const returned: unknown = middleware(request, response, next);
    const own = returned === pending ? returned : sendReturned(returned, request, response);
    const done = promiseOf<unknown>(own);
    if (done === null || done === pending) {
      isOver = true;
      return (pending ?? own ?? result) as Returned;
    }
    // Awaits the handler too: a middleware may not await next(), and the exchange must not end before its handler.
    const both = async (): Promise<unknown> => {
      let value: unknown;
      try {
        value = await done;
      } finally {
        isOver = true;
      }
      try {
        const inside = await (pending ?? result);
        value ??= inside;
      } catch (error) {
        // The middleware may have caught this error and sent a response, or returned one.
        if (!response.hasBegun && value === undefined) throw error;
      }
      return value;
    };
    return both() as Promise<void>;
  };
}

/**
 * For a middleware that calls next() from a timer or from a callback of a database. No caller would catch an exception or a rejection
 * there, and malformed JSON of one client could end the process. So the error goes to the response.
 */
async function runLate(inner: Handler, request: HttpRequest, response: ResponseWriter): Promise<void> {
  try {
    const value: unknown = await inner(request, response);
    const mistake = response.hasBegun ? null : mistakenReturn(value);
    if (mistake !== null) throw mistake;
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
      const result: unknown = next();
      const done = promiseOf(result);
      const restore = () => {
        request.params = own;
      };
      if (done === null) restore();
      else done.then(restore, restore); // `finally` would return a second promise that rejects, with no handler
      return (done ?? result) as void | Promise<void>;
    });
  };
}

/**
 * Calls a handler of errors for what is thrown inside. An error that it does not answer goes on, and so does one that it throws itself. A
 * client that has gone gets no answer.
 */
function caught(onError: ErrorHandler, inner: Handler): Handler {
  return (request, response) => {
    const answer = (error: unknown): Returned => {
      if (response.hasBegun || isClientGone(error)) throw error;
      response.restart();
      response.status(error instanceof HttpError ? error.status : 500);
      const result = sendReturned(onError(error, request, response), request, response);
      const done = promiseOf(result);
      const check = (value: unknown): unknown => {
        if (value === undefined && !response.hasBegun) throw error;
        return value;
      };
      return (done === null ? check(result) : done.then(check)) as Returned;
    };
    let result: unknown;
    try {
      result = inner(request, response);
    } catch (error) {
      return answer(error);
    }
    const done = promiseOf(result);
    return (done === null ? result : done.then(undefined, answer)) as Returned;
  };
}
