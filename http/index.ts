/**
 * simplenet/http: an HTTP/1.1 server by hand. Everything a program needs is named here.
 *
 * Next: ../server.ts
 */

export type { Handler, Middleware, Next } from './handler.ts';
export { HeaderList } from './header-list.ts';
export { HttpError } from './http-error.ts';
export type { HttpRequest } from './http-request.ts';
export { defaultLimits, defaultTimeouts, type Limits, type Timeouts } from './limits.ts';
export type { RequestBody } from './request-body.ts';
export type { ResponseWriter } from './response-writer.ts';
export { Router } from './router.ts';
export { type CloseOptions, type HandlerSource, type ServeOptions, type Server, serve } from './serve.ts';
