/**
 * OwnProtocol: the handler of an upgraded stream that is not a stranger: WebSocket.
 *
 * Any program can take a stream over with `response.upgrade`. Then the connection binds each callback to an async context, and keeps the request, so that the program
 * can still read its signals: some 2 KB for each stream. A protocol of ours has contexts of its own and is told by a call when the server stops, so the connection
 * gives the stream to it as it is, and an UpgradedConnection takes its place in the server.
 *
 * Next: websocket/close-code.ts
 */

import type { StreamHandler } from '../simplenet/index.ts';

/** What a stream that has been upgraded can ask of its server. */
export interface UpgradeHost {
  /** Calls `onError` of the program. */
  report(error: unknown): unknown;
  /** The stream is closed. */
  closed(): void;
}

export interface OwnProtocol extends StreamHandler {
  readonly isOwnProtocol: true;
  /** The stream has been handed over. Comes before any byte. */
  handedOver(host: UpgradeHost): void;
  /** The server begins to stop: says goodbye to the client. */
  serverStops(): void;
}

/** Whether the handler of an upgraded stream is a protocol of ours. */
export function isOwnProtocol(handler: StreamHandler): handler is OwnProtocol {
  return (handler as Partial<OwnProtocol> | undefined)?.isOwnProtocol === true;
}
