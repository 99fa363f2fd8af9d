/**
 * ContextWebSocket: a connection with the interface of the platform (the WebSocket of browsers), for the Fetch side.
 *
 *     CONNECTING --the 101 is sent--> OPEN --close()--> CLOSING --> CLOSED
 *
 * It is a translation and has no protocol of its own: events instead of callbacks, Blob or ArrayBuffer instead of Buffer, and `bufferedAmount`
 * instead of drain. `open` comes after the code that has made the socket, so that code can still set its listeners. A handshake that was refused is a
 * socket that fails: `error` and `close` with 1006, as in a browser.
 *
 * A listener that throws or rejects fails as a callback of `webSocket` does: onError gets the error, and the connection is closed with 1011. EventTarget
 * alone would end the process, and it still does for a socket that never had a connection, because no connection can report the error.
 *
 * Next: ../connection/phase.ts
 */

import type { HttpRequest, ResponseWriter } from '../handler.ts';
import { ABNORMAL_CLOSURE, MAX_REASON_BYTES, NORMAL_CLOSURE } from './close-code.ts';
import { PartialMemory } from './partial-memory.ts';
import type { ServerWebSocket } from './server-web-socket.ts';
import { Topics } from './topics.ts';
import type { WebSocketEndpoint, WebSocketEvents } from './web-socket-endpoint.ts';
import { openSocket, refuse } from './web-socket-handler.ts';
import { defaultWebSocketSettings, webSocketSettings } from './web-socket-options.ts';

const CONNECTING = 0;
const OPEN = 1;
const CLOSING = 2;
const CLOSED = 3;

const FIRST_OF_PROGRAMS = 3_000;
const LAST_OF_PROGRAMS = 4_999;

/** A program of this interface looks at `bufferedAmount`, and not at what `send` returns: it may queue more than others before it is cut. */
const MAX_BUFFERED_BYTES = 16 * 1024 * 1024;

type Listener = ((event: Event) => unknown) | null;
type AddArguments = Parameters<EventTarget['addEventListener']>;
type RemoveArguments = Parameters<EventTarget['removeEventListener']>;
type AnyListener = AddArguments[1];

/**
 * The end of a WebSocket: `close` of a ContextWebSocket.
 *
 * ```ts
 * import type { SocketCloseEvent } from 'simplenet/http';
 *
 * const log = (event: Event) => console.log((event as SocketCloseEvent).code, (event as SocketCloseEvent).reason);
 * ```
 */
export class SocketCloseEvent extends Event {
  /** The code of the client: 1005 if it gave none, 1006 if there was no close frame. */
  readonly code: number;
  /** The reason that the client gave. */
  readonly reason: string;
  /** Whether a close frame has come. */
  readonly wasClean: boolean;

  /** The socket makes it. */
  constructor(code: number, reason: string) {
    super('close');
    this.code = code;
    this.reason = reason;
    this.wasClean = code !== ABNORMAL_CLOSURE;
  }
}

/**
 * What `ctx.upgradeWebSocket` returns: the standard interface of WebSocket.
 *
 * ```ts
 * import { type ConnectContext, type ContextWebSocket, PROTOCOL_MARKER, serve } from 'simplenet/http';
 *
 * serve({
 *   [PROTOCOL_MARKER]: 1,
 *   fetch: () => new Response('a WebSocket lives here\n'),
 *   connect(ctx: ConnectContext) {
 *     const socket: ContextWebSocket = ctx.upgradeWebSocket({ protocol: ['echo'] });
 *     socket.onmessage = ({ data }) => socket.send(data);
 *     return undefined;
 *   },
 * });
 * ```
 */
export class ContextWebSocket extends EventTarget {
  /** The states, as numbers. */
  static readonly CONNECTING = CONNECTING;
  /** Messages go both ways. */
  static readonly OPEN = OPEN;
  /** `close` has been called. */
  static readonly CLOSING = CLOSING;
  /** Nothing goes any way. */
  static readonly CLOSED = CLOSED;
  /** The states, as numbers. */
  readonly CONNECTING = CONNECTING;
  /** Messages go both ways. */
  readonly OPEN = OPEN;
  /** `close` has been called. */
  readonly CLOSING = CLOSING;
  /** Nothing goes any way. */
  readonly CLOSED = CLOSED;
  /** The URL that the client has asked for, with the scheme ws. */
  readonly url: string;
  /** What bytes are in an event: `blob` unless set to `arraybuffer`. */
  binaryType: 'blob' | 'arraybuffer' = 'blob';
  #socket: ServerWebSocket<unknown> | null = null;
  #state = CONNECTING;
  /** The state is CONNECTING, and `close` has been called. */
  #closesAtOpen = false;
  /** The connection, also when it is over: it reports what listeners throw. */
  #opened: ServerWebSocket<unknown> | null = null;
  readonly #attributes = new Map<string, Listener>();
  /** What EventTarget calls instead of a listener of the program. */
  readonly #guards = new WeakMap<object, (event: Event) => void>();
  /** Messages wait for a Blob that is being read. */
  #sending: Promise<void> | null = null;
  #sendingBytes = 0;

  /** The server makes it. */
  constructor(url: string) {
    super();
    this.url = url.replace(/^http/, 'ws');
  }

  /** @internal The 101 is sent. */
  attach(socket: ServerWebSocket<unknown>): void {
    this.#socket = socket;
    this.#opened = socket;
    queueMicrotask(() => {
      /* c8 ignore next -- the connection has broken before its first turn. */
      if (this.#state !== CONNECTING) return;
      this.#state = OPEN;
      this.dispatchEvent(new Event('open'));
      if (this.#closesAtOpen) this.close();
    });
  }

  /** @internal There is no connection. */
  fail(): void {
    queueMicrotask(() => {
      this.#state = CLOSING;
      this.dispatchEvent(new Event('error'));
      this.closed(ABNORMAL_CLOSURE, '');
    });
  }

  /** @internal A message has come. */
  received(data: string | Buffer): void {
    /* c8 ignore next -- a message that has come before the socket was open, or behind its close. */
    if (this.#state !== OPEN) return;
    this.dispatchEvent(new MessageEvent('message', { data: typeof data === 'string' ? data : this.#bytesOf(data) }));
  }

  /** @internal The connection is over. */
  closed(code: number, reason: string): void {
    this.#state = CLOSED;
    this.#socket = null;
    this.dispatchEvent(new SocketCloseEvent(code, reason));
  }

  /** @internal The program has failed before it has done its work. */
  destroy(): void {
    this.#socket?.terminate();
  }

  /** @internal */
  override addEventListener(type: AddArguments[0], listener: AnyListener, options?: AddArguments[2]): void {
    super.addEventListener(type, this.#guarded(listener), options);
  }

  /** @internal */
  override removeEventListener(type: RemoveArguments[0], listener: AnyListener, options?: RemoveArguments[2]): void {
    super.removeEventListener(type, this.#guarded(listener), options);
  }

  /** CONNECTING, OPEN, CLOSING or CLOSED. */
  get readyState(): number {
    return this.#state;
  }

  /** How many bytes wait for the client. Above 16 MiB the connection is cut. */
  get bufferedAmount(): number {
    return this.#sendingBytes + (this.#socket?.queuedBytes ?? 0);
  }

  /** The subprotocol that was chosen; '' if there is none. */
  get protocol(): string {
    return this.#socket?.protocol ?? '';
  }

  /** The extensions in use: none. */
  get extensions(): string {
    return '';
  }

  /** Called with the event `open`. */
  get onopen(): Listener {
    return this.#attribute('open');
  }
  /** Null removes it. */
  set onopen(listener: Listener) {
    this.#setAttribute('open', listener);
  }

  /** Called with each message: `data` is a string, a Blob or an ArrayBuffer. */
  get onmessage(): ((event: MessageEvent) => unknown) | null {
    return this.#attribute('message') as ((event: MessageEvent) => unknown) | null;
  }
  /** Null removes it. */
  set onmessage(listener: ((event: MessageEvent) => unknown) | null) {
    this.#setAttribute('message', listener as Listener);
  }

  /** Called if the connection could not be made. */
  get onerror(): Listener {
    return this.#attribute('error');
  }
  /** Null removes it. */
  set onerror(listener: Listener) {
    this.#setAttribute('error', listener);
  }

  /** Called at the end. */
  get onclose(): ((event: SocketCloseEvent) => unknown) | null {
    return this.#attribute('close') as ((event: SocketCloseEvent) => unknown) | null;
  }
  /** Null removes it. */
  set onclose(listener: ((event: SocketCloseEvent) => unknown) | null) {
    this.#setAttribute('close', listener as Listener);
  }

  /** Sends a message: a string as text, all else as binary. Throws before `open`; after the end it does nothing. */
  send(data: string | ArrayBuffer | ArrayBufferView | Blob): void {
    if (this.#state === CONNECTING) throw new DOMException('the WebSocket is not open yet', 'InvalidStateError');
    if (this.#state !== OPEN) return;
    if (this.#sending === null && !(data instanceof Blob)) this.#socket?.send(sendable(data));
    else this.#sendLater(data instanceof Blob ? data : copied(data));
  }

  /** Closes, with a code of 3000 to 4999, 1000, or none, and a reason of at most 123 bytes. */
  close(code?: number, reason = ''): void {
    if (code !== undefined && code !== NORMAL_CLOSURE && !(code >= FIRST_OF_PROGRAMS && code <= LAST_OF_PROGRAMS)) {
      throw new DOMException(`${code} is not 1000 and not from 3000 to 4999`, 'InvalidAccessError');
    }
    if (Buffer.byteLength(reason) > MAX_REASON_BYTES) {
      throw new DOMException(`a close reason has at most ${MAX_REASON_BYTES} bytes`, 'SyntaxError');
    }
    if (this.#state === CONNECTING) this.#closesAtOpen = true;
    if (this.#state !== OPEN) return;
    this.#state = CLOSING;
    const end = () => this.#socket?.close(code, reason);
    if (this.#sending === null) end();
    else void this.#sending.then(end);
  }

  #sendLater(data: string | Uint8Array | Blob): void {
    const length = data instanceof Blob ? data.size : Buffer.byteLength(data);
    this.#sendingBytes += length;
    const before = this.#sending;
    const sending = this.#sendAfter(before, data, length).then(() => {
      if (this.#sending === sending) this.#sending = null;
    });
    this.#sending = sending;
  }

  async #sendAfter(before: Promise<void> | null, data: string | Uint8Array | Blob, length: number): Promise<void> {
    await before;
    const bytes = data instanceof Blob ? await data.arrayBuffer() : data;
    this.#sendingBytes -= length;
    this.#socket?.send(bytes);
  }

  #bytesOf(data: Buffer): Blob | ArrayBuffer {
    const bytes = new Uint8Array(data); // memory of its own
    return this.binaryType === 'blob' ? new Blob([bytes]) : bytes.buffer;
  }

  /** Returns the same function for the same listener, as EventTarget needs it. What is not a listener is left to EventTarget. */
  #guarded(listener: AnyListener): AnyListener {
    if (typeof listener !== 'function' && (typeof listener !== 'object' || listener === null)) return listener;
    let guard = this.#guards.get(listener);
    if (guard === undefined) {
      guard = (event) => {
        const call = () => (typeof listener === 'function' ? listener.call(this, event) : listener.handleEvent(event));
        if (this.#opened === null) call();
        else this.#opened.runInScope(call);
      };
      this.#guards.set(listener, guard);
    }
    return guard;
  }

  #attribute(type: string): Listener {
    return this.#attributes.get(type) ?? null;
  }

  /** An attribute keeps the place that it had among the listeners when it was first set. */
  #setAttribute(type: string, listener: Listener): void {
    if (!this.#attributes.has(type)) {
      this.addEventListener(type, (event) => {
        const current = this.#attributes.get(type);
        return typeof current === 'function' ? current.call(this, event) : undefined;
      });
    }
    this.#attributes.set(type, typeof listener === 'function' ? listener : null);
  }
}

function sendable(data: string | ArrayBuffer | ArrayBufferView): string | Uint8Array {
  if (typeof data === 'string') return data;
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return new Uint8Array(data);
}

function copied(data: string | ArrayBuffer | ArrayBufferView): string | Uint8Array {
  const given = sendable(data);
  return typeof given === 'string' ? given : Uint8Array.from(given);
}

const events: WebSocketEvents = {
  message: (ws, data) => (ws.data as ContextWebSocket).received(data),
  close: (ws, code, reason) => (ws.data as ContextWebSocket).closed(code, reason),
};

/** Each socket has an endpoint of its own; this they share. */
const partial = new PartialMemory(defaultWebSocketSettings.maxPartialBytes);

/** Answers the request with 101, or with what is wrong with it. Returns the socket in either case. */
export function openContextSocket(
  request: HttpRequest,
  response: ResponseWriter,
  subprotocols: readonly string[],
): ContextWebSocket {
  const settings = webSocketSettings({ subprotocols, maxQueuedBytes: MAX_BUFFERED_BYTES, origins: '*' });
  const endpoint: WebSocketEndpoint = { settings, extension: null, topics: new Topics(), partial, events };
  const socket = new ContextWebSocket(request.url);
  if (refuse(request, response, settings)) socket.fail();
  else {
    const opened = openSocket(endpoint, request, response, socket, (ws) =>
      socket.attach(ws as ServerWebSocket<unknown>),
    );
    /* c8 ignore next -- the connection ends for a reason of the server, such as a limit, and the client is still there. */
    if (opened === null) socket.fail();
  }
  return socket;
}
