/**
 * Incoming: the bytes of a client that could not be used yet: an incomplete head, or requests after the one at work.
 *
 * Nearly every head comes in one piece, and is parsed in the receive buffer. Only an incomplete head is kept, with its parser, which
 * continues at the same byte later. The number of requests that may begin in a turn is limited; the bytes after them are kept, too.
 *
 * Next: answer-log.ts
 */

import type { HttpError } from '../http-error.ts';
import { INCOMPLETE } from '../request/field-parser.ts';
import type { HeadParser } from '../request/head-parser.ts';
import { PendingInput } from '../request/pending-input.ts';
import { RequestHead } from '../request/request-head.ts';
import { latin1Of } from '../response/latin1.ts';
import type { ConnectionContext } from './connection-context.ts';

/** A bit mask: within a pipeline the clock is read after the first request and after each fourth. */
const CLOCK_MASK = 3;

/** The exchange judges a declared length, when the route and its limits are known. */
const MAX_DECLARED_BYTES = Number.MAX_SAFE_INTEGER;

export class Incoming {
  /** How many requests have begun. */
  requests = 0;
  /** The bytes that are kept, or null. */
  pending: PendingInput | null = null;
  /** Why `readHead` has refused the head. */
  refusal = '';
  readonly #context: ConnectionContext;
  /** Only while a head is incomplete. */
  #parser: HeadParser | null = null;
  /** The head of `readHead`, until it is taken. */
  #head: RequestHead | null = null;

  /** How many requests had begun when this turn began. */
  #requestsBefore = 0;

  constructor(context: ConnectionContext) {
    this.#context = context;
  }

  /** No byte of a next request has come. Empty lines do not count. */
  get isIdle(): boolean {
    return this.#parser === null ? this.pending === null : !this.#parser.hasBegun;
  }

  get isHeadIncomplete(): boolean {
    return this.#parser !== null;
  }

  /** A new turn of this connection begins: its share is whole again. */
  beginTurn(): void {
    this.#requestsBefore = this.requests;
  }

  /**
   * Whether other connections go on before the next request. The clock is read after the first request of a pipeline and after each
   * fourth. So the clock costs a pipeline of fast handlers little, and a slow handler is noticed at once.
   */
  get isShareSpent(): boolean {
    const begun = this.requests - this.#requestsBefore;
    if (begun === 0) return false;
    if (begun >= this.#context.limits.requestsPerTurn) return true;
    return (begun === 1 || (begun & CLOCK_MASK) === 0) && this.#context.isTurnSpent;
  }

  /** Keeps a copy of the bytes. */
  keep(bytes: Buffer): PendingInput {
    const { bodyBufferBytes, headBytes } = this.#context.limits;
    if (this.pending === null) this.pending = new PendingInput(bytes, Math.max(bodyBufferBytes, headBytes));
    else this.pending.append(bytes);
    return this.pending;
  }

  /** Returns the offset after the head, or INCOMPLETE, or the negated status to refuse it with. */
  readHead(bytes: Buffer, start: number, end: number): number {
    const parser = this.#parser ?? this.#context.borrowParser();
    this.#parser = parser;
    let used = parser.parse(bytes, start, end);
    if (used === INCOMPLETE) return INCOMPLETE;
    // No error object is made for a syntax error: its stack would make a flood of malformed heads expensive.
    if (used < 0) this.refusal = 'the head is malformed or too large';
    else used = this.#checkRules(bytes, start, used, parser);
    this.#release();
    return used;
  }

  #checkRules(bytes: Buffer, start: number, end: number, parser: HeadParser): number {
    try {
      const text = latin1Of(bytes, start, end);
      this.#head = new RequestHead(text, parser, MAX_DECLARED_BYTES, this.#context.opensTunnels);
      return end;
    } catch (error) {
      const { status, message } = error as HttpError;
      this.refusal = message;
      return -status;
    }
  }

  /** Returns the head of `readHead` and drops it here: the head of a browser is 1 KB, and the connection may be idle for minutes. */
  takeHead(): RequestHead {
    const head = this.#head as RequestHead;
    this.#head = null;
    return head;
  }

  /** Drops all that is kept. */
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
