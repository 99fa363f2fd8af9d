/**
 * Connection: one client and its requests, in order and one at a time: the state machine between bytes and exchanges.
 *
 * A request is parsed when the response to the one before it is complete. So responses cannot overtake each other, a pipeline takes only
 * the memory of its bytes, and TCP stops a client that sends faster than it reads. While handlers complete their responses before they
 * return, one loop handles the whole pipeline of a turn, and its responses leave together.
 *
 * phase.ts has the phases, closable-connection.ts the ends, exchange.ts the work of a handler, incoming.ts unused input, outgoing.ts output,
 * deadline.ts the waits.
 *
 * Next: ../metrics/metric-families.ts
 */

import type { Stream, StreamHandler } from '../../simplenet/index.ts';
import { ClientGoneError } from '../http-error.ts';
import { INCOMPLETE } from '../request/field-parser.ts';
import type { PendingInput } from '../request/pending-input.ts';
import { ClosableConnection, HEAD_TOO_SLOW } from './closable-connection.ts';
import { Exchange } from './exchange.ts';
import type { DoneExchange, ExchangeConnection } from './exchange-connection.ts';
import { CLOSED, CUT, DISCARD, FLUSH, HEAD, LINGER, UPGRADED, WORK, YIELD } from './phase.ts';

export class Connection extends ClosableConnection implements StreamHandler, ExchangeConnection {
  // For the stream.

  onData(_stream: Stream, bytes: Buffer): void {
    if (this.phase === LINGER || this.phase === CUT) {
      this.dropInput(bytes);
    } else if (this.incoming.pending === null) {
      this.incoming.beginTurn();
      const used = this.#consume(bytes, 0, bytes.length);
      if (used < bytes.length) this.#keep(bytes.subarray(used));
      this.#afterInput();
    } else {
      this.#keep(bytes);
      if (this.phase === YIELD) return;
      this.incoming.beginTurn();
      this.#consumePending();
    }
  }

  /** Other connections have had their turn, so the pipeline goes on; or the line of requests, if the one here is the first in it. */
  onTurn(): void {
    if (this.phase === WORK) this.context.admission?.goOn();
    if (this.phase !== YIELD) return; // the connection was closed meanwhile
    this.enter(HEAD);
    this.incoming.beginTurn();
    this.#consumePending();
  }

  onEnd(stream: Stream): void {
    this.hasPeerEnded = true;
    switch (this.phase) {
      case HEAD:
        if (!this.isIdle) this.refuse(400, 'the connection ended within a head');
        else if (!this.flushFirst()) stream.close();
        break;
      case WORK:
        this.exchange?.clientEnded();
        break;
      case DISCARD:
        this.close();
        break;
      default: // a client that has ended its side still reads, so its responses go on
    }
  }

  /**
   * A handler that reads a body gets all bytes that have arrived, even if the client has disconnected: the body may be complete. It has
   * `answerMs` for that. In all other cases the stream ends at once, because the handler may wait for the disconnect of the client.
   */
  get endsAtBreak(): boolean {
    return this.phase !== WORK || this.exchange?.isReadByHandler !== true;
  }

  onDrain(): void {
    this.incoming.beginTurn();
    this.endPressing();
    this.outgoing.reportTaken();
    this.outgoing.resumeWriters();
    if (this.phase === CUT) this.endCut();
    if (this.phase !== FLUSH) return;
    // An incomplete head had no deadline while the client had responses to read.
    if (this.incoming.isHeadIncomplete) this.deadline.forHead();
    this.#next();
  }

  onTimeout(stream: Stream): void {
    switch (this.phase) {
      case HEAD:
        if (!this.isIdle) this.refuse(408, HEAD_TOO_SLOW);
        else if (this.flushFirst()) break;
        else if (!this.context.isStopping) stream.close();
        else if (stream.hasInput())
          this.stop(); // the next request has arrived: `onData` gets it in this turn or the next
        else this.linger();
        break;
      case WORK:
        this.exchange?.onTimeout();
        break;
      case DISCARD:
        this.close();
        break;
      case CUT:
        if (stream.queuedBytes > 0) this.deadline.forDelivery();
        else stream.abort();
        break;
      case LINGER:
        // The stream itself ends if the client takes too little of its response (`minimumProgress`).
        if (stream.queuedBytes > 0) this.deadline.forDiscarded();
        else stream.close();
        break;
      default: // YIELD: the client need not send anything
    }
  }

  onClose(_stream: Stream, error: Error | null): void {
    const exchange = this.exchange;
    this.closed();
    this.outgoing.log?.closed(error !== null || this.hasPeerEnded);
    const isAwaited = exchange?.close() === true;
    // Usually no code waits for the client. Then no error is made: its stack takes longer than all the rest of this method.
    if (!isAwaited && !this.outgoing.hasWriters) return;
    const reason = new ClientGoneError({ cause: error });
    exchange?.fail(reason);
    this.outgoing.rejectWriters(reason);
  }

  // For the exchange and its output.

  get mayServeMore(): boolean {
    return !this.mustClose && this.incoming.requests < this.context.limits.requestsPerConnection;
  }

  hasInputAfter(unusedBytes: number): boolean {
    if (this.isConsuming ? unusedBytes > 0 : this.incoming.pending !== null) return true;
    return !this.hasPeerEnded && this.stream.hasInput();
  }

  piecesSent(): void {
    if (this.phase === WORK) this.exchange?.piecesSent();
  }

  /** The response is written. The rest of the body is read and dropped for a while, so that the connection can be used again. */
  exchangeDone({ body, response }: DoneExchange): void {
    this.outgoing.endResponse();
    this.outgoing.log?.written();
    if (response.isClosing) this.mustClose = true;
    if (body.isComplete) {
      this.#next();
      return;
    }
    body.discard();
    this.hasUnreadBody = true;
    if (this.mustClose) {
      this.close();
      return;
    }
    this.enter(DISCARD);
    this.dropped = 0;
    this.resumeReading();
    if (!this.isConsuming) this.flushOutput();
    this.deadline.forDiscarded();
  }

  // The state machine.

  /** Works through bytes[start..end) as far as possible, and returns the offset after the bytes that it has used. */
  #consume(bytes: Buffer, start: number, end: number): number {
    this.isConsuming = true;
    let at = start;
    while (at < end) {
      if (this.phase === HEAD) {
        if (this.stream.queuedBytes > 0) break; // no further request while the client has not taken its responses
        if (this.#yieldIfShareSpent()) break;
        const used = this.#readHead(bytes, at, end);
        if (used === INCOMPLETE) break;
        at = used;
      } else if (this.phase === WORK && this.exchange?.isBodyIncomplete === true) {
        at = this.exchange.push(bytes, at, end);
      } else if (this.phase === DISCARD) {
        at = this.#discard(bytes, at, end);
      } else if (this.phase === LINGER || this.phase === CUT || this.phase === CLOSED) {
        at = end;
      } else {
        break;
      }
    }
    this.isConsuming = false;
    this.flushOutput();
    return at;
  }

  #consumePending(): void {
    const pending = this.incoming.pending as PendingInput;
    pending.start = this.#consume(pending.bytes, pending.start, pending.end);
    if (pending.byteLength === 0) this.incoming.pending = null;
    this.#afterInput();
  }

  /** If the share of this connection is spent, its next request waits: for another turn, or until the output has left. */
  #yieldIfShareSpent(): boolean {
    if (!this.incoming.isShareSpent) return false;
    this.context.output.flush();
    if (this.stream.queuedBytes > 0) return true; // `onDrain` goes on
    this.enter(YIELD);
    this.stream.awaitTurn();
    return true;
  }

  /** Keeps a copy of bytes that cannot be used yet. In all phases but HEAD and UPGRADED the amount is limited. */
  #keep(bytes: Buffer): void {
    const { byteLength } = this.incoming.keep(bytes);
    const isLimited = this.phase !== HEAD && this.phase !== UPGRADED;
    if (isLimited && byteLength >= this.context.limits.bodyBufferBytes) this.pauseReading();
  }

  /** All input that can be used has been used, and all output has been passed to the stream. */
  #afterInput(): void {
    const isToRead = this.phase === DISCARD || (this.phase === WORK && this.exchange?.isReadingBody === true);
    if (this.isPaused && isToRead) this.resume(); // kept input is used up, and the body is incomplete
    if (this.phase !== HEAD) return;
    if (this.flushFirst()) return;
    if (this.isPaused) this.resume();
    if (this.hasPeerEnded)
      this.stream.close(); // all complete requests have a response, and the rest of an incomplete one cannot come
    // An incomplete head has its deadline already.
    else if (this.incoming.pending === null) this.deadline.forNextRequest();
  }

  #readHead(bytes: Buffer, start: number, end: number): number {
    const { incoming } = this;
    const isFirst = !incoming.isHeadIncomplete;
    const wasIdle = incoming.isIdle;
    const used = incoming.readHead(bytes, start, end);
    if (used === INCOMPLETE) {
      // The deadline of a head counts from its first byte. Empty lines may come long before, and do not extend a deadline.
      if (isFirst || (wasIdle && !incoming.isIdle)) this.deadline.forHead();
      return INCOMPLETE;
    }
    if (used < 0) {
      this.refuse(-used, incoming.refusal);
      return end;
    }
    this.enter(WORK);
    this.exchange = new Exchange(this, incoming.takeHead(), end - used);
    incoming.requests++;
    this.exchange.run();
    return used;
  }

  /** Reads and drops bytes[start..end) as far as they are body. */
  #discard(bytes: Buffer, start: number, end: number): number {
    const { body } = this.exchange as Exchange;
    let at: number;
    try {
      at = body.push(bytes, start, end);
    } catch {
      this.close(); // the body is malformed, but its response has been sent
      return end;
    }
    this.dropped += at - start;
    if (body.isComplete) this.#next();
    else if (this.dropped > this.context.limits.discardBytes) this.close();
    return at;
  }

  /** The request and its response are complete. */
  #next(): void {
    if (this.mustClose) {
      this.close();
      return;
    }
    this.exchange = null;
    this.hasUnreadBody = false;
    this.enter(HEAD);
    if (this.isConsuming) return;
    this.flushOutput();
    if (this.stream.queuedBytes === 0 && this.incoming.pending !== null) this.#consumePending();
    else this.#afterInput();
  }
}
