/**
 * Handler: the seam between the protocol and the program. A handler gets a request and writes a response.
 *
 * A route, a router and a middleware around a router all have this shape. A handler may return a promise; if it does not, the server
 * creates no promise for it.
 *
 * Next: error-answer.ts
 */

import type { HttpRequest } from './request/http-request.ts';
import type { ResponseWriter } from './response/response-writer.ts';

export type { HttpRequest, ResponseWriter };

export type Handler<Params = Readonly<Record<string, string>>> = (
  request: HttpRequest<Params>,
  response: ResponseWriter,
) => void | Promise<void>;

/**
 * Answers an error that a handler or a middleware has thrown. The status is set: that of an HttpError, else 500. Headers that middleware has set are kept, but for
 * those that describe the content. If it does not begin a response, the error goes on.
 *
 *     router.onError((error, request, response) => response.html(pageFor(error, request.path)));
 */
export type ErrorHandler<Params = Readonly<Record<string, string>>> = (
  error: unknown,
  request: HttpRequest<Params>,
  response: ResponseWriter,
) => void | Promise<void>;

/** Calls the next middleware, or the handler. Call it at most once, and return or await its result. */
export type Next = () => void | Promise<void>;

export type Middleware<Params = Readonly<Record<string, string>>> = (
  request: HttpRequest<Params>,
  response: ResponseWriter,
  next: Next,
) => void | Promise<void>;
