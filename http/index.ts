/**
 * simplenet/http: an HTTP/1.1 server, written by hand. A program imports from this file only.
 *
 * Next: ../server.ts
 */

export type { Handler, Middleware, Next, Returned } from './handler.ts';
export { fastResponse, useFastResponse } from './handlers/fast-response.ts';
export {
  type FetchAddress,
  type FetchFunction,
  type FetchHandlerOptions,
  type FetchInfo,
  fetchHandler,
} from './handlers/fetch-handler.ts';
export type { FetchApp, HandlerSource } from './handlers/handler-source.ts';
export { type InjectedAnswer, type InjectOptions, inject } from './handlers/inject.ts';
export { HttpError } from './http-error.ts';
export { defaultLimits, defaultTimeouts, type Limits, type Timeouts } from './limits.ts';
export { HeaderList } from './request/header-list.ts';
export type { HttpRequest } from './request/http-request.ts';
export type { RequestBody } from './request/request-body.ts';
export type { ResponseWriter } from './response/response-writer.ts';
export { Router } from './router/router.ts';
export { type CloseOptions, type ServeOptions, type Server, serve } from './serve.ts';
