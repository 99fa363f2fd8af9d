/**
 * Handler: the seam between the protocol and the program. A handler gets a request and writes a response.
 *
 * A handler may also return a `Response` of Fetch, so both styles can be mixed in one program.
 *
 * A route, a router and a middleware around a router all have this shape. A handler may return a promise; if it does not, the server
 * creates no promise for it.
 *
 * Next: router/path.ts
 */

import type { HttpRequest } from './request/http-request.ts';
import type { ResponseWriter } from './response/response-writer.ts';

export type { HttpRequest, ResponseWriter };

/** What a handler may return: nothing, if it writes its response, or a `Response` of Fetch, which is sent. */
// biome-ignore lint/suspicious/noConfusingVoidType: a handler without a return statement returns void, and its promise too.
export type Returned = void | Response | Promise<void | Response>;

export type Handler<Params = Readonly<Record<string, string>>> = (
  request: HttpRequest<Params>,
  response: ResponseWriter,
) => Returned;

/** Calls the next middleware, or the handler. Call it at most once, and return or await its result. */
export type Next = () => void | Promise<void>;

export type Middleware<Params = Readonly<Record<string, string>>> = (
  request: HttpRequest<Params>,
  response: ResponseWriter,
  next: Next,
) => Returned;
