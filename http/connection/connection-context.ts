/**
 * ConnectionContext: what all connections of a server share: its handler, its limits, its clock, and buffers that a connection
 * borrows while it needs them. An idle connection owns no buffer. `commons.ts` implements it, and so do the tests.
 *
 * Next: deadline.ts
 */

import type { AsyncResource } from 'node:async_hooks';
import type { MinimumProgress } from '../../simplenet/index.ts';
import type { Handler } from '../handler.ts';
import type { Limits, Timeouts } from '../limits.ts';
import type { BodyMemory } from '../request/body-memory.ts';
import type { HeadParser } from '../request/head-parser.ts';
import type { HttpRequest } from '../request/http-request.ts';
import type { Meter } from '../request/meter.ts';
import type { TrustedProxies } from '../request/trusted-proxies.ts';
import type { HeadCache } from '../response/head-cache.ts';
import type { OutputBuffer } from '../response/output-buffer.ts';
import type { ResponseWriter } from '../response/response-writer.ts';
import type { LimitsInForce, RouteLimits } from '../route-limits.ts';
import type { WebSocketCounts } from '../web-socket-counts.ts';
import type { Admission } from './admission.ts';
import type { AwaitedClient, IdleClient } from './eviction.ts';

/** What the server may ask a connection to do. */
export interface OpenConnection extends IdleClient, AwaitedClient {
  /** The server stops. Ends the connection soon if no request is under way; else tells the handler (`request.closing`). */
  stop(): void;
  /** Ends the connection if its TLS handshake is not complete. */
  endHandshake(): void;
  /** Ends the connection now. */
  endNow(): void;
  /** Passes everything that is written on to the stream. */
  flush(): void;
}

export interface ConnectionContext {
  readonly handler: Handler;
  /** CONNECT reaches the handler; otherwise it is 501. */
  readonly opensTunnels: boolean;
  /** The program sends `100 Continue` itself. */
  readonly continuesByHand: boolean;
  /** Of all connections: 'https' if they come in by TLS. */
  readonly scheme: 'http' | 'https';
  /** Null if what proxies say of a client does not count. */
  readonly trustedProxies: TrustedProxies | null;
  readonly limits: Limits;
  readonly timeouts: Timeouts;
  /** Whether the FIN of a client aborts the signal of the request at work. */
  readonly halfClose: 'abort' | 'serve';
  /** How fast a client must take what is queued for it. */
  readonly minimumProgress: MinimumProgress | null;
  /** Gathers the responses of a turn, for one connection after the other. */
  readonly output: OutputBuffer;
  readonly headCache: HeadCache;
  /** Its keys are field lines. */
  readonly lineCache: HeadCache;
  readonly bodyMemory: BodyMemory;
  /** Who may begin. Null if every request may. */
  readonly admission: Admission | null;
  /** The line `Date: ...`. */
  dateLine(): string;
  /** The line `Keep-Alive: timeout=...`, for clients that ask; '' if idle connections do not close by time. */
  readonly keepAliveLine: string;
  /** The server stops: a response says that it is the last, unless a further request of its client is waiting. */
  readonly isStopping: boolean;
  /** While the server stops: how long an idle connection may still begin a request. */
  readonly idleGraceMs: number;
  /** The turn of the loop has used up its time. Reading this reads the clock. */
  readonly isTurnSpent: boolean;
  /** The clock of the loop that deadlines count from. */
  activeNow(): number;
  /** Returns a parser in its first state. A connection keeps one only while a head is incomplete. */
  borrowParser(): HeadParser;
  returnParser(parser: HeadParser): void;
  /** Returns an empty buffer for a response that comes in pieces. A connection keeps one only until the end of a tick. */
  borrowOutput(): OutputBuffer;
  returnOutput(output: OutputBuffer): void;
  /** What the WebSockets of the server have done. */
  readonly webSocketCounts: WebSocketCounts;
  /** Creates an async context, in which code of the program is called for one request. */
  createContext(): AsyncResource;
  /**
   * Calls `onError` of the program, in the async context of the caller. It may answer if it gets the response. Returns false, at once or
   * later, if `onError` itself fails. The promise never rejects.
   */
  report(error: unknown, request: HttpRequest | null, response: ResponseWriter | null): boolean | Promise<boolean>;
  /** Keeps the server from being closed until the promise is settled or the grace has ended, and reports its error. */
  waitUntil(promise: PromiseLike<unknown>, request: HttpRequest): void;
  /** Answers are counted. Asked once for each request. */
  readonly observes: boolean;
  /** Code of the program wants to know what becomes of each answer. Without that, answers are only added up. */
  readonly wantsOutcomes: boolean;
  /** A clock that never goes back, as it was when the turn of the loop began. */
  now(): number;
  /** The same clock, read at this moment. */
  exactNow(): number;
  wallNow(): number;
  /** A handler is about to be called. Only called if the server observes. */
  answerBegins(request: HttpRequest): void;
  /** Counts the answer, and calls `onDone` of the program. */
  answerDone(answer: Meter): void;
  /** Returns the limits of the route of a request, if its handler is a router and knows some; else null. */
  routeLimits(method: string, path: string): RouteLimits | null;
  /** Returns the limits of the server, replaced by those of a route. */
  limitsWith(route: RouteLimits): LimitsInForce;
  /** The stream of `connection` has been handed over to a protocol of ours, and `upgraded` stands for it from now on. */
  replace(connection: OpenConnection, upgraded: OpenConnection): void;
  /** Removes a connection that is closed. One whose stream has been handed over counts until that stream is closed. */
  forget(connection: OpenConnection): void;
}
