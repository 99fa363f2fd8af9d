/**
 * Handler: the seam between the protocol and the program. A handler gets a request and writes a response.
 *
 * A handler may also return a `Response` of Fetch, so both styles can be mixed in one program.
 *
 * A route, a router and a middleware around a router all have this shape. A handler may return a promise; if it does not, the server
 * creates no promise for it.
 *
 * Next: error-answer.ts
 */

import type { HttpRequest } from './request/http-request.ts';
import type { ResponseWriter } from './response/response-writer.ts';

export type { HttpRequest, ResponseWriter };

/**
 * What a handler may return: nothing, if it writes its response, or a `Response` of Fetch, which is sent.
 *
 * ```ts
 * import { type HttpRequest, type Returned, Router } from 'simplenet/http';
 *
 * function greet(request: HttpRequest): Returned {
 *   return Response.json({ hello: request.query.get('name') });
 * }
 * new Router().get('/', greet);
 * ```
 */
export type Returned =
  // biome-ignore lint/suspicious/noConfusingVoidType: a handler without a return statement returns void, and its promise too.
  void | Response | Promise<void | Response>;

/**
 * What a program does with a request: it writes a response, now or later, or returns one. A promise that it returns is awaited, and its error is handled.
 *
 * ```ts
 * import { type Handler, Router } from 'simplenet/http';
 *
 * const greet: Handler<{ name: string }> = (request, response) => {
 *   response.text(`Hello, ${request.params.name}!\n`);
 * };
 * new Router().get('/hello/:name', greet);
 * ```
 */
export type Handler<Params = Readonly<Record<string, string>>> = (
  request: HttpRequest<Params>,
  response: ResponseWriter,
) => Returned;

/**
 * Answers an error that a handler or a middleware has thrown. The status is set: that of an HttpError, else 500. Headers that middleware has set are kept, but for
 * those that describe the content. If it does not begin a response, the error goes on.
 *
 * ```ts
 * import { type ErrorHandler, Router } from 'simplenet/http';
 *
 * const asPage: ErrorHandler = (_error, request, response) => response.html(`<p>Sorry: ${response.statusCode} for ${request.method}</p>`);
 * new Router().onError(asPage);
 * ```
 */
export type ErrorHandler<Params = Readonly<Record<string, string>>> = (
  error: unknown,
  request: HttpRequest<Params>,
  response: ResponseWriter,
) => Returned;

/**
 * Calls the next middleware, or the handler. Call it at most once, and return or await its result.
 *
 * ```ts
 * import type { HttpRequest, Next, ResponseWriter } from 'simplenet/http';
 *
 * async function timed(request: HttpRequest, _response: ResponseWriter, next: Next): Promise<void> {
 *   const startedAt = performance.now();
 *   await next();
 *   console.log(request.path, performance.now() - startedAt);
 * }
 * ```
 */
export type Next = () => void | Promise<void>;

/**
 * Code around handlers. It may respond itself, and then does not call `next`.
 *
 * ```ts
 * import { HttpError, type Middleware, Router } from 'simplenet/http';
 *
 * const onlyKnown: Middleware = (request, _response, next) => {
 *   if (!request.headers.has('authorization')) throw new HttpError(401, 'who are you?');
 *   return next();
 * };
 * new Router().use('/admin', onlyKnown);
 * ```
 */
export type Middleware<Params = Readonly<Record<string, string>>> = (
  request: HttpRequest<Params>,
  response: ResponseWriter,
  next: Next,
) => Returned;
