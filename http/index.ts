/**
 * simplenet/http: an HTTP/1.1 server, written by hand. A program imports from this file only.
 *
 * Next: ../server.ts
 */

export type { CookieOptions } from './content/set-cookie.ts';
export type { Handler, Middleware, Next } from './handler.ts';
export { HttpError } from './http-error.ts';
export { defaultLimits, defaultTimeouts, type Limits, type Timeouts } from './limits.ts';
export type { FormPart } from './request/form-part.ts';
export { HeaderList } from './request/header-list.ts';
export type { HttpRequest, MultipartOptions } from './request/http-request.ts';
export type { RequestBody } from './request/request-body.ts';
export { type RequestState, StateKey } from './request/request-state.ts';
export type { BodyStage, TransformLike } from './response/body-transform.ts';
export type { BlobLike, BodyPieces, ReadableLike } from './response/piece-source.ts';
export type { FieldValue } from './response/response-fields.ts';
export type { BeforeHead, TransformFactory } from './response/response-hooks.ts';
export type { ResponseWriter } from './response/response-writer.ts';
export { Router } from './router/router.ts';
export { type CloseOptions, type HandlerSource, type Server, serve } from './serve.ts';
export type { ServeOptions } from './serve-options.ts';
