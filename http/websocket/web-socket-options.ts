/**
 * WebSocketOptions: what `webSocket` takes, with its defaults, checked before anything is served.
 *
 * Next: partial-memory.ts
 */

import { isToken } from '../grammar.ts';
import type { HttpRequest } from '../handler.ts';
import { checkOptionNames, described } from '../nearest-name.ts';
import { type CompressionOptions, checkCompression } from './compression.ts';

/**
 * Whose pages may connect: those of the same host (`same`), any (`*`), those of the listed origins, or those for which a function returns true.
 *
 * ```ts
 * import { type WebSocketOrigins, webSocket } from 'simplenet/http';
 *
 * const ours: WebSocketOrigins = ['https://shop.example', 'https://www.shop.example'];
 * webSocket({ message: (ws, data) => ws.send(data) }, { origins: ours });
 * ```
 */
export type WebSocketOrigins =
  | 'same'
  | '*'
  | readonly string[]
  | ((origin: string, request: HttpRequest<unknown>) => boolean);

/**
 * The options of `webSocket`.
 *
 * ```ts
 * import { type WebSocketOptions, webSocket } from 'simplenet/http';
 *
 * const options: WebSocketOptions = { maxMessageBytes: 64 * 1024, whenFull: 'drop', subprotocols: ['chat.v2', 'chat.v1'] };
 * webSocket({ message: (ws, data) => ws.send(data) }, options);
 * ```
 */
export interface WebSocketOptions {
  /** A longer message closes the connection with 1009: 1 MiB unless given. A message that has come in part takes so much memory at most. */
  readonly maxMessageBytes?: number | undefined;
  /**
   * What all connections of the endpoint together keep of messages that have come in part: 256 MiB unless given. Above it the oldest of these messages closes its
   * connection with 1013. Those that wait to be decompressed may take half of it, and the newest is refused.
   */
  readonly maxPartialBytes?: number | undefined;
  /** How much may wait for a client that reads slowly: 1 MiB unless given, 16 MiB at most. One message is always taken if nothing waits. */
  readonly maxQueuedBytes?: number | undefined;
  /** What happens to a message above it. `close`, the default: the connection is cut. `drop`: the message is left out, and the others go on. */
  readonly whenFull?: 'drop' | 'close' | undefined;
  /** A client from which nothing has come for half of it gets a ping, and is cut if nothing has come for all of it: 120 s unless given. Infinity: never. */
  readonly idleTimeoutMs?: number | undefined;
  /** The subprotocols that are spoken here, the best first: the first one that the client offers is chosen. */
  readonly subprotocols?: readonly string[] | undefined;
  /**
   * Whose pages may connect: `same` unless given, those whose Origin has the host of the request. A browser lets any page open a WebSocket to any server, with the
   * cookies of its user; only the server can refuse it. A client without Origin is not a browser, and is not asked.
   */
  readonly origins?: WebSocketOrigins | undefined;
  /** Compresses messages for clients that offer permessage-deflate (RFC 7692). Off unless given: read `CompressionOptions` first. True: with its defaults. */
  readonly compression?: boolean | CompressionOptions | undefined;
}

const optionNames: { readonly [Name in keyof Required<WebSocketOptions>]: true } = {
  maxMessageBytes: true,
  maxPartialBytes: true,
  maxQueuedBytes: true,
  whenFull: true,
  idleTimeoutMs: true,
  subprotocols: true,
  origins: true,
  compression: true,
};

/** The options, with their defaults. */
export interface WebSocketSettings {
  readonly maxMessageBytes: number;
  readonly maxPartialBytes: number;
  readonly maxQueuedBytes: number;
  readonly whenFull: 'drop' | 'close';
  readonly idleTimeoutMs: number;
  readonly subprotocols: readonly string[];
  readonly origins: WebSocketOrigins;
  readonly compression: boolean | CompressionOptions;
}

const MIB = 1024 * 1024;

/** A buffer of V8 may be longer; a text may not. */
const MAX_MESSAGE_BYTES = 256 * MIB;

/** Above `maxQueuedBytes` of its loop a stream ends by itself. */
const MAX_QUEUED_BYTES = 16 * MIB;

const MIN_IDLE_MS = 100;
const MAX_IDLE_MS = 86_400_000;

export const defaultWebSocketSettings: WebSocketSettings = {
  maxMessageBytes: MIB,
  maxPartialBytes: 256 * MIB,
  maxQueuedBytes: MIB,
  whenFull: 'close',
  idleTimeoutMs: 120_000,
  subprotocols: [],
  origins: 'same',
  compression: false,
};

/** Returns the options with their defaults. Throws for a misspelt name and for a value that makes no sense. */
export function webSocketSettings(options: WebSocketOptions): WebSocketSettings {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(
      `the options of webSocket must be an object such as { idleTimeoutMs: 60_000 }, not ${described(options)}`,
    );
  }
  checkOptionNames('webSocket', options, optionNames);
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const settings = { ...defaultWebSocketSettings, ...(Object.fromEntries(given) as Partial<WebSocketSettings>) };
  mustBeWithin('maxMessageBytes', settings.maxMessageBytes, 1, MAX_MESSAGE_BYTES);
  mustBeWithin('maxPartialBytes', settings.maxPartialBytes, 1, Number.MAX_SAFE_INTEGER);
  mustBeWithin('maxQueuedBytes', settings.maxQueuedBytes, 1, MAX_QUEUED_BYTES);
  if (settings.idleTimeoutMs !== Number.POSITIVE_INFINITY) {
    mustBeWithin('idleTimeoutMs', settings.idleTimeoutMs, MIN_IDLE_MS, MAX_IDLE_MS);
  }
  if (settings.whenFull !== 'drop' && settings.whenFull !== 'close') {
    throw new TypeError(`whenFull of webSocket must be 'drop' or 'close', not ${described(settings.whenFull)}`);
  }
  checkSubprotocols(settings.subprotocols);
  checkOrigins(settings.origins);
  if (typeof settings.compression !== 'boolean') checkCompression(settings.compression);
  return settings;
}

function mustBeWithin(name: string, value: unknown, min: number, max: number): void {
  if (Number.isInteger(value) && (value as number) >= min && (value as number) <= max) return;
  throw new RangeError(`${name} of webSocket must be a whole number from ${min} to ${max}, not ${described(value)}`);
}

function checkSubprotocols(given: unknown): void {
  if (!Array.isArray(given)) throw new TypeError(`subprotocols of webSocket must be an array, not ${described(given)}`);
  for (const name of given as readonly unknown[]) {
    if (typeof name !== 'string' || !isToken(name)) {
      throw new TypeError(`${described(name)} cannot name a subprotocol of webSocket`);
    }
  }
}

function checkOrigins(given: unknown): void {
  if (given === 'same' || given === '*' || typeof given === 'function') return;
  if (!Array.isArray(given)) {
    throw new TypeError(`origins of webSocket must be 'same', '*', a list or a function, not ${described(given)}`);
  }
  for (const origin of given as readonly unknown[]) {
    if (typeof origin !== 'string' || !URL.canParse(origin) || new URL(origin).origin !== origin) {
      throw new TypeError(`an origin of webSocket looks like 'https://shop.example', not like ${described(origin)}`);
    }
  }
}
