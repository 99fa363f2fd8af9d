/**
 * ExchangeConnection: what an exchange, and the receiver of its body, ask of their connection. They do not change its phase: they ask it to go on,
 * to refuse or to break off.
 *
 * Next: body-receiver.ts
 */

import type { Stream, StreamHandler } from '../../simplenet/index.ts';
import type { RequestBody } from '../request/request-body.ts';
import type { ResponseWriter } from '../response/response-writer.ts';
import type { ConnectionContext } from './connection-context.ts';
import type { Deadline } from './deadline.ts';
import type { AwaitedClient } from './eviction.ts';
import type { Outgoing } from './outgoing.ts';

/** An exchange whose response is complete. */
export interface DoneExchange {
  readonly body: RequestBody;
  readonly response: ResponseWriter;
}

/** An exchange whose program waits for the stop of the server. */
export interface StoppableExchange {
  serverStops(): void;
}

export interface ExchangeConnection extends AwaitedClient {
  readonly stream: Stream;
  readonly context: ConnectionContext;
  readonly outgoing: Outgoing;
  readonly deadline: Deadline;
  /** The connection is working through received bytes. It sends what is written meanwhile at the end. */
  readonly isConsuming: boolean;
  /** The client has ended its side. */
  readonly hasPeerEnded: boolean;
  /** Neither an earlier response nor `requestsPerConnection` ends the connection now. */
  readonly mayServeMore: boolean;
  /** Whether bytes after this request have come. `unusedBytes` of the bytes that are being consumed come after it. */
  hasInputAfter(unusedBytes: number): boolean;
  pauseReading(): void;
  resumeReading(): void;
  exchangeDone(exchange: DoneExchange): void;
  /** Sends this answer, which has that status and message, and ends the connection. */
  refuse(status: number, message: string, answer: string): void;
  /** Ends the connection so that the client can notice that the response is incomplete. */
  cut(): void;
  /** The connection tells this exchange when the server stops, also if its stream has been handed over. */
  keepForClosing(exchange: StoppableExchange): void;
  /** Writes the head of the last response, and gives the stream away. */
  handOver(head: string, createHandler: (stream: Stream) => StreamHandler): void;
}
