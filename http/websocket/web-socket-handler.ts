/**
 * webSocket: makes a Handler that turns a request into a WebSocket: handshake, `upgrade` of the program, and the connection itself.
 *
 *     request --refusalOfHandshake, origin--> upgrade(request) --response.upgrade--> ServerWebSocket --open(ws, request)-->
 *
 * `upgrade` may refuse: by an HttpError, as everywhere, or by a `Response`. What else it returns is `ws.data`. It may be asynchronous; the client waits.
 *
 * Next: context-web-socket.ts
 */

import type { Stream } from '../../simplenet/index.ts';
import type { Handler, HttpRequest, ResponseWriter } from '../handler.ts';
import { HttpError } from '../http-error.ts';
import { checkOptionNames, described } from '../nearest-name.ts';
import { decided, promiseOf } from '../promises.ts';
import { compressionOf } from './compression.ts';
import {
  acceptOf,
  chooseSubprotocol,
  type HandshakeRequest,
  isSameHost,
  parseExtensions,
  refusalOfHandshake,
} from './handshake.ts';
import type { MessageExtension } from './message-transform.ts';
import { PartialMemory } from './partial-memory.ts';
import { payloadOf, ServerWebSocket } from './server-web-socket.ts';
import { SharedMessage } from './shared-message.ts';
import { topicsOfWorkers } from './topics.ts';
import type { WebSocketEndpoint, WebSocketEvents } from './web-socket-endpoint.ts';
import { type WebSocketOptions, type WebSocketSettings, webSocketSettings } from './web-socket-options.ts';

const FORBIDDEN = 403;

/**
 * What a program does with the connections of an endpoint. Every callback may be async: its error is handled, and the next callback does not wait for it. An error goes to
 * `onError` of the server and closes the connection with 1011.
 *
 * ```ts
 * import { HttpError, Router, webSocket, type WebSocketCallbacks } from 'simplenet/http';
 *
 * const callbacks: WebSocketCallbacks<{ user: string }> = {
 *   upgrade(request) {
 *     const user = request.cookies.get('user');
 *     if (user === undefined) throw new HttpError(401, 'who are you?');
 *     return { user };
 *   },
 *   message: (ws, data) => ws.send(`${ws.data.user}: ${data}`),
 * };
 * new Router().get('/echo', webSocket(callbacks));
 * ```
 */
export interface WebSocketCallbacks<Data = undefined, Params = Readonly<Record<string, string>>> {
  /**
   * Called before the connection becomes a WebSocket. What it returns is `ws.data`. It refuses by throwing an HttpError, or by returning a Response. Put it before the
   * other callbacks, so that the compiler knows the type of `ws.data` in them.
   */
  upgrade?(request: HttpRequest<Params>): Data | Response | Promise<Data | Response>;
  /** The connection is open. It may send. The request stays valid; keep it only if you need it, because it takes memory. */
  open?(ws: ServerWebSocket<Data>, request: HttpRequest<Params>): unknown;
  /** A message: text is a string, binary a Buffer. The Buffer belongs to the program, which may keep it. */
  message?(ws: ServerWebSocket<Data>, data: string | Buffer): unknown;
  /** All that waited has been sent, after `send` had returned false. */
  drain?(ws: ServerWebSocket<Data>): unknown;
  /** The client has answered a ping. */
  pong?(ws: ServerWebSocket<Data>, data: Buffer): unknown;
  /** The connection is closed: 1005 if the client gave no code, 1006 if it left without a close frame, or was cut. Called once for each `open`. */
  close?(ws: ServerWebSocket<Data>, code: number, reason: string): unknown;
}

const callbackNames: { readonly [Name in keyof Required<WebSocketCallbacks>]: true } = {
  upgrade: true,
  open: true,
  message: true,
  drain: true,
  pong: true,
  close: true,
};

/**
 * A handler for a route, which also publishes to the connections that it has opened, in this process and in other workers.
 *
 * ```ts
 * import { Router, webSocket, type WebSocketHandler } from 'simplenet/http';
 *
 * const news: WebSocketHandler = webSocket({ open: (ws) => ws.subscribe('all') });
 * new Router().get('/news', news).post('/news', async (request, response) => {
 *   response.json({ readers: news.publish('all', await request.text()) });
 * });
 * ```
 */
export interface WebSocketHandler<Params = Readonly<Record<string, string>>> extends Handler<Params> {
  /** Sends a message to all who have subscribed the topic, also in other workers. Returns how many they are in this process. It is encoded once. */
  publish(topic: string, data: string | Uint8Array | ArrayBuffer): number;
  /** How many connections have subscribed the topic. */
  subscribers(topic: string): number;
}

/**
 * Returns a handler that opens WebSockets.
 *
 * ```ts
 * import { Router, serve, webSocket } from 'simplenet/http';
 *
 * const chat = webSocket({
 *   open: (ws) => ws.subscribe('room'),
 *   message: (_ws, data) => void chat.publish('room', data),
 * });
 * serve(new Router().get('/chat', chat), { port: 8080 });
 * ```
 */
export function webSocket<Data = undefined, Params = Readonly<Record<string, string>>>(
  callbacks: WebSocketCallbacks<Data, Params>,
  options: WebSocketOptions = {},
): WebSocketHandler<Params> {
  const settings = webSocketSettings(options);
  return webSocketWith(callbacks, settings, compressionOf(settings.compression));
}

/** As `webSocket`, with an extension. */
export function webSocketWith<Data, Params>(
  callbacks: WebSocketCallbacks<Data, Params>,
  settings: WebSocketSettings,
  extension: MessageExtension | null,
): WebSocketHandler<Params> {
  checkCallbacks(callbacks);
  const topics = topicsOfWorkers(extension);
  const events = callbacks as unknown as WebSocketEvents; // each connection of this endpoint has Data
  const partial = new PartialMemory(settings.maxPartialBytes);
  const endpoint: WebSocketEndpoint = { settings, extension, topics, partial, events };
  const handler: Handler<Params> = (request, response) => {
    if (refuse(request, response, settings)) return;
    const { upgrade } = callbacks;
    const result: unknown = upgrade === undefined ? undefined : upgrade.call(callbacks, request);
    const pending = promiseOf<unknown>(result);
    const accept = (data: unknown): undefined | Response => {
      if (data instanceof Response) return data;
      openSocket(endpoint, request, response, data as Data, (ws) => callbacks.open?.(ws, request));
      return undefined;
    };
    return pending === null ? accept(result) : pending.then(accept);
  };
  return Object.assign(handler, {
    publish: (topic: string, data: string | Uint8Array | ArrayBuffer) =>
      topics.publish(topic, new SharedMessage(payloadOf(data), extension), null),
    subscribers: (topic: string) => topics.subscribers(topic),
  });
}

/** Sends 101, and makes the connection. `open` is called in its context. Returns it, or null if the client has left meanwhile. */
export function openSocket<Data, Params>(
  endpoint: WebSocketEndpoint,
  request: HttpRequest<Params>,
  response: ResponseWriter,
  data: Data,
  open: (ws: ServerWebSocket<Data>) => unknown,
): ServerWebSocket<Data> | null {
  const { headers } = request;
  const { settings, extension } = endpoint;
  const protocol = chooseSubprotocol(headers.get('sec-websocket-protocol'), settings.subprotocols);
  const agreed = extension?.negotiate(parseExtensions(headers.get('sec-websocket-extensions'))) ?? null;
  response.header('Sec-WebSocket-Accept', acceptOf(headers.get('sec-websocket-key') as string));
  if (protocol !== '') response.header('Sec-WebSocket-Protocol', protocol);
  if (agreed !== null) response.header('Sec-WebSocket-Extensions', agreed.answer);
  let opened: ServerWebSocket<Data> | null = null;
  response.upgrade('websocket', (stream: Stream) => {
    const ws = new ServerWebSocket(endpoint, stream, response.webSocketCounts, data, protocol);
    if (agreed !== null) ws.useTransform(agreed.createTransform());
    opened = ws;
    ws.runInScope(() => open(ws));
    return ws;
  });
  return opened;
}

/** Answers a request that does not become a WebSocket. Returns whether it did. */
export function refuse<Params>(
  request: HttpRequest<Params>,
  response: ResponseWriter,
  settings: WebSocketSettings,
): boolean {
  const refusal = refusalOfHandshake(handshakeRequest(request));
  if (refusal !== null) {
    for (const [name, value] of Object.entries(refusal.fields)) response.header(name, value);
    response.status(refusal.status).text(`${refusal.message}\n`);
    return true;
  }
  const origin = request.headers.get('origin');
  if (origin !== null && !isAllowedOrigin(origin, request, settings)) {
    throw new HttpError(FORBIDDEN, `pages of ${origin} may not open this WebSocket`);
  }
  return false;
}

function handshakeRequest<Params>(request: HttpRequest<Params>): HandshakeRequest {
  const { method, httpVersion, authority } = request;
  return { method, httpVersion, authority, field: (name) => request.headers.get(name) };
}

function isAllowedOrigin<Params>(
  origin: string,
  request: HttpRequest<Params>,
  { origins }: WebSocketSettings,
): boolean {
  if (origins === '*') return true;
  if (origins === 'same') return isSameHost(origin, request.authority);
  if (typeof origins !== 'function') return origins.includes(origin);
  return decided(origins(origin, request as HttpRequest<unknown>), 'the function origins of webSocket');
}

function checkCallbacks(callbacks: object): void {
  if (typeof callbacks !== 'object' || callbacks === null) {
    throw new TypeError(`webSocket takes an object such as { message(ws, data) {} }, not ${described(callbacks)}`);
  }
  checkOptionNames('webSocket', callbacks, callbackNames);
  for (const [name, value] of Object.entries(callbacks)) {
    if (value !== undefined && typeof value !== 'function') {
      throw new TypeError(`${name} of webSocket must be a function, not ${described(value)}`);
    }
  }
}
