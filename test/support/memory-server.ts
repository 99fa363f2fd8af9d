/**
 * A Connection without sockets: the stream below it and the server above it, both in memory and in the hands of a test.
 *
 * The stream keeps the contract of event-loop.ts as far as it goes; whoever drives it sees to the rest.
 */

import { readSync } from 'node:fs';
import type { Admission } from '../../http/connection/admission.ts';
import type { ConnectionContext, OpenConnection } from '../../http/connection/connection-context.ts';
import { createContextFactory } from '../../http/connection/context-factory.ts';
import type { Handler } from '../../http/handler.ts';
import { traitsOf } from '../../http/handlers/context-handler.ts';
import { defaultTimeouts, type Limits } from '../../http/limits.ts';
import { BodyMemory } from '../../http/request/body-memory.ts';
import { HeadParser } from '../../http/request/head-parser.ts';
import type { Outcome } from '../../http/request/http-request.ts';
import type { Meter } from '../../http/request/meter.ts';
import { HeadCache } from '../../http/response/head-cache.ts';
import { OutputBuffer } from '../../http/response/output-buffer.ts';
import { type LimitsInForce, type RouteLimits, withRouteLimits } from '../../http/route-limits.ts';
import { WebSocketCounts } from '../../http/web-socket-counts.ts';
import type { MinimumProgress, Stream, StreamHandler } from '../../simplenet/loop/event-loop.ts';

const OUTPUT_BYTES = 4_096;

/** A stream whose client takes all at once, or, if it is slow, what a test says that it takes. A write after the end throws. */
export class MemoryStream implements Stream {
  readonly remoteAddress = { address: '192.0.2.1', port: 1 };
  readonly localAddress = { address: '192.0.2.2', port: 80 };
  readonly peerCredentials = null;
  handler: StreamHandler = { onData: () => {} };
  queuedBytes = 0;
  isEnded = false;
  isPaused = false;
  isClosed = false;
  wasAborted = false;
  wantsTurn = false;
  sentBytes = 0;
  deadlineMs = Number.POSITIVE_INFINITY;
  minimumProgress: MinimumProgress | null = null;
  /** What `whenClosed` was given. */
  closed: () => void = () => {};
  readonly #sent: Buffer[] = [];
  readonly #isSlow: boolean;

  constructor(isSlow: boolean) {
    this.#isSlow = isSlow;
  }

  get sent(): Buffer {
    return Buffer.concat(this.#sent);
  }

  write(bytes: Uint8Array, length = bytes.byteLength): boolean {
    if (this.isEnded) throw new Error('a write after the end');
    this.#sent.push(Buffer.from(bytes.subarray(0, length)));
    this.sentBytes += length;
    if (this.#isSlow) this.queuedBytes += length;
    return !this.#isSlow;
  }

  writeOwned(bytes: Uint8Array): boolean {
    return this.write(bytes);
  }

  sendFile(fd: number, offset: number, length: number): boolean {
    const bytes = Buffer.alloc(length);
    return this.write(bytes, readSync(fd, bytes, 0, length, offset));
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  hasInput(): boolean {
    return false;
  }

  hasOutput(): boolean {
    return this.queuedBytes > 0;
  }

  end(): void {
    this.isEnded = true;
  }

  close(): void {
    this.isEnded = true;
    this.isClosed = true;
  }

  abort(): void {
    if (!this.isClosed) this.wasAborted = true;
    this.close();
  }

  setDeadline(delayMs: number): void {
    this.deadlineMs = delayMs;
  }

  get deadlineAt(): number {
    return this.deadlineMs;
  }

  awaitTurn(): void {
    this.wantsTurn = true;
  }

  whenClosed(callback: () => void): void {
    this.closed = callback;
  }

  /** Others have had their turn. */
  takeTurn(): void {
    if (!this.wantsTurn || this.isClosed) return;
    this.wantsTurn = false;
    this.handler.onTurn?.(this);
  }

  /** What epoll and the alarm would call. */
  passDeadline(): void {
    this.deadlineMs = Number.POSITIVE_INFINITY;
    this.handler.onTimeout?.(this);
  }

  /** The slow client has taken everything. */
  drain(): void {
    if (this.queuedBytes === 0 || this.isClosed) return;
    this.queuedBytes = 0;
    this.handler.onDrain?.(this);
  }
}

/** A server, as far as a connection needs one. */
export class MemoryCommons implements ConnectionContext {
  readonly handler: Handler;
  readonly opensTunnels: boolean;
  readonly continuesByHand: boolean;
  readonly scheme = 'http';
  readonly trustedProxies = null;
  readonly limits: Limits;
  readonly timeouts = defaultTimeouts;
  halfClose: 'abort' | 'serve' = 'abort';
  readonly minimumProgress = { everyMs: 30_000, bytes: 7_200 };
  readonly output = new OutputBuffer(OUTPUT_BYTES);
  readonly headCache = new HeadCache(() => this.dateLine());
  readonly lineCache = HeadCache.ofLines(() => this.dateLine());
  readonly keepAliveLine = 'Keep-Alive: timeout=75\r\n';
  readonly admission: Admission | null = null;
  readonly bodyMemory: BodyMemory;
  isStopping = false;
  readonly createContext = createContextFactory();
  readonly idleGraceMs = 100;
  isTurnSpent = false;
  /** Ends the wait of the body that waits for memory: no time passes here, so it is for a test to say. */
  endWait: () => void = () => {};
  observes = false;
  readonly webSocketCounts = new WebSocketCounts();
  wantsOutcomes = true;
  readonly outcomes: Outcome[] = [];
  /** What handlers threw and the client was not meant to see. */
  readonly reported: unknown[] = [];

  constructor(handler: Handler, limits: Limits) {
    this.handler = handler;
    ({ opensTunnels: this.opensTunnels, continuesByHand: this.continuesByHand } = traitsOf(handler));
    this.limits = limits;
    this.bodyMemory = new BodyMemory(limits.bodyMemoryBytes, this.timeouts.bodyWaitMs, (_delayMs, ring) => {
      this.endWait = ring;
      return { cancel: () => {} };
    });
  }

  /** What a test says that the time is, or null for the true time. */
  nowMs: number | null = null;

  activeNow(): number {
    return this.nowMs ?? performance.now();
  }

  dateLine(): string {
    return 'Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n';
  }

  borrowParser(): HeadParser {
    return new HeadParser(this.limits);
  }

  returnParser(): void {}

  borrowOutput(): OutputBuffer {
    return new OutputBuffer(OUTPUT_BYTES);
  }

  returnOutput(): void {}

  waitUntil(): void {}

  report(error: unknown): boolean {
    this.reported.push(error);
    return true;
  }

  replace(): void {}

  forget(_connection: OpenConnection): void {}

  now(): number {
    return performance.now();
  }

  exactNow(): number {
    return performance.now();
  }

  wallNow(): number {
    return Date.now();
  }

  routeLimits(): null {
    return null;
  }

  limitsWith(route: RouteLimits): LimitsInForce {
    return withRouteLimits(this, route);
  }

  answerBegins(): void {}

  answerDone(answer: Meter): void {
    this.outcomes.push(answer.outcome());
  }
}
