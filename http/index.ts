/**
 * simplenet/http: an HTTP/1.1 server, written by hand. A program imports from this file only.
 *
 * Next: ../fetch/listen-options.ts
 */

export type { ServerEvent } from './content/event-stream.ts';
export type { LogFormat } from './content/log-line.ts';
export type { RequestPriority } from './content/request-priority.ts';
export type { PolicyDirectives } from './content/security-policy.ts';
export type { CookieOptions } from './content/set-cookie.ts';
export { CookieSigner } from './content/signed-cookie.ts';
export type { ErrorHandler, Handler, Middleware, Next, Returned } from './handler.ts';
export { type AccessLog, type AccessLogOptions, accessLog } from './handlers/access-log.ts';
export type { CapsuleStream, DatagramStream } from './handlers/capsule-streams.ts';
export type { Capsule } from './handlers/capsules.ts';
export { type CompressOptions, compress } from './handlers/compression.ts';
export type { ConnectContext } from './handlers/connect-context.ts';
export type { ContextHost } from './handlers/context-exchange.ts';
export { type ContextAnswer, type ContextApp, contextHandler } from './handlers/context-handler.ts';
export { type AllowedOrigin, type CorsOptions, cors } from './handlers/cors.ts';
export { type EtagOptions, etag } from './handlers/etag.ts';
export { EventChannel } from './handlers/event-channel.ts';
export { fastResponse, useFastResponse } from './handlers/fast-response.ts';
export {
  type FetchAddress,
  type FetchFunction,
  type FetchHandlerOptions,
  type FetchInfo,
  fetchHandler,
} from './handlers/fetch-handler.ts';
export { FALL_THROUGH, FETCH_SERVER_DRAFT, isMarked, PROTOCOL_MARKER } from './handlers/fetch-server-draft.ts';
export type { FetchApp, HandlerSource } from './handlers/handler-source.ts';
export { type InjectedAnswer, type InjectOptions, inject } from './handlers/inject.ts';
export type { LogStream, LogTarget } from './handlers/log-sink.ts';
export type { ErrorCode, ProtocolError } from './handlers/protocol-error.ts';
export { type RateLimitOptions, rateLimit } from './handlers/rate-limit.ts';
export { REQUEST_ID, type RequestIdOptions, requestId } from './handlers/request-id.ts';
export { CSP_NONCE, type SecureHeadersOptions, secureHeaders } from './handlers/secure-headers.ts';
export type { ContextAddress, ServerContext } from './handlers/server-context.ts';
export {
  type SendFileOptions,
  type StaticFiles,
  type StaticFilesOptions,
  sendFile,
  staticFiles,
} from './handlers/static-files.ts';
export { TRACE, type Trace, type TraceContextOptions, traceContext } from './handlers/trace-context.ts';
export type { Tunnel } from './handlers/tunnel.ts';
export { upgradeWebSocket } from './handlers/upgrade-web-socket.ts';
export { ClientGoneError, HttpError } from './http-error.ts';
export { defaultLimits, defaultTimeouts, type Limits, type Timeouts } from './limits.ts';
export type { MetricsOptions } from './metrics/metrics-options.ts';
export { type PassedSocket, passedSockets } from './passed-sockets.ts';
export { Peers, peers, type ToldListener } from './peers.ts';
export type { FormPart } from './request/form-part.ts';
export { HeaderList } from './request/header-list.ts';
export type { HttpRequest, MultipartOptions, Outcome } from './request/http-request.ts';
export type { RequestBody } from './request/request-body.ts';
export { type RequestState, StateKey } from './request/request-state.ts';
export type { ForwardedField } from './request/trusted-proxies.ts';
export type { BodyStage, TransformLike } from './response/body-transform.ts';
export type { EventOptions, EventWriter } from './response/event-writer.ts';
export type { BlobLike, BodyPieces, ReadableLike } from './response/piece-source.ts';
export type { FieldValue } from './response/response-fields.ts';
export type { BeforeHead, TransformFactory } from './response/response-hooks.ts';
export type { ResponseWriter } from './response/response-writer.ts';
export type { RouteLimits } from './route-limits.ts';
export { limit } from './router/limit.ts';
export { type RouteOptions, Router } from './router/router.ts';
export { withMiddleware } from './router/with-middleware.ts';
export { type Server, serve } from './serve.ts';
export type { CloseOptions, HalfClose, OnError, ServeOptions, TrustProxyOptions } from './serve-options.ts';
export type { CompressionOptions } from './websocket/compression.ts';
export type { ContextWebSocket, SocketCloseEvent } from './websocket/context-web-socket.ts';
export type { ServerWebSocket } from './websocket/server-web-socket.ts';
export { type WebSocketCallbacks, type WebSocketHandler, webSocket } from './websocket/web-socket-handler.ts';
export type { WebSocketOptions, WebSocketOrigins } from './websocket/web-socket-options.ts';
export { HandOver, HandOverError, type Inheritance, takeOver } from './workers/hand-over.ts';
export { WorkerError, Workers } from './workers/supervisor.ts';
export { PREDECESSOR_CLOSE, type WorkersOptions } from './workers/worker-options.ts';
