/**
 * Incoming: the bytes of a client that could not be used yet: an incomplete head, or requests behind the one at work.
 *
 * A head that comes in one piece, as nearly all do, is parsed where it lies. Only an incomplete one is kept, with a parser that
 * remembers how far it got. A connection may begin so many requests in a turn; what is behind them is kept, too.
 *
 * Next: outgoing.ts
 */

import type { HttpError } from '../http-error.ts';
import { INCOMPLETE } from '../request/field-parser.ts';
import type { HeadParser } from '../request/head-parser.ts';
import { PendingInput } from '../request/pending-input.ts';
import { RequestHead } from '../request/request-head.ts';
import { latin1Of } from '../response/latin1.ts';
import type { ConnectionContext } from './connection-context.ts';

/** A bit mask: within a pipeline the clock is read behind every fourth request. */
const CLOCK_MASK = 3;

export class Incoming {
  /** How many requests have begun. */
  requests = 0;
  /** Bytes that are kept, or null. */
  pending: PendingInput | null = null;
  /** What `readHead` has found, or why it has refused. */
  head!: RequestHead;
  refusal = '';
  readonly #context: ConnectionContext;
  /** Only while a head is incomplete. */
  #parser: HeadParser | null = null;

  /** How many there were when the loop last called. */
  #requestsBefore = 0;

  constructor(context: ConnectionContext) {
    this.#context = context;
  }

  /** Nothing of a next request has come. Empty lines are nothing. */
  get isIdle(): boolean {
    return this.#parser === null ? this.pending === null : !this.#parser.hasBegun;
  }

  get isHeadIncomplete(): boolean {
    return this.#parser !== null;
  }

  /** The loop calls: a new turn of this connection begins. */
  beginTurn(): void {
    this.#requestsBefore = this.requests;
  }

  /**
   * Other connections are to go on before the next request. The clock is read behind the first request of a pipeline and behind every
   * fourth: a cheap pipeline hardly pays for it, and a slow handler is found out at once.
   */
  get isShareSpent(): boolean {
    const begun = this.requests - this.#requestsBefore;
    if (begun === 0) return false;
    if (begun >= this.#context.limits.requestsPerTurn) return true;
    return (begun === 1 || (begun & CLOCK_MASK) === 0) && this.#context.isTurnSpent;
  }

  /** Keeps a copy. */
  keep(bytes: Buffer): PendingInput {
    const { bodyBufferBytes, headBytes } = this.#context.limits;
    if (this.pending === null) this.pending = new PendingInput(bytes, Math.max(bodyBufferBytes, headBytes));
    else this.pending.append(bytes);
    return this.pending;
  }

  /** Returns the offset behind a head, or INCOMPLETE, or the status to refuse it with as a negative number. */
  readHead(bytes: Buffer, start: number, end: number): number {
    const parser = this.#parser ?? this.#context.borrowParser();
    this.#parser = parser;
    let used = parser.parse(bytes, start, end);
    if (used === INCOMPLETE) return INCOMPLETE;
    // No error object is made of a syntax error: a flood of malformed heads would pay for a stack each.
    if (used < 0) this.refusal = 'the head is malformed or too large';
    else used = this.#understand(bytes, start, used, parser);
    this.#release();
    return used;
  }

  #understand(bytes: Buffer, start: number, end: number, parser: HeadParser): number {
    try {
      this.head = new RequestHead(latin1Of(bytes, start, end), parser, this.#context.limits.bodyBytes);
      return end;
    } catch (error) {
      const { status, message } = error as HttpError;
      this.refusal = message;
      return -status;
    }
  }

  /** Nothing of it will be used any more. */
  drop(): void {
    this.pending = null;
    this.#release();
  }

  /** Gives the parser back. */
  #release(): void {
    if (this.#parser === null) return;
    this.#context.returnParser(this.#parser);
    this.#parser = null;
  }
}
