/**
 * Exchange: one request as a client sends it, what the handler does about it, and the one answer that is right.
 *
 * All three are made together, before anything happens, so that the client and the handler know exactly what the other one
 * must see. While it happens both write down when: with that verdict.ts judges whether an end was allowed.
 *
 * Next: setting.ts
 */

import type { Framing } from '../../benchmarks/response-reader.ts';
import type { InvalidRequest } from '../http/request/corpus.ts';

/** What the handler does. */
export type Deed =
  /** Answers within the call, in one of the forms that a whole answer has. */
  | 'whole'
  /** The same, after a while. */
  | 'later'
  /** The same from a callback, without a promise that anybody could wait for. */
  | 'callback'
  /** Piece by piece, waiting for the client. */
  | 'stream'
  /** Piece by piece, without waiting: more than is allowed. */
  | 'flood'
  /** Reads the body whole and sends it back. */
  | 'echo'
  /** The same, but takes its time for each piece. */
  | 'sip'
  /** Sends back each piece as it comes. */
  | 'relay'
  /** Answers without reading the body. */
  | 'ignore'
  /** Reads one piece of the body, then answers. */
  | 'taste'
  /** Sends no response until its signal says that the client has disconnected. */
  | 'never'
  /** Throws within the call; later; something meant for the client; in the middle of an answer. */
  | 'throw'
  | 'reject'
  | 'refuse'
  | 'break'
  /** Returns without an answer. */
  | 'forget'
  /** Lets another protocol take over, which sends back whatever comes. */
  | 'upgrade'
  /** The same, and the new protocol closes at once. */
  | 'hang up'
  /** No handler is called: the router answers 404, 405 or OPTIONS. */
  | 'none';

export type WholeForm = 'text' | 'unicode' | 'html' | 'json' | 'bytes' | 'end' | 'empty' | 'redirect';

export interface ExpectedAnswer {
  readonly status: number;
  /** `Name: value`, all but Date and Connection. */
  readonly fields: readonly string[];
  readonly framing: Framing;
  readonly body: Buffer;
  /** How the body must be cut, where the handler decides that. */
  readonly chunks?: readonly number[];
  readonly trailers?: readonly string[];
}

export interface Exchange {
  readonly id: number;
  /** Its place on its connection. */
  readonly index: number;
  readonly deed: Deed;
  readonly method: string;
  readonly target: string;
  readonly isHttp10: boolean;
  /** The whole request, of which the first `headBytes` are the head. */
  readonly wire: Buffer;
  readonly headBytes: number;
  /** How many bytes of the head are empty lines before the request line. */
  readonly emptyBytes: number;
  /** Its content, as the handler must see it; null if there is none. */
  readonly body: Buffer | null;
  readonly isChunked: boolean;
  readonly trailers: readonly string[];
  readonly expectsContinue: boolean;
  /** The client says that this is its last, or it is in HTTP/1.0 and does not say that it is not. */
  readonly isLast: boolean;
  /** The handler says `Connection: close`. */
  readonly handlerCloses: boolean;
  /** The request is malformed, and this is known of it. */
  readonly invalid: InvalidRequest | null;
  /** How the handler goes about it. */
  readonly form: WholeForm;
  readonly content: Buffer;
  readonly pieces: readonly number[];
  readonly sleepMs: number;
  /** Null: none can be right, the connection breaks. */
  readonly answer: ExpectedAnswer | null;
  /** For an upgrade: what the client says in the other protocol. */
  readonly tunnel: Buffer;

  // What has happened, in simulated milliseconds; -1 for not yet.
  firstSentAt: number;
  /** When the first byte behind the empty lines was sent: empty lines do not begin a request. */
  lineSentAt: number;
  headSentAt: number;
  sentAt: number;
  begunAt: number;
  /** The handler has completed its answer, or thrown. */
  settledAt: number;
  /** The handler has said its last word to the client. */
  answeredAt: number;
  receivedAt: number;
  /** Whether the server was stopping when the head of the answer was made; null where that is not known. */
  wasStopping: boolean | null;
  gotContinue: boolean;
  /** Of its body, by the handler. */
  readBytes: number;
  /** Errors of this request in the log. */
  reports: number;
  signal: AbortSignal | null;
}

/** Handlers that may answer before they have read their body to its end. */
const EARLY: readonly Deed[] = ['ignore', 'taste', 'reject', 'relay'];

/**
 * The answer was made while the server stopped, and nothing of the next request had been sent: then it must say that it is the last.
 * Where something had, the server may have it already, and goes on. So it does where a body is not read to its end: a next request
 * may be among the bytes that have come.
 */
export function isLastOfStop(exchange: Exchange, next: Exchange | undefined): boolean {
  if (exchange.wasStopping !== true) return false;
  if (exchange.body !== null && EARLY.includes(exchange.deed)) return false;
  return next === undefined || next.firstSentAt < 0 || next.firstSentAt > exchange.answeredAt;
}
