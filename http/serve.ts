/**
 * serve: a listening socket, the connections that it accepts, and their end. The only file in http/ that creates sockets.
 *
 * The address, each limit, each timeout and `onError` are options, and each has a default. One process can have several servers. graceful-stop.ts
 * has the end of one.
 *
 * What a server offers its connections (ConnectionContext) is marked as internal: it is not in the types that programs get.
 *
 * Next: workers/worker-main.ts
 */

import { channel } from 'node:diagnostics_channel';
import type {
  EventLoop,
  Libc,
  MinimumProgress,
  OnConnection,
  SocketAddress,
  SystemError,
  TlsOptions,
} from '../simplenet/index.ts';
import {
  AddressRanges,
  acceptProxied,
  canonicalAddress,
  countingLibc,
  createEventLoop,
  TlsCounts,
} from '../simplenet/index.ts';
import { Admission } from './connection/admission.ts';
import { Connection } from './connection/connection.ts';
import type { OpenConnection } from './connection/connection-context.ts';
import { type ContextFactory, createContextFactory } from './connection/context-factory.ts';
import { ENDLESS_MS, minimumProgressOf } from './connection/deadline.ts';
import { Door } from './connection/door.ts';
import { errorLine } from './connection/error-line.ts';
import { GracefulStop } from './connection/graceful-stop.ts';
import type { Handler } from './handler.ts';
import { type ContextApp, keepTraits, traitsOf } from './handlers/context-handler.ts';
import { type HandlerSource, handlerOf, limitsLookupOf } from './handlers/handler-source.ts';
import { HttpError, isClientGone } from './http-error.ts';
import { httpsRedirect } from './https-redirect.ts';
import { type Limits, limitsFrom, type Timeouts, timeoutsFrom } from './limits.ts';
import { Listening, placeBeside, type SharedSockets, takePlace } from './listening.ts';
import { addUp, type MetricFamily } from './metrics/metric-families.ts';
import { DEFAULT_METRICS_PATH } from './metrics/metrics-options.ts';
import { ServerMetrics } from './metrics/server-metrics.ts';
import { watchedSite, watchHandler } from './metrics/watch-handler.ts';
import { peers } from './peers.ts';
import { promiseOf } from './promises.ts';
import { BodyMemory } from './request/body-memory.ts';
import { HeadParser } from './request/head-parser.ts';
import type { HttpRequest, Outcome } from './request/http-request.ts';
import type { Meter } from './request/meter.ts';
import { TrustedProxies } from './request/trusted-proxies.ts';
import { DateField } from './response/date-field.ts';
import { HeadCache } from './response/head-cache.ts';
import { OutputBuffer } from './response/output-buffer.ts';
import { keepAliveLineOf } from './response/response-head.ts';
import type { ResponseWriter } from './response/response-writer.ts';
import { type LimitsInForce, type RouteLimits, withRouteLimits } from './route-limits.ts';
import {
  type CloseOptions,
  checkCloseOptions,
  checkServeOptions,
  checkTlsOptions,
  type HalfClose,
  halfCloseFrom,
  type ListenPlace,
  type OnError,
  type ServeOptions,
  trustFrom,
  urlOf,
} from './serve-options.ts';
import { TlsEntrance } from './tls-entrance.ts';
import { WebSocketCounts } from './web-socket-counts.ts';
import { Workers } from './workers/supervisor.ts';
import type { WorkersOptions } from './workers/worker-options.ts';

/** Published with `{ request, server }` when a handler is about to be called. */
const startChannel = channel('simplenet:http:start');
/** Published with an Outcome when an answer is over. */
const doneChannel = channel('simplenet:http:done');

const DEFAULT_GRACE_MS = 10_000;
const DEFAULT_IDLE_GRACE_MS = 100;
const OUTPUT_BYTES = 65_536;

/** Prometheus keeps one connection, and a probe opens one for each question. */
const MAX_WATCHERS = 100;

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

/**
 * A server that listens: what `serve` returns.
 *
 * ```ts
 * import { Router, type Server, serve } from 'simplenet/http';
 *
 * const server: Server = serve(new Router());
 * console.log(server.url, server.port, server.connectionCount);
 * await server.close();
 * ```
 */
export class Server {
  /** The handler that was made of what `serve` got. */
  readonly handler: Handler;
  /** @internal */
  readonly opensTunnels: boolean;
  /** @internal */
  readonly continuesByHand: boolean;
  /** The limits in force, with the defaults. */
  readonly limits: Limits;
  /** The timeouts in force, with the defaults. */
  readonly timeouts: Timeouts;
  /** @internal */
  readonly halfClose: HalfClose;
  /** @internal */
  readonly minimumProgress: MinimumProgress | null;
  /** @internal */
  readonly output = new OutputBuffer(OUTPUT_BYTES);
  /** @internal */
  readonly headCache = new HeadCache(() => this.dateLine());
  /** @internal */
  readonly lineCache = HeadCache.ofLines(() => this.dateLine());
  /**
   * Handlers and `onError` begin with the AsyncLocalStorage stores that `serve` was called with.
   * @internal
   */
  readonly createContext: ContextFactory = createContextFactory();
  /** @internal */
  readonly keepAliveLine: string;
  /** @internal */
  readonly bodyMemory: BodyMemory;
  /** @internal */
  readonly admission: Admission | null;
  /** Where the server listens, with the port that the kernel has chosen. With several sockets, the first. */
  readonly address: SocketAddress;
  /** The address for a client: `http://127.0.0.1:8080`, with https if the server has `tls`; or `unix:` and a path. With several sockets, that of the first. */
  readonly url: string;
  /** The addresses of all sockets, for clients: more than one if `fd` or systemd gave several. */
  readonly urls: readonly string[];
  /** @internal */
  readonly scheme: 'http' | 'https';
  /** @internal */
  readonly door: Door;
  /** @internal */
  readonly webSocketCounts = new WebSocketCounts();
  /**
   * Null without `metrics` or without `tls`.
   * @internal
   */
  readonly tlsCounts: TlsCounts | null;
  /** @internal */
  readonly trustedProxies: TrustedProxies | null;

  readonly #date = new DateField(() => this.#loop.wallNow());
  readonly #loop: EventLoop;
  readonly #ownsLoop: boolean;
  readonly #tls: TlsEntrance | null;
  readonly #listening: Listening;
  /** The server that sends clients of plain HTTP here. */
  readonly #redirect: Server | null;
  /** Null without `metrics`. */
  readonly #metrics: ServerMetrics | null;
  /** The server on the port of the metrics. */
  readonly #watch: Server | null;
  readonly #connections: Set<OpenConnection>;
  readonly #parsers: HeadParser[] = [];
  readonly #outputs: OutputBuffer[] = [];
  readonly #onError: OnError;
  readonly #limitsFor: (method: string, path: string) => RouteLimits | null;
  /** The limits in force for each set of limits that a route has. */
  readonly #limitsWith = new WeakMap<RouteLimits, LimitsInForce>();
  readonly #onDone: ((outcome: Outcome) => void) | null;
  /** Each answer is counted, for `onDone` or for metrics. */
  readonly #counts: boolean;
  readonly #end: GracefulStop;
  #forgetSignal = () => {};
  #forgetQuestion = () => {};

  /**
   * Without `options.loop`, `createLoop` makes a loop for this server alone, with a table of system calls that counts them if it gets one; the server closes it at its end.
   * `shared`: what it has in common with other processes.
   * @internal
   */
  constructor(
    source: HandlerSource | ContextApp,
    options: ServeOptions,
    createLoop: (libc?: Libc) => EventLoop,
    shared?: SharedSockets,
  ) {
    const site = handlerOf(source);
    checkServeOptions(options);
    const { metrics } = options;
    const metricsPath = metrics?.path ?? DEFAULT_METRICS_PATH;
    const isWatchedHere = metrics !== undefined && metrics.port === undefined;
    this.handler = isWatchedHere ? keepTraits(site, watchedSite(this, metricsPath, site)) : site;
    const place = takePlace(options);
    this.#limitsFor = limitsLookupOf(source);
    ({ opensTunnels: this.opensTunnels, continuesByHand: this.continuesByHand } = traitsOf(this.handler));
    this.limits = limitsFrom(options.limits);
    this.timeouts = timeoutsFrom(options.timeouts);
    this.halfClose = halfCloseFrom(options.halfClose);
    this.keepAliveLine = keepAliveLineOf(this.timeouts.idleMs);
    this.bodyMemory = new BodyMemory(this.limits.bodyMemoryBytes, this.timeouts.bodyWaitMs, (delayMs, callback) =>
      this.#loop.after(delayMs, callback),
    );
    this.minimumProgress = minimumProgressOf(this.timeouts);
    this.door = new Door(this.limits, () => this.isStopping);
    this.#connections = this.door.connections;
    this.#onError = options.onError ?? logError;
    this.#onDone = options.onDone ?? null;
    this.#counts = this.#onDone !== null || options.metrics !== undefined;
    const trusted = trustFrom(options.trustProxy);
    this.trustedProxies =
      trusted && new TrustedProxies(new AddressRanges(trusted.from), trusted.fields, canonicalAddress);
    this.scheme = options.tls === undefined ? 'http' : 'https';
    this.#tls = options.tls === undefined ? null : new TlsEntrance(options.tls);
    this.tlsCounts = this.#tls === null || metrics === undefined ? null : new TlsCounts();
    this.#ownsLoop = options.loop === undefined;
    const counting = metrics === undefined ? null : countingLibc();
    this.#loop = options.loop ?? createLoop(counting?.libc);
    this.#metrics = counting === null ? null : new ServerMetrics(this, this.#loop, counting.counts);
    let listening: Listening | null = null;
    let admission: Admission | null = null;
    let redirect: Server | null = null;
    try {
      listening = this.#listen(place, options, shared?.createPolicy);
      this.#listening = listening;
      admission = Admission.of(this, this.#loop);
      this.admission = admission;
      redirect = this.#listenBeside(place, options, shared?.redirectFd ?? null);
      this.#redirect = redirect;
      this.#watch = this.#listenForWatchers(options);
    } catch (error) {
      listening?.close();
      void redirect?.close({ graceMs: 0, idleGraceMs: 0 });
      admission?.close();
      this.#metrics?.close();
      this.#tls?.close();
      if (this.#ownsLoop) this.#loop.close();
      throw error;
    }
    this.#end = new GracefulStop(this.#loop, this.#listening, this.#connections, () => this.#closed());
    if (servers.size === 0) process.prependListener('exit', flushAll);
    servers.add(this);
    const { addresses } = this.#listening;
    this.urls = addresses.map((address) => urlOf(address, this.scheme));
    [this.address, this.url] = [addresses[0] as SocketAddress, this.urls[0] as string];
    if (this.#metrics !== null) this.#forgetQuestion = this.#answerPeers(this.#metrics);
    const { signal } = options;
    if (signal?.aborted === true) void this.close();
    else if (signal !== undefined) this.#stopWith(signal);
  }

  /** The port on which it listens; null on a Unix socket. */
  get port(): number | null {
    return 'port' in this.address ? this.address.port : null;
  }

  /** Where the server listens for plain HTTP, to send clients to https (`redirectFrom`); null if it does not. */
  get redirectUrl(): string | null {
    return this.#redirect?.url ?? null;
  }

  /** Where its metrics are, if they have a port of their own (`metrics: { port }`); else null. */
  get metricsUrl(): string | null {
    return this.#watch?.url ?? null;
  }

  /** Whether the server is stopping, or has stopped. */
  get isStopping(): boolean {
    return this.#end.isStopping;
  }

  /** @internal */
  get idleGraceMs(): number {
    return this.#end.idleGraceMs;
  }

  /** @internal */
  get isTurnSpent(): boolean {
    return this.#loop.isTurnSpent;
  }

  /** @internal */
  get listenerFds(): readonly number[] {
    return this.#listening.fds;
  }

  /**
   * Whether another process goes on listening on the sockets.
   * @internal
   */
  get isShared(): boolean {
    return this.#listening.isShared;
  }

  /** @internal */
  set isShared(isShared: boolean) {
    this.#listening.isShared = isShared;
    if (!isShared && this.#redirect !== null) this.#redirect.isShared = false; // true is of no use: its socket is not handed over
  }

  /** Open connections, with those that have been upgraded to another protocol. */
  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Connections that were closed because their PROXY header was missing, late or wrong, or because they did not come from a proxy (`proxyProtocol`). */
  get refusedProxyHeaders(): number {
    return this.door.counts.proxyHeader;
  }

  /**
   * Connections with a request or its response under way, and those that were upgraded: what `close` waits for. It looks at all connections, so it is
   * for people and not for each request.
   */
  get busyCount(): number {
    let count = 0;
    for (const { idleSince } of this.#connections) if (idleSince === Number.POSITIVE_INFINITY) count++;
    return count;
  }

  /**
   * Aborted when the server begins to stop. For work that belongs to the server and not to one request: a handler uses
   * `request.closing`.
   *
   *     server.closing.addEventListener('abort', () => clearInterval(timer));
   */
  get closing(): AbortSignal {
    return this.#end.signal;
  }

  /**
   * Stops with grace. Responses under way and upgraded streams are told (`request.closing`), and may end by themselves until `graceMs` has
   * passed. The promise resolves when the last connection is closed. A second call can only shorten `graceMs`.
   */
  close(options: CloseOptions = {}): Promise<void> {
    checkCloseOptions(options);
    if (this.#redirect !== null) this.#end.waitFor(this.#redirect.close(options));
    return this.#end.begin(options.graceMs ?? DEFAULT_GRACE_MS, options.idleGraceMs ?? DEFAULT_IDLE_GRACE_MS);
  }

  /** As `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Connections that are accepted from now on use these certificates, keys and settings; open ones go on with the old ones. For a certificate that
   * has been renewed. Throws if something does not fit together, and then changes nothing.
   *
   *     process.on('SIGHUP', () => server.setTls({ cert: readFileSync('cert.pem'), key: readFileSync('key.pem') }));
   */
  setTls(options: TlsOptions): void {
    checkTlsOptions(options);
    if (this.#tls === null) throw new Error('this server has no TLS: it would need tls from its beginning');
    this.#tls.replace(options);
  }

  /** Passes all response bytes written so far on to the loop, without waiting for the end of the turn. */
  flush(): void {
    this.output.flush();
    for (const connection of this.#connections) connection.flush();
  }

  // Called by the connections.

  /** @internal */
  activeNow(): number {
    return this.#loop.activeNow();
  }

  /** @internal */
  dateLine(): string {
    return this.#date.line(this.#loop.now());
  }

  /** @internal */
  borrowParser(): HeadParser {
    const parser = this.#parsers.pop() ?? new HeadParser(this.limits);
    parser.reset();
    return parser;
  }

  /** @internal */
  returnParser(parser: HeadParser): void {
    if (this.#parsers.length < MAX_SPARE_PARSERS) this.#parsers.push(parser);
  }

  /** @internal */
  borrowOutput(): OutputBuffer {
    return this.#outputs.pop() ?? new OutputBuffer(OUTPUT_BYTES);
  }

  /** @internal */
  returnOutput(output: OutputBuffer): void {
    if (this.#outputs.length < MAX_SPARE_OUTPUTS) this.#outputs.push(output);
  }

  /** @internal */
  report(error: unknown, request: HttpRequest | null, response: ResponseWriter | null): boolean | Promise<boolean> {
    const failed = (failure: unknown) => {
      console.error(error, failure); // both, because neither has been handled
      return false;
    };
    try {
      const result = promiseOf(this.#onError(error, request, response));
      return result === null ? true : result.then(() => true, failed);
    } catch (failure) {
      return failed(failure);
    }
  }

  /** @internal */
  waitUntil(promise: PromiseLike<unknown>, request: HttpRequest): void {
    const handled = Promise.resolve(promise).then(
      undefined,
      (error: unknown) => isClientGone(error) || this.report(error, request, null),
    );
    this.#end.waitFor(handled);
  }

  /** @internal */
  get observes(): boolean {
    return this.#counts || doneChannel.hasSubscribers || startChannel.hasSubscribers;
  }

  /** @internal */
  get wantsOutcomes(): boolean {
    return this.#onDone !== null || doneChannel.hasSubscribers;
  }

  /** @internal */
  now(): number {
    return this.#loop.now();
  }

  /** @internal */
  exactNow(): number {
    return this.#loop.exactNow();
  }

  /** @internal */
  wallNow(): number {
    return this.#loop.wallNow();
  }

  /** @internal */
  answerBegins(request: HttpRequest): void {
    if (startChannel.hasSubscribers) startChannel.publish({ request, server: this });
  }

  /**
   * The answer may end in the turn of another request, so this begins with the stores of `serve`.
   * @internal
   */
  answerDone(answer: Meter): void {
    this.#metrics?.count(answer);
    if (!this.wantsOutcomes) return;
    const outcome = answer.outcome();
    this.createContext().runInAsyncScope(() => {
      const failed = (error: unknown) => void this.report(error, outcome.request, null);
      try {
        promiseOf(this.#onDone?.(outcome))?.then(undefined, failed);
      } catch (error) {
        failed(error);
      }
      if (doneChannel.hasSubscribers) doneChannel.publish(outcome);
    });
  }

  /**
   * The metrics of all workers that serve the same.
   * @internal
   */
  async families(): Promise<readonly MetricFamily[]> {
    return addUp((await peers.askAll(this.#metricsSubject)) as (readonly MetricFamily[])[]);
  }

  #answerPeers(metrics: ServerMetrics): () => void {
    return peers.onAsked(this.#metricsSubject, () => metrics.families());
  }

  get #metricsSubject(): string {
    return `simplenet:metrics ${this.url}`;
  }

  /**
   * A path that cannot be decoded has no route.
   * @internal
   */
  routeLimits(method: string, path: string): RouteLimits | null {
    try {
      return this.#limitsFor(method, path);
    } catch (error) {
      if (error instanceof HttpError) return null;
      throw error;
    }
  }

  /** @internal */
  limitsWith(route: RouteLimits): LimitsInForce {
    let inForce = this.#limitsWith.get(route);
    if (inForce === undefined) {
      inForce = withRouteLimits(this, route);
      this.#limitsWith.set(route, inForce);
    }
    return inForce;
  }

  /** @internal */
  replace(connection: OpenConnection, upgraded: OpenConnection): void {
    if (this.#connections.delete(connection)) this.#connections.add(upgraded);
  }

  /** @internal */
  forget(connection: OpenConnection): void {
    this.#connections.delete(connection);
    this.#end.checkEmpty();
  }

  #listen(
    place: ListenPlace,
    { socket, proxyProtocol }: ServeOptions,
    createPolicy: SharedSockets['createPolicy'] | undefined,
  ): Listening {
    const onConnection: OnConnection = (stream) => {
      this.#end.lastConnectionAt = this.#loop.now();
      const connection = new Connection(this, stream);
      this.door.admit(connection, stream);
      return connection;
    };
    const onClient = this.#tls?.before(onConnection, this) ?? onConnection;
    const onStream =
      proxyProtocol === undefined
        ? onClient
        : acceptProxied(onClient, {
            ...proxyProtocol,
            headerMs: Math.min(this.timeouts.handshakeMs, ENDLESS_MS),
            maxHeaderBytes: this.limits.proxyHeaderBytes,
            onRefused: () => void this.door.counts.proxyHeader++,
          });
    const onFailure = (error: SystemError) => {
      this.createContext().runInAsyncScope(() => this.report(error, null, null));
      void this.close();
    };
    const setup = { socket, createPolicy, onFailure, onShortage: () => this.door.onShortage() };
    return new Listening(this.#loop, place, onStream, setup);
  }

  #listenBeside(
    place: ListenPlace,
    { redirectFrom, limits, timeouts, onError, socket, proxyProtocol }: ServeOptions,
    redirectFd: number | null,
  ): Server | null {
    const where = redirectFd === null ? placeBeside(place, redirectFrom) : { fd: redirectFd };
    if (where === null) return null;
    const handler = httpsRedirect(() => this.port as number);
    const options = { ...where, limits, timeouts, onError, socket, proxyProtocol, loop: this.#loop };
    return new Server(handler, options, () => this.#loop);
  }

  #listenForWatchers({ metrics, onError }: ServeOptions): Server | null {
    // A worker answers for all of them. The one that replaces it may find its port still taken by it.
    if (metrics?.port === undefined || (peers.index ?? 0) > 0) return null;
    const socket = { reusePort: peers.index !== null };
    const { port, host = '127.0.0.1', path = DEFAULT_METRICS_PATH } = metrics;
    const limits = { connections: MAX_WATCHERS };
    const options = { host, port, limits, onError, socket, loop: this.#loop };
    return new Server(watchHandler(this, path), options, () => this.#loop);
  }

  #closed(): void {
    this.admission?.close();
    this.#metrics?.close();
    void this.#watch?.close({ graceMs: 0, idleGraceMs: 0 }); // the last to close: it says that the others are being waited for
    this.#tls?.close();
    if (this.#ownsLoop) this.#loop.close();
    this.#forgetSignal();
    this.#forgetQuestion();
    servers.delete(this);
    if (servers.size === 0) process.off('exit', flushAll);
  }

  /** A signal can outlive many servers. Its listener is removed when the server closes, so that the signal does not keep it in memory. */
  #stopWith(signal: AbortSignal): void {
    const stop = () => void this.close();
    signal.addEventListener('abort', stop, { once: true });
    this.#forgetSignal = () => signal.removeEventListener('abort', stop);
  }
}

function logError(error: unknown, request: HttpRequest | null): void {
  if (request === null) console.error(error);
  else console.error('%s:', errorLine(error, request), error);
}

/**
 * Starts a server. Throws SystemError if it cannot listen, for example on a busy port, and TypeError or RangeError for a mistake in its options.
 *
 * ```ts
 * import { serve } from 'simplenet/http';
 *
 * const server = serve((request, response) => response.text(`${request.method} ${request.path}\n`), { port: 8080 });
 * console.log(server.url);
 * ```
 */
export function serve(source: HandlerSource, options?: ServeOptions): Server;
// Two signatures, and not one union: so the type of `request` in `serve({ fetch: (request) => ... })` is known.
/** Starts a server for a handler object of the Fetch Server API. */
export function serve(app: ContextApp, options?: ServeOptions): Server;
/** Starts processes that serve the default export of a module. */
export function serve(module: URL, options: WorkersOptions): Workers;
export function serve(
  source: HandlerSource | ContextApp | URL,
  options: ServeOptions | WorkersOptions = {},
): Server | Workers {
  if (source instanceof URL) return new Workers(source, options as WorkersOptions);
  return serveShared(source, options);
}

/** As `serve`, for one of several processes that share listening sockets. */
export function serveShared(source: HandlerSource | ContextApp, options: ServeOptions, shared?: SharedSockets): Server {
  const createLoop = (libc?: Libc) => {
    const backend = options.backend === undefined ? {} : { backend: options.backend };
    const table = libc === undefined ? {} : { libc };
    // The loop's own limit, `maxQueuedBytes`, is switched off: `answerBufferBytes` limits the queue of a response.
    return createEventLoop({ ...backend, ...table, maxQueuedBytes: Number.MAX_SAFE_INTEGER });
  };
  return new Server(source, options, createLoop, shared);
}
