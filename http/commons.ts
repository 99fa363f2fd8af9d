/**
 * Commons: what the connections of a server have in common: its options as they are in force, its clock, the buffers and parsers that a connection
 * borrows, what is counted, and whom the program wants to be told. `serve.ts` opens the sockets and knows none of that.
 *
 * Next: listening.ts
 */

import { channel } from 'node:diagnostics_channel';
import type { CallCount, EventLoop, MinimumProgress } from '../simplenet/index.ts';
import { AddressRanges, canonicalAddress, TlsCounts } from '../simplenet/index.ts';
import { Admission } from './connection/admission.ts';
import type { ConnectionContext, OpenConnection } from './connection/connection-context.ts';
import { type ContextFactory, createContextFactory } from './connection/context-factory.ts';
import { minimumProgressOf } from './connection/deadline.ts';
import { Door } from './connection/door.ts';
import { errorLine } from './connection/error-line.ts';
import { GracefulStop } from './connection/graceful-stop.ts';
import type { Handler } from './handler.ts';
import { traitsOf } from './handlers/context-handler.ts';
import { HttpError, isClientGone } from './http-error.ts';
import { type Limits, limitsFrom, type Timeouts, timeoutsFrom } from './limits.ts';
import { DEFAULT_METRICS_PATH } from './metrics/metrics-options.ts';
import { ServerMetrics } from './metrics/server-metrics.ts';
import { watchedPaths } from './metrics/watch-handler.ts';
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
import { type HalfClose, halfCloseFrom, type OnError, type ServeOptions, trustFrom } from './serve-options.ts';
import { WebSocketCounts } from './web-socket-counts.ts';

/** Published with `{ request, server }` when a handler is about to be called. */
const startChannel = channel('simplenet:http:start');
/** Published with an Outcome when an answer is over. */
const doneChannel = channel('simplenet:http:done');

const OUTPUT_BYTES = 65_536;

/** Unused parsers that are kept for the next incomplete head. */
const MAX_SPARE_PARSERS = 64;

/** Unused buffers that are kept for the next response that comes in pieces. */
const MAX_SPARE_OUTPUTS = 64;

export interface CommonsSetup {
  readonly handler: Handler;
  /** The limits that the handler knows for a request, if it is a router. */
  readonly limitsFor: (method: string, path: string) => RouteLimits | null;
  /** They have been checked. */
  readonly options: ServeOptions;
  readonly loop: EventLoop;
  /** The system calls of the loop, for the metrics. Null if there are no metrics. */
  readonly calls: ReadonlyMap<string, CallCount> | null;
  /** What subscribers of a channel are told about. */
  readonly server: object;
  /** Called once, when the server has stopped and nothing is left. */
  readonly onClosed: () => void;
}

export class Commons implements ConnectionContext {
  readonly handler: Handler;
  readonly opensTunnels: boolean;
  readonly continuesByHand: boolean;
  readonly scheme: 'http' | 'https';
  readonly trustedProxies: TrustedProxies | null;
  readonly limits: Limits;
  readonly timeouts: Timeouts;
  readonly halfClose: HalfClose;
  readonly minimumProgress: MinimumProgress | null;
  readonly output = new OutputBuffer(OUTPUT_BYTES);
  readonly headCache = new HeadCache(() => this.dateLine());
  readonly lineCache = HeadCache.ofLines(() => this.dateLine());
  readonly keepAliveLine: string;
  readonly bodyMemory: BodyMemory;
  readonly admission: Admission | null;
  readonly webSocketCounts = new WebSocketCounts();
  /** Handlers and `onError` begin with the AsyncLocalStorage stores that `serve` was called with. */
  readonly createContext: ContextFactory = createContextFactory();
  readonly door: Door;
  readonly end: GracefulStop;
  /** Null without `metrics` or without `tls`. */
  readonly tlsCounts: TlsCounts | null;
  /** Null without `metrics`. */
  readonly metrics: ServerMetrics | null;

  readonly #date = new DateField(() => this.#loop.wallNow());
  readonly #loop: EventLoop;
  readonly #server: object;
  readonly #parsers: HeadParser[] = [];
  readonly #outputs: OutputBuffer[] = [];
  readonly #limitsFor: CommonsSetup['limitsFor'];
  /** The limits in force for each set of limits that a route has. */
  readonly #limitsWith = new WeakMap<RouteLimits, LimitsInForce>();
  readonly #onError: OnError;
  readonly #onDone: ((outcome: Outcome) => void) | null;
  /** Each answer is counted, for `onDone` or for metrics. */
  readonly #counts: boolean;

  /** Throws if the loop cannot measure its delay (`loopDelayMs`). */
  constructor({ handler, limitsFor, options, loop, calls, server, onClosed }: CommonsSetup) {
    this.handler = handler;
    ({ opensTunnels: this.opensTunnels, continuesByHand: this.continuesByHand } = traitsOf(handler));
    this.#limitsFor = limitsFor;
    this.#loop = loop;
    this.#server = server;
    this.scheme = options.tls === undefined ? 'http' : 'https';
    this.limits = limitsFrom(options.limits);
    this.timeouts = timeoutsFrom(options.timeouts);
    this.halfClose = halfCloseFrom(options.halfClose);
    this.keepAliveLine = keepAliveLineOf(this.timeouts.idleMs);
    this.minimumProgress = minimumProgressOf(this.timeouts);
    this.bodyMemory = new BodyMemory(this.limits.bodyMemoryBytes, this.timeouts.bodyWaitMs, (delayMs, callback) =>
      loop.after(delayMs, callback),
    );
    const trusted = trustFrom(options.trustProxy);
    this.trustedProxies =
      trusted && new TrustedProxies(new AddressRanges(trusted.from), trusted.fields, canonicalAddress);
    this.#onError = options.onError ?? logError;
    this.#onDone = options.onDone ?? null;
    this.#counts = this.#onDone !== null || calls !== null;
    this.door = new Door(this.limits, options.proxyProtocol === undefined, () => this.isStopping);
    this.end = new GracefulStop(loop, this.door.connections, onClosed);
    this.admission = Admission.of(this, loop, pathsOfWatchers(options));
    this.tlsCounts = options.tls === undefined || calls === null ? null : new TlsCounts();
    this.metrics = calls === null ? null : new ServerMetrics(this, loop, calls);
  }

  /** Nothing asks the loop for a call any more. */
  close(): void {
    this.admission?.close();
    this.metrics?.close();
  }

  /** Passes all response bytes written so far on to the loop. */
  flush(): void {
    this.output.flush();
    for (const connection of this.door.connections) connection.flush();
  }

  get isStopping(): boolean {
    return this.end.isStopping;
  }

  get idleGraceMs(): number {
    return this.end.idleGraceMs;
  }

  get isTurnSpent(): boolean {
    return this.#loop.isTurnSpent;
  }

  activeNow(): number {
    return this.#loop.activeNow();
  }

  now(): number {
    return this.#loop.now();
  }

  exactNow(): number {
    return this.#loop.exactNow();
  }

  wallNow(): number {
    return this.#loop.wallNow();
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

  waitUntil(promise: PromiseLike<unknown>, request: HttpRequest): void {
    const handled = Promise.resolve(promise).then(
      undefined,
      (error: unknown) => isClientGone(error) || this.report(error, request, null),
    );
    this.end.waitFor(handled);
  }

  get observes(): boolean {
    return this.#counts || doneChannel.hasSubscribers || startChannel.hasSubscribers;
  }

  get wantsOutcomes(): boolean {
    return this.#onDone !== null || doneChannel.hasSubscribers;
  }

  answerBegins(request: HttpRequest): void {
    if (startChannel.hasSubscribers) startChannel.publish({ request, server: this.#server });
  }

  /** The answer may end in the turn of another request, so this begins with the stores of `serve`. */
  answerDone(answer: Meter): void {
    this.metrics?.count(answer);
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

  /** A path that cannot be decoded has no route. */
  routeLimits(method: string, path: string): RouteLimits | null {
    try {
      return this.#limitsFor(method, path);
    } catch (error) {
      if (error instanceof HttpError) return null;
      throw error;
    }
  }

  limitsWith(route: RouteLimits): LimitsInForce {
    let inForce = this.#limitsWith.get(route);
    if (inForce === undefined) {
      inForce = withRouteLimits(this, route);
      this.#limitsWith.set(route, inForce);
    }
    return inForce;
  }

  replace(connection: OpenConnection, upgraded: OpenConnection): void {
    const { connections } = this.door;
    if (connections.delete(connection)) connections.add(upgraded);
  }

  forget(connection: OpenConnection): void {
    this.door.connections.delete(connection);
    this.end.checkEmpty();
  }
}

/** The paths of the site that tell how the server is: none if the metrics have a port of their own. */
function pathsOfWatchers({ metrics }: ServeOptions): readonly string[] {
  return metrics === undefined || metrics.port !== undefined ? [] : watchedPaths(metrics.path ?? DEFAULT_METRICS_PATH);
}

function logError(error: unknown, request: HttpRequest | null): void {
  if (request === null) console.error(error);
  else console.error('%s:', errorLine(error, request), error);
}
