/**
 * serve: a server, from its sockets to its end. What its connections have in common is in commons.ts.
 *
 * The address, each limit, each timeout and `onError` are options, and each has a default. One process can have several servers.
 *
 * Next: workers/worker-main.ts
 */

import type { EventLoop, Libc, OnConnection, SocketAddress, SystemError, TlsOptions } from '../simplenet/index.ts';
import { acceptProxied, countingLibc, createEventLoop } from '../simplenet/index.ts';
import { Commons } from './commons.ts';
import { Connection } from './connection/connection.ts';
import { ENDLESS_MS } from './connection/deadline.ts';
import type { Handler } from './handler.ts';
import { type ContextApp, keepTraits } from './handlers/context-handler.ts';
import { type HandlerSource, handlerOf, limitsLookupOf } from './handlers/handler-source.ts';
import { httpsRedirect } from './https-redirect.ts';
import type { Limits, Timeouts } from './limits.ts';
import { Listening, placeBeside, type SharedSockets, takePlace, watchPlace } from './listening.ts';
import { addUp, type MetricFamily } from './metrics/metric-families.ts';
import { DEFAULT_METRICS_PATH } from './metrics/metrics-options.ts';
import { watchedSite, watchHandler } from './metrics/watch-handler.ts';
import { peers } from './peers.ts';
import {
  type CloseOptions,
  checkCloseOptions,
  checkServeOptions,
  checkTlsOptions,
  type ListenPlace,
  patienceOf,
  type ServeOptions,
  urlOf,
} from './serve-options.ts';
import { TlsEntrance } from './tls-entrance.ts';
import { Workers } from './workers/supervisor.ts';
import type { WorkersOptions } from './workers/worker-options.ts';

/** Prometheus keeps one connection, and a probe opens one for each question. */
const MAX_WATCHERS = 100;

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
  /** The limits in force, with the defaults. */
  readonly limits: Limits;
  /** The timeouts in force, with the defaults. */
  readonly timeouts: Timeouts;
  /** Where the server listens, with the port that the kernel has chosen. With several sockets, the first. */
  readonly address: SocketAddress;
  /** The address for a client: `http://127.0.0.1:8080`, with https if the server has `tls`; or `unix:` and a path. With several sockets, that of the first. */
  readonly url: string;
  /** The addresses of all sockets, for clients: more than one if `fd` or systemd gave several. */
  readonly urls: readonly string[];
  /** @internal */
  readonly commons: Commons;

  readonly #loop: EventLoop;
  readonly #ownsLoop: boolean;
  readonly #tls: TlsEntrance | null;
  readonly #listening: Listening;
  /** The server that sends clients of plain HTTP here. */
  readonly #redirect: Server | null;
  /** The server on the port of the metrics. */
  readonly #watch: Server | null;
  #forgetSignal = () => {};
  #forgetQuestions = () => {};
  /** The answer to a scrape that is under way. It is that of all scrapes that come meanwhile. */
  #families: Promise<readonly MetricFamily[]> | null = null;

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
    const { metrics, tls, loop, signal } = options;
    this.handler = this.#watchedHere(site, metrics);
    const place = takePlace(options);
    this.#tls = tls === undefined ? null : new TlsEntrance(tls);
    this.#ownsLoop = loop === undefined;
    const counting = metrics === undefined ? null : countingLibc();
    this.#loop = loop ?? createLoop(counting?.libc);
    let commons: Commons | null = null;
    let listening: Listening | null = null;
    let redirect: Server | null = null;
    try {
      commons = new Commons({
        handler: this.handler,
        limitsFor: limitsLookupOf(source),
        options,
        loop: this.#loop,
        calls: counting?.counts ?? null,
        server: this,
        onClosed: () => this.#closed(),
      });
      this.commons = commons;
      listening = this.#listen(place, options, shared?.createPolicy);
      this.#listening = listening;
      redirect = this.#listenBeside(place, options, shared?.redirectFd ?? null);
      this.#redirect = redirect;
      this.#watch = this.#listenForWatchers(options, shared?.watchFd ?? null);
    } catch (error) {
      listening?.close();
      void redirect?.close({ graceMs: 0, idleGraceMs: 0 });
      commons?.close();
      this.#tls?.close();
      if (this.#ownsLoop) this.#loop.close();
      throw error;
    }
    ({ limits: this.limits, timeouts: this.timeouts } = commons);
    if (servers.size === 0) process.prependListener('exit', flushAll);
    servers.add(this);
    const { addresses } = listening;
    this.urls = addresses.map((address) => urlOf(address, this.commons.scheme));
    [this.address, this.url] = [addresses[0] as SocketAddress, this.urls[0] as string];
    this.#answerPeers();
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

  /** Whether `close` has been called: the server will stop (`noticeMs`), is stopping, or has stopped. */
  get isStopping(): boolean {
    return this.commons.end.isAnnounced;
  }

  /** @internal */
  get listenerFds(): readonly number[] {
    return this.#listening.fds;
  }

  /**
   * Null if the metrics have no port of their own.
   * @internal
   */
  get watchFd(): number | null {
    return this.#watch?.listenerFds[0] ?? null;
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

  /**
   * The same of the port of the metrics.
   * @internal
   */
  set isWatchShared(isShared: boolean) {
    if (this.#watch !== null) this.#watch.isShared = isShared;
  }

  /** Open connections, with those that have been upgraded to another protocol. */
  get connectionCount(): number {
    return this.commons.door.connections.size;
  }

  /** Connections that were closed because their PROXY header was missing, late or wrong, or because they did not come from a proxy (`proxyProtocol`). */
  get refusedProxyHeaders(): number {
    return this.commons.door.counts.proxyHeader;
  }

  /**
   * Connections with a request or its response under way, and those that were upgraded: what `close` waits for. It looks at all connections, so it is
   * for people and not for each request.
   */
  get busyCount(): number {
    return this.commons.door.busyCount;
  }

  /**
   * Aborted when the server begins to stop, after the notice of `close`. For work that belongs to the server and not to one request: a handler uses
   * `request.closing`.
   *
   *     server.closing.addEventListener('abort', () => clearInterval(timer));
   */
  get closing(): AbortSignal {
    return this.commons.end.signal;
  }

  /**
   * Stops with grace. Responses under way and upgraded streams are told (`request.closing`), and may end by themselves until `graceMs` has
   * passed. The promise resolves when the last connection is closed. With `noticeMs` all that begins later, and only /readyz says so. A second call can only shorten these times:
   * one without `noticeMs` ends the notice.
   */
  close(options: CloseOptions = {}): Promise<void> {
    checkCloseOptions(options);
    const { end } = this.commons;
    if (this.#redirect !== null) end.waitFor(this.#redirect.close(options));
    const patience = patienceOf(options);
    // Another process answers there. After a notice this is called once more.
    if (this.#watch?.isShared === true && patience.noticeMs === 0) end.waitFor(this.#watch.close(options));
    return end.begin(this.#listening, patience);
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
    this.commons.flush();
  }

  /**
   * The metrics of all workers that serve the same.
   * @internal
   */
  families(): Promise<readonly MetricFamily[]> {
    this.#families ??= peers
      .tallies(this.#subjectOf('metrics'))
      .then((tallies) => addUp(tallies as (readonly MetricFamily[])[]))
      .finally(() => {
        this.#families = null;
      });
    return this.#families;
  }

  /**
   * Why new clients should go elsewhere; null if this process, or another worker, takes them.
   * @internal
   */
  async whyNotReady(): Promise<string | null> {
    const reason = this.#whyNotReady();
    if (reason === null) return null;
    const areReady = await peers.askAll(this.#subjectOf('readiness'));
    return areReady.includes(true) ? null : reason;
  }

  /** While it is replaced, its successor answers for the site; a connection may still have reached this process. */
  #whyNotReady(): string | null {
    if (this.commons.isStopping && this.#watch?.isShared === true) return null;
    if (this.isStopping) return 'stopping';
    return this.commons.admission?.isFull === true ? 'overloaded' : null;
  }

  #answerPeers(): void {
    const { metrics } = this.commons;
    if (metrics === null) return;
    const forgetTally = peers.onTallied(this.#subjectOf('metrics'), () => metrics.families());
    const forgetReadiness = peers.onAsked(this.#subjectOf('readiness'), () => this.#whyNotReady() === null);
    this.#forgetQuestions = () => {
      forgetTally();
      forgetReadiness();
    };
  }

  #subjectOf(question: 'metrics' | 'readiness'): string {
    return `simplenet:${question} ${this.url}`;
  }

  /** Unless the metrics have a port of their own, they are paths of the site. */
  #watchedHere(site: Handler, metrics: ServeOptions['metrics']): Handler {
    if (metrics === undefined || metrics.port !== undefined) return site;
    return keepTraits(site, watchedSite(this, metrics.path ?? DEFAULT_METRICS_PATH, site));
  }

  #listen(
    place: ListenPlace,
    { socket, proxyProtocol }: ServeOptions,
    createPolicy: SharedSockets['createPolicy'] | undefined,
  ): Listening {
    const { commons } = this;
    const { door, end, timeouts, limits } = commons;
    const onConnection: OnConnection = (stream) => {
      end.lastConnectionAt = this.#loop.now();
      const connection = new Connection(commons, stream);
      door.admit(connection, stream);
      return connection;
    };
    const onClient = this.#tls?.before(onConnection, commons) ?? onConnection;
    const onStream =
      proxyProtocol === undefined
        ? onClient
        : acceptProxied(onClient, {
            ...proxyProtocol,
            headerMs: Math.min(timeouts.handshakeMs, ENDLESS_MS),
            maxHeaderBytes: limits.proxyHeaderBytes,
            admits: (stream) => door.admitsClient(stream),
            onRefused: () => void door.counts.proxyHeader++,
          });
    const onFailure = (error: SystemError) => {
      commons.createContext().runInAsyncScope(() => commons.report(error, null, null));
      void this.close();
    };
    const setup = { socket, createPolicy, onFailure, onShortage: () => door.onShortage() };
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

  #listenForWatchers({ metrics, onError }: ServeOptions, watchFd: number | null): Server | null {
    const place = watchFd === null ? watchPlace(metrics) : { fd: watchFd };
    if (place === null) return null;
    const where = 'fd' in place ? place : { host: place.address, port: place.port };
    const options = { ...where, limits: { connections: MAX_WATCHERS }, onError, loop: this.#loop };
    return new Server(watchHandler(this, metrics?.path ?? DEFAULT_METRICS_PATH), options, () => this.#loop);
  }

  #closed(): void {
    this.commons.close();
    void this.#watch?.close({ graceMs: 0, idleGraceMs: 0 }); // the last to close: it says that the others are being waited for
    this.#tls?.close();
    if (this.#ownsLoop) this.#loop.close();
    this.#forgetSignal();
    this.#forgetQuestions();
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
