/**
 * ConnectionContext: what all connections of a server share: its handler, its limits, its clock, and buffers that a connection
 * borrows for as long as it needs them. An idle connection owns no buffer. `serve.ts` implements it; the tests have a second one.
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
import type { HeadCache } from '../response/head-cache.ts';
import type { OutputBuffer } from '../response/output-buffer.ts';

/** What the server may ask a connection to do. */
export interface OpenConnection {
  /** The server stops: end soon if no request is under way. */
  stop(): void;
  /** The server waits no longer: end now. */
  endNow(): void;
  /** Pass everything that is written on to the stream. */
  flush(): void;
}

export interface ConnectionContext {
  readonly handler: Handler;
  readonly limits: Limits;
  readonly timeouts: Timeouts;
  /** How fast a client must take what is queued for it. */
  readonly minimumProgress: MinimumProgress | null;
  /** Gathers the responses of a turn, of one connection after the other. */
  readonly output: OutputBuffer;
  readonly headCache: HeadCache;
  readonly bodyMemory: BodyMemory;
  /** The line `Date: ...`. */
  dateLine(): string;
  /** The next response of each connection is its last, and says so. */
  readonly isStopping: boolean;
  /** While the server stops: how long an idle connection may still begin a request. */
  readonly idleGraceMs: number;
  /** The turn of the loop has used up its time. This reads the clock. */
  readonly isTurnSpent: boolean;
  /** The clock of the loop that deadlines count from. */
  activeNow(): number;
  /** A parser in its first state. A connection keeps one only while a head is incomplete. */
  borrowParser(): HeadParser;
  returnParser(parser: HeadParser): void;
  /** An empty buffer, for a response that comes in pieces. A connection keeps one only to the end of a tick. */
  borrowOutput(): OutputBuffer;
  returnOutput(output: OutputBuffer): void;
  /** An unused async context: code of the program that is called for a request runs in it. */
  createContext(): AsyncResource;
  /** Calls code of the program. The caller chooses the async context. */
  report(error: unknown, request: HttpRequest | null): void;
  /** The connection is closed, or belongs to another protocol. */
  forget(connection: OpenConnection): void;
}
