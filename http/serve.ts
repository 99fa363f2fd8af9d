/**
 * serve: a listening socket, the connections that it accepts, and their end. The only file in http/ that creates sockets.
 *
 * The address, each limit, each timeout and `onError` are options, and each has a default. One process can have several servers. `close`
 * stops a server with grace: it accepts the connections that the kernel has completed and no more, gives idle connections `idleGraceMs`
 * for a last request, completes the responses under way, and after a deadline ends the connections that are left.
 *
 * Next: index.ts
 */

import type {
  EventLoop,
  Listener,
  ListenOptions,
  MinimumProgress,
  OnConnection,
  SocketAddress,
  SystemError,
} from '../simplenet/index.ts';
import { type Backend, createEventLoop, NetSocket } from '../simplenet/index.ts';
import { Connection } from './connection/connection.ts';
import type { ConnectionContext, OpenConnection } from './connection/connection-context.ts';
import { type ContextFactory, createContextFactory } from './connection/context-factory.ts';
import type { Handler } from './handler.ts';
import { type HandlerSource, handlerOf } from './handlers/handler-source.ts';
import { type Limits, limitsFrom, type Timeouts, timeoutsFrom } from './limits.ts';
import { BodyMemory } from './request/body-memory.ts';
import { HeadParser } from './request/head-parser.ts';
import type { HttpRequest } from './request/http-request.ts';
import { DateField } from './response/date-field.ts';
import { HeadCache } from './response/head-cache.ts';
import { OutputBuffer } from './response/output-buffer.ts';

export interface ServeOptions {
  /** An IP address; the default is 127.0.0.1. `::` takes IPv4 as well. `localhost` is 127.0.0.1; no other name is accepted. */
  readonly host?: string;
  /** 0, the default, is any free port: `url` and `address` of the server say which. */
  readonly port?: number;
  /**
   * A Unix socket instead of host and port. The server removes the file when it stops. When it starts, it also removes the file of an
   * earlier server that does not listen any more. A path that begins with NUL is in the abstract namespace, and has no file.
   */
  readonly path?: string;
  /** A listening socket that is open already, for example from systemd. */
  readonly fd?: number;
  readonly limits?: Partial<Limits>;
  readonly timeouts?: Partial<Timeouts>;
  /**
   * Called with each error of a handler, except an HttpError below 500 and a disconnect of the client. Called without a request for
   * an error that ends this server, which then closes itself with grace. The default writes the error to standard error.
   */
  readonly onError?: (error: unknown, request: HttpRequest | null) => void;
  /** Stops the server, with grace, when it is aborted. */
  readonly signal?: AbortSignal;
  /** Which event loop the server uses: `epoll`, `io_uring` or `auto`. */
  readonly backend?: Backend;
  /** Socket options, and the `control` hook that gets the socket before it is bound. */
  readonly socket?: ListenOptions;
}

export interface CloseOptions {
  /** How long responses under way may take; the default is 10 s. */
  readonly graceMs?: number;
  /**
   * How long idle connections may still begin a request, and TCP handshakes under way may complete; the default is 100 ms. So a request
   * that was on its way when the server stopped gets a response.
   */
  readonly idleGraceMs?: number;
}

const DEFAULT_HOST = '127.0.0.1';
const DEFAULT_GRACE_MS = 10_000;
const DEFAULT_IDLE_GRACE_MS = 100;
const OUTPUT_BYTES = 65_536;

/** Unused parsers that are kept for the next incomplete head. */
const MAX_SPARE_PARSERS = 64;

/** Unused buffers that are kept for the next response that comes in pieces. */
const MAX_SPARE_OUTPUTS = 64;

/**
 * The servers of this thread. Responses lie in output buffers until a connection has used its input. A handler may write a response and
 * call process.exit within that turn. So these buffers are flushed at exit, before the exit hooks of the loops, which pass the bytes on
 * to the kernel.
 */
const servers = new Set<Server>();

function flushAll(): void {
  for (const server of servers) server.flush();
}

export class Server implements ConnectionContext {
  readonly handler: Handler;
  readonly limits: Limits;
  readonly timeouts: Timeouts;
  readonly minimumProgress: MinimumProgress | null;
  readonly output = new OutputBuffer(OUTPUT_BYTES);
  readonly headCache = new HeadCache(() => this.dateLine());
  /** Handlers and `onError` begin with the AsyncLocalStorage stores that `serve` was called with. */
  readonly createContext: ContextFactory = createContextFactory();
  readonly bodyMemory: BodyMemory;
  readonly address: SocketAddress;
  /** The address for a client: `http://127.0.0.1:8080`, or `unix:` and a path. */
  readonly url: string;

  readonly #date = new DateField(() => this.#loop.wallNow());
  readonly #loop: EventLoop;
  readonly #listener: Listener;
  readonly #connections = new Set<OpenConnection>();
  readonly #parsers: HeadParser[] = [];
  readonly #outputs: OutputBuffer[] = [];
  /** Promises that `waitUntil` was called with. Null until then. */
  #pending: Set<Promise<void>> | null = null;
  readonly #onError: (error: unknown, request: HttpRequest | null) => void;
  #lastConnectionAt = Number.NEGATIVE_INFINITY;
  #idleGraceMs = DEFAULT_IDLE_GRACE_MS;
  #isListening = true;
  #closed: Promise<void> | null = null;
  #whenEmpty: (() => void) | null = null;
  #forgetSignal = () => {};

  /** `createLoop` makes a loop for this server alone; the server closes it at its end. Tests pass a simulated loop. */
  constructor(source: HandlerSource, options: ServeOptions, createLoop: () => EventLoop) {
    this.handler = handlerOf(source);
    this.limits = limitsFrom(options.limits);
    this.timeouts = timeoutsFrom(options.timeouts);
    this.bodyMemory = new BodyMemory(this.limits.bodyMemoryBytes, this.timeouts.bodyWaitMs, (delayMs, callback) =>
      this.#loop.after(delayMs, callback),
    );
    this.minimumProgress = minimumProgressOf(this.timeouts);
    this.#onError = options.onError ?? ((error) => console.error(error));
    this.#loop = createLoop();
    try {
      this.#listener = this.#listen(options);
    } catch (error) {
      this.#loop.close();
      throw error;
    }
    if (servers.size === 0) process.prependListener('exit', flushAll);
    servers.add(this);
    this.address = this.#listener.address;
    this.url = urlOf(this.address);
    const { signal } = options;
    if (signal?.aborted === true) void this.close();
    else if (signal !== undefined) this.#stopWith(signal);
  }

  get isStopping(): boolean {
    return this.#closed !== null;
  }

  get idleGraceMs(): number {
    return this.#idleGraceMs;
  }

  get isTurnSpent(): boolean {
    return this.#loop.isTurnSpent;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Stops with grace. The promise resolves when the last connection is closed. A second call can only shorten `graceMs`. */
  close(options: CloseOptions = {}): Promise<void> {
    this.#closed ??= this.#stop(options.idleGraceMs ?? DEFAULT_IDLE_GRACE_MS);
    this.#abortAfter(options.graceMs ?? DEFAULT_GRACE_MS, this.#closed);
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Passes all response bytes written so far on to the loop, without waiting for the end of the turn. */
  flush(): void {
    this.output.flush();
    for (const connection of this.#connections) connection.flush();
  }

  // Called by the connections.

  activeNow(): number {
    return this.#loop.activeNow();
  }

  dateLine(): string {
    return this.#date.line(this.#loop.now());
  }

  borrowParser(): HeadParser {
    const parser = this.#parsers.pop() ?? new HeadParser(this.limits);
    parser.reset();
    return parser;
  }

  returnParser(parser: HeadParser): void {
    if (this.#parsers.length < MAX_SPARE_PARSERS) this.#parsers.push(parser);
  }

  borrowOutput(): OutputBuffer {
    return this.#outputs.pop() ?? new OutputBuffer(OUTPUT_BYTES);
  }

  returnOutput(output: OutputBuffer): void {
    if (this.#outputs.length < MAX_SPARE_OUTPUTS) this.#outputs.push(output);
  }

  report(error: unknown, request: HttpRequest | null): void {
    try {
      this.#onError(error, request);
    } catch (failure) {
      console.error(error, failure); // an error in `onError` must not change the response
    }
  }

  waitUntil(promise: PromiseLike<unknown>, request: HttpRequest): void {
    const pending = this.#pending ?? new Set();
    this.#pending = pending;
    const settled: Promise<void> = Promise.resolve(promise)
      .then(undefined, (error: unknown) => this.report(error, request))
      .then(() => {
        pending.delete(settled);
        this.#checkEmpty();
      });
    pending.add(settled);
  }

  forget(connection: OpenConnection): void {
    this.#connections.delete(connection);
    this.#checkEmpty();
  }

  #listen(options: ServeOptions): Listener {
    const onConnection: OnConnection = (stream) => {
      this.#lastConnectionAt = this.#loop.now();
      const connection = new Connection(this, stream);
      this.#connections.add(connection);
      if (this.#connections.size > this.limits.connections) stream.close();
      return connection;
    };
    const onFailure = (error: SystemError) => {
      this.createContext().runInAsyncScope(this.report, this, error, null);
      void this.close();
    };
    if (options.fd !== undefined) {
      return this.#loop.adoptListener(NetSocket.adopt(options.fd), onConnection, { onFailure });
    }
    if (options.path !== undefined) {
      return this.#loop.listen({ path: options.path }, onConnection, { ...options.socket, onFailure });
    }
    const host = options.host ?? DEFAULT_HOST;
    const address = host === 'localhost' ? DEFAULT_HOST : host; // RFC 6761 section 6.3: it is always loopback
    const socket = { noDelay: true, ...(address === '::' ? { ipv6Only: false } : {}), ...options.socket, onFailure };
    return this.#loop.listen({ address, port: options.port ?? 0 }, onConnection, socket);
  }

  async #stop(idleGraceMs: number): Promise<void> {
    this.#idleGraceMs = idleGraceMs;
    // Without a connection now, and without a new one for a while, no handshake is likely to be under way.
    const isQuiet = this.#connections.size === 0 && this.#loop.now() - this.#lastConnectionAt > idleGraceMs;
    this.#listener.closeWhenEmpty(isQuiet ? 0 : idleGraceMs, () => {
      this.#isListening = false;
      this.#checkEmpty();
    });
    await null; // `close` has stored this promise now, so `isStopping` is true
    for (const connection of this.#connections) connection.stop();
    await new Promise<void>((resolve) => {
      this.#whenEmpty = resolve;
      this.#checkEmpty();
    });
    this.#loop.close();
    this.#forgetSignal();
    servers.delete(this);
    if (servers.size === 0) process.off('exit', flushAll);
  }

  #checkEmpty(): void {
    const isWaiting = this.#pending !== null && this.#pending.size > 0;
    if (this.#connections.size === 0 && !this.#isListening && !isWaiting) this.#whenEmpty?.();
  }

  /** A signal can outlive many servers. Its listener is removed when the server closes, so that the signal does not keep it in memory. */
  #stopWith(signal: AbortSignal): void {
    const stop = () => void this.close();
    signal.addEventListener('abort', stop, { once: true });
    this.#forgetSignal = () => signal.removeEventListener('abort', stop);
  }

  /** Each call of `close` sets an alarm. The first alarm that rings ends all connections. */
  #abortAfter(graceMs: number, closed: Promise<void>): void {
    const abortAll = () => {
      this.#listener.close();
      for (const connection of this.#connections) connection.endNow();
      this.#pending?.clear();
      this.#checkEmpty();
    };
    const alarm = this.#loop.after(graceMs, abortAll);
    void closed.then(() => alarm.cancel());
  }
}

/** The least that a client must take in `writeMs`: one byte, or more by its rate. Null where `writeMs` is infinite. */
function minimumProgressOf({ writeMs, writeMinBytesPerSecond }: Timeouts): MinimumProgress | null {
  if (writeMs === Number.POSITIVE_INFINITY) return null;
  return { everyMs: writeMs, bytes: Math.max(1, (writeMs / 1_000) * writeMinBytesPerSecond) };
}

/** Starts a server. Throws SystemError if it cannot listen, for example on a busy port. */
export function serve(source: HandlerSource, options: ServeOptions = {}): Server {
  // The loop's own limit, `maxQueuedBytes`, is switched off: `answerBufferBytes` limits the queue of a response.
  const backend = options.backend === undefined ? {} : { backend: options.backend };
  return new Server(source, options, () => createEventLoop({ ...backend, maxQueuedBytes: Number.MAX_SAFE_INTEGER }));
}

function urlOf(address: SocketAddress): string {
  if ('path' in address) return `unix:${address.path.replace(/^\0/, '@')}`;
  // A client cannot portably connect to a wildcard address, so the URL has the loopback address.
  const host = { '0.0.0.0': '127.0.0.1', '::': '[::1]' }[address.address] ?? address.address;
  return `http://${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${address.port}`;
}
