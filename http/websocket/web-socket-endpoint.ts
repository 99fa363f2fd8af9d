/**
 * WebSocketEndpoint: what all connections of one `webSocket(...)` share: its options, its topics, and the code of the program.
 *
 * Next: transform-lane.ts
 */

import type { MessageExtension } from './message-transform.ts';
import type { PartialMemory } from './partial-memory.ts';
import type { Topics } from './topics.ts';
import type { WebSocketSettings } from './web-socket-options.ts';

export interface WebSocketEndpoint {
  readonly settings: WebSocketSettings;
  readonly extension: MessageExtension | null;
  readonly topics: Topics;
  readonly partial: PartialMemory;
  readonly events: WebSocketEvents;
}

/** What a callback gets: a connection, of which only the program knows the type of `data`. */
interface EndpointSocket {
  readonly data: unknown;
}

/** The callbacks of the program, for connections with any data. */
export interface WebSocketEvents {
  message?(ws: EndpointSocket, data: string | Buffer): unknown;
  drain?(ws: EndpointSocket): unknown;
  pong?(ws: EndpointSocket, data: Buffer): unknown;
  close?(ws: EndpointSocket, code: number, reason: string): unknown;
}
