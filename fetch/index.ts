/**
 * simplenet/fetch: the Fetch Server API that WinterTC drafts: `serve(handler, options)` by its names and to its letter.
 *
 * The draft has two layers. The handler model is part of simplenet/http, whose `serve` takes a marked object as well. This room has the
 * other layer: servers, listeners, their options and their end.
 *
 * Next: ../command/command-error.ts
 */

export {
  type Capsule,
  type CapsuleStream,
  type ConnectContext,
  type ContextAddress,
  type ContextAnswer,
  type ContextApp,
  type DatagramStream,
  type ErrorCode,
  FALL_THROUGH,
  FETCH_SERVER_DRAFT,
  PROTOCOL_MARKER,
  type ProtocolError,
  type RequestPriority,
  type ServerContext,
  type Tunnel,
} from '../http/index.ts';
export type { LimitOptions, ListenOptions, ServerOptions, TimeoutOptions, TlsOptions } from './listen-options.ts';
export type { Listener } from './listener.ts';
export { type Server, serve } from './server.ts';
