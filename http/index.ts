/**
 * simplenet/http: an HTTP/1.1 server, written by hand. A program imports from this file only.
 *
 * Next: ../server.ts
 */

export type { CookieOptions } from './content/set-cookie.ts';
export type { ErrorHandler, Handler, Middleware, Next, Returned } from './handler.ts';
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
export { ClientGoneError, HttpError } from './http-error.ts';
export { defaultLimits, defaultTimeouts, type Limits, type Timeouts } from './limits.ts';
export type { FormPart } from './request/form-part.ts';
export { HeaderList } from './request/header-list.ts';
export type { HttpRequest, MultipartOptions, Outcome } from './request/http-request.ts';
export type { RequestBody } from './request/request-body.ts';
export { type RequestState, StateKey } from './request/request-state.ts';
export type { BodyStage, TransformLike } from './response/body-transform.ts';
export type { BlobLike, BodyPieces, ReadableLike } from './response/piece-source.ts';
export type { FieldValue } from './response/response-fields.ts';
export type { BeforeHead, TransformFactory } from './response/response-hooks.ts';
export type { ResponseWriter } from './response/response-writer.ts';
export type { RouteLimits } from './route-limits.ts';
export { limit } from './router/limit.ts';
export { type RouteOptions, Router } from './router/router.ts';
export { type CloseOptions, type Server, serve } from './serve.ts';
export type { HalfClose, OnError, ServeOptions } from './serve-options.ts';
