/**
 * Handler: the seam between the protocol and the program. A request comes in, an answer is written, nothing is returned.
 *
 * Everything above the connection has this one shape: a route, a router, a middleware around a router. A handler that
 * returns no promise is done when it returns, and none is made for it.
 *
 * Next: router/path.ts
 */

import type { HttpRequest } from './request/http-request.ts';
import type { ResponseWriter } from './response/response-writer.ts';

export type { HttpRequest, ResponseWriter };

export type Handler<Params = Readonly<Record<string, string>>> = (
  request: HttpRequest<Params>,
  response: ResponseWriter,
) => void | Promise<void>;

/** The rest of the way to the handler, once. Whoever does not return what it returns, awaits it. */
export type Next = () => void | Promise<void>;

export type Middleware<Params = Readonly<Record<string, string>>> = (
  request: HttpRequest<Params>,
  response: ResponseWriter,
  next: Next,
) => void | Promise<void>;
