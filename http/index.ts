/**
 * simplenet/http: an HTTP/1.1 server, written by hand. A program imports from this file only.
 *
 * Next: ../server.ts
 */

export type { ErrorHandler, Handler, Middleware, Next } from './handler.ts';
export { ClientGoneError, HttpError } from './http-error.ts';
export { defaultLimits, defaultTimeouts, type Limits, type Timeouts } from './limits.ts';
export { HeaderList } from './request/header-list.ts';
export type { HttpRequest, Outcome } from './request/http-request.ts';
export type { RequestBody } from './request/request-body.ts';
export type { ResponseWriter } from './response/response-writer.ts';
export type { RouteLimits } from './route-limits.ts';
export { limit } from './router/limit.ts';
export { type RouteOptions, Router } from './router/router.ts';
export {
  type CloseOptions,
  type HalfClose,
  type HandlerSource,
  type OnError,
  type ServeOptions,
  type Server,
  serve,
} from './serve.ts';
