/**
 * serve: a listening socket, the connections it takes, and their end. The one file here that makes sockets.
 *
 * Everything a server decides is an option with a default: where it listens, every limit and timeout, what becomes of
 * errors. Several servers can live in one process, and each can be stopped with grace: it takes no more connections, lets
 * go of the idle ones, completes the answers that are under way, and after a deadline ends whatever is left.
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
import { type Limits, limitsFrom, type Timeouts, timeoutsFrom } from './limits.ts';
import { BodyMemory } from './request/body-memory.ts';
import { HeadParser } from './request/head-parser.ts';
import type { HttpRequest } from './request/http-request.ts';
import { DateField } from './response/date-field.ts';
import { OutputBuffer } from './response/output-buffer.ts';
import { PlainHeads } from './response/plain-heads.ts';

export interface ServeOptions {
  /** An IP address; 127.0.0.1 unless given. `::` takes IPv4 as well. `localhost` is understood, other names are not. */
  readonly host?: string;
  /** 0, the default, is any free port: see `url` for which. */
  readonly port?: number;
  /**
   * A Unix socket instead of host and port. Its file is removed when the server stops, and so is a file of an earlier server that
   * does not answer any more. A path that begins with NUL is in the abstract namespace, and has no file.
   */
  readonly path?: string;
  /** A listening socket that is open already, as systemd hands it over. */
  readonly fd?: number;
  readonly limits?: Partial<Limits>;
  readonly timeouts?: Partial<Timeouts>;
  /**
   * Hears of every exception that a handler did not mean for the client; and, without a request, of an error that ends this server:
   * it then closes itself, with grace. Written to standard error unless given.
   */
  readonly onError?: (error: unknown, request: HttpRequest | null) => void;
  /** Stops the server, with grace, when it is aborted. */
  readonly signal?: AbortSignal;
  /** How the kernel is asked for news: `epoll`, `io_uring` or `auto`. */
  readonly backend?: Backend;
  /** Socket options, and the `control` hook that gets the socket before it is bound. */
  readonly socket?: ListenOptions;
}

/** Something that is a handler, or has one: a Router. */
export type HandlerSource = Handler | { handle: Handler };

export interface CloseOptions {
  /** How long answers under way may take; 10 s unless given. */
  readonly graceMs?: number;
  /**
   * How long connections at rest may still begin a request, and TCP handshakes under way may complete; 100 ms unless given. A client
   * whose request was on its way meets an answer and not the end.
   */
  readonly idleGraceMs?: number;
}

const DEFAULT_HOST = '127.0.0.1';
const DEFAULT_GRACE_MS = 10_000;
const DEFAULT_IDLE_GRACE_MS = 100;
const OUTPUT_BYTES = 65_536;

/** Parsers kept for connections whose head came in pieces; any more are made anew. */
const MAX_SPARE_PARSERS = 64;

/** Buffers kept for streamed answers; any more are made anew. */
const MAX_SPARE_OUTPUTS = 64;

/**
 * The servers of this thread. What their handlers have answered in this turn lies in output buffers until its end. A handler that
 * answers and calls process.exit never gets there, so the buffers are emptied on the way out: before the hooks of the loops run,
 * which take bytes on to the kernel.
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
  readonly plainHeads = new PlainHeads(() => this.dateLine());
  /** Handlers and `onError` begin with the AsyncLocalStorage stores that `serve` was called with. */
  readonly createContext: ContextFactory = createContextFactory();
  readonly bodyMemory: BodyMemory;
  readonly address: SocketAddress;
  /** Where a client finds it: `http://127.0.0.1:8080`, or `unix:` and a path. */
  readonly url: string;

  readonly #date = new DateField(() => this.#loop.wallNow());
  readonly #loop: EventLoop;
  readonly #listener: Listener;
  readonly #connections = new Set<OpenConnection>();
  readonly #parsers: HeadParser[] = [];
  readonly #outputs: OutputBuffer[] = [];
  readonly #onError: (error: unknown, request: HttpRequest | null) => void;
  #lastConnectionAt = Number.NEGATIVE_INFINITY;
  #idleGraceMs = DEFAULT_IDLE_GRACE_MS;
  #isListening = true;
  #closed: Promise<void> | null = null;
  #whenEmpty: (() => void) | null = null;
  #forgetSignal = () => {};

  /** `createLoop` makes the loop that is the server's own, and ends with it: here the tests come in with a simulated one. */
  constructor(source: HandlerSource, options: ServeOptions, createLoop: () => EventLoop) {
    this.handler = typeof source === 'function' ? source : (request, response) => source.handle(request, response);
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

  /** Connections that are open now. */
  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Stops with grace. Settles when the last connection is gone. */
  close(options: CloseOptions = {}): Promise<void> {
    this.#closed ??= this.#stop(options.idleGraceMs ?? DEFAULT_IDLE_GRACE_MS);
    this.#abortAfter(options.graceMs ?? DEFAULT_GRACE_MS, this.#closed);
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Hands over to the loop what handlers have answered so far, and does not wait for the end of the turn. */
  flush(): void {
    this.output.flush();
    for (const connection of this.#connections) connection.flush();
  }

  // For the connections.

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
      console.error(error, failure); // a log that fails must not make it worse for the client
    }
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
    // Where nobody is, and nobody has been for a while, no handshake is under way either.
    const isQuiet = this.#connections.size === 0 && this.#loop.now() - this.#lastConnectionAt > idleGraceMs;
    this.#listener.closeWhenEmpty(isQuiet ? 0 : idleGraceMs, () => {
      this.#isListening = false;
      this.#checkEmpty();
    });
    await null; // now `isStopping` says so to everybody
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
    if (this.#connections.size === 0 && !this.#isListening) this.#whenEmpty?.();
  }

  /** One signal can outlive many servers, and must not hold on to those that are closed. */
  #stopWith(signal: AbortSignal): void {
    const stop = () => void this.close();
    signal.addEventListener('abort', stop, { once: true });
    this.#forgetSignal = () => signal.removeEventListener('abort', stop);
  }

  /** Called again, a shorter grace counts. */
  #abortAfter(graceMs: number, closed: Promise<void>): void {
    const abortAll = () => {
      this.#listener.close();
      for (const connection of this.#connections) connection.giveUp();
    };
    const alarm = this.#loop.after(graceMs, abortAll);
    void closed.then(() => alarm.cancel());
  }
}

/** What `writeMs` and its rate ask of a client: at least one byte. A client that may take for ever is asked nothing. */
function minimumProgressOf({ writeMs, writeMinBytesPerSecond }: Timeouts): MinimumProgress | null {
  if (writeMs === Number.POSITIVE_INFINITY) return null;
  return { everyMs: writeMs, bytes: Math.max(1, (writeMs / 1_000) * writeMinBytesPerSecond) };
}

/** Starts a server. Throws SystemError where it cannot listen: a busy port, a missing permission. */
export function serve(source: HandlerSource, options: ServeOptions = {}): Server {
  // How much of an answer may be queued is decided per answer, not per write: see answerBufferBytes.
  const backend = options.backend === undefined ? {} : { backend: options.backend };
  return new Server(source, options, () => createEventLoop({ ...backend, maxQueuedBytes: Number.MAX_SAFE_INTEGER }));
}

function urlOf(address: SocketAddress): string {
  if ('path' in address) return `unix:${address.path.replace(/^\0/, '@')}`;
  // A wildcard address is none to connect to.
  const host = { '0.0.0.0': '127.0.0.1', '::': '[::1]' }[address.address] ?? address.address;
  return `http://${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${address.port}`;
}
