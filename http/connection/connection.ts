/**
 * Connection: one client and its requests, in order and one at a time: the state machine between bytes and exchanges.
 *
 * A request is parsed when the response to the one before it is complete. So responses cannot overtake each other, a pipeline takes only
 * the memory of its bytes, and TCP stops a client that sends faster than it reads. While handlers complete their responses before they
 * return, one loop handles the whole pipeline of a turn, and its responses leave together.
 *
 * phase.ts has the phases, exchange.ts the work of a handler, incoming.ts unused input, outgoing.ts output, deadline.ts the waits.
 *
 * Next: ../serve-options.ts
 */

import type { Stream, StreamHandler } from '../../simplenet/index.ts';
import { ClientGoneError, HttpError } from '../http-error.ts';
import { INCOMPLETE } from '../request/field-parser.ts';
import type { PendingInput } from '../request/pending-input.ts';
import { refusalOf } from '../response/refusal.ts';
import { AnswerLog } from './answer-log.ts';
import type { ConnectionContext, OpenConnection } from './connection-context.ts';
import { Deadline } from './deadline.ts';
import { Exchange, type ExchangeConnection } from './exchange.ts';
import { Handover } from './handover.ts';
import { Incoming } from './incoming.ts';
import { Meter } from './meter.ts';
import { Outgoing } from './outgoing.ts';
import { CLOSED, CUT, DISCARD, FLUSH, HEAD, LINGER, type Phase, step, UPGRADED, WORK, YIELD } from './phase.ts';

/** How much is read and dropped while lingering. Above it reading pauses, because close(2) would send an RST that destroys the response. */
const MAX_LINGER_BYTES = 4 * 1024 * 1024;

export class Connection implements StreamHandler, OpenConnection, ExchangeConnection {
  readonly stream: Stream;
  readonly context: ConnectionContext;
  readonly incoming: Incoming;
  readonly outgoing: Outgoing;
  readonly deadline: Deadline;
  isConsuming = false;
  #phase = HEAD;
  /** Set in WORK and DISCARD, and in phases after them that end the connection. */
  #exchange: Exchange | null = null;
  #isPaused = false;
  #hasPeerEnded = false;
  /** No further request is read. */
  #mustClose = false;
  /** The response was complete before the body of its request, so more of that body may come. */
  #hasUnreadBody = false;
  /** Bytes of input that were dropped in this phase. */
  #dropped = 0;

  constructor(context: ConnectionContext, stream: Stream) {
    this.context = context;
    this.stream = stream;
    this.incoming = new Incoming(context);
    this.outgoing = new Outgoing(context, stream, this);
    this.deadline = new Deadline(context, stream);
    stream.minimumProgress = context.minimumProgress;
    if (context.isStopping) this.stop();
    else this.deadline.forHead();
  }

  // For the server.

  /**
   * A request at work goes on, and so does another protocol; both are told. An idle connection ends unless its next request comes within
   * `idleGraceMs`.
   */
  stop(): void {
    if (this.isIdle) this.deadline.forNextRequest();
    else if (this.#phase === WORK || this.#phase === UPGRADED) this.#exchange?.serverStops();
  }

  /** A connection whose responses are complete is closed without RST, which could destroy them on their way. */
  endNow(): void {
    const isComplete = this.isIdle || this.#phase === LINGER || this.#phase === UPGRADED;
    if (isComplete && this.stream.queuedBytes === 0) this.stream.close();
    else this.stream.abort();
  }

  /** Between two requests, and no byte of the next has come. Empty lines do not count. */
  get isIdle(): boolean {
    return this.#phase === HEAD && this.incoming.isIdle;
  }

  get idleSince(): number {
    const { incoming, stream } = this;
    // An incomplete head has the deadline of a head, even if only empty lines have come.
    const isWaiting = this.#phase === HEAD && !incoming.isHeadIncomplete && incoming.pending === null;
    if (!isWaiting || stream.isEnded || stream.queuedBytes > 0) return Number.POSITIVE_INFINITY;
    return this.deadline.idleSince(incoming.requests === 0);
  }

  /** If a request arrives after close(2), the kernel sends RST, which destroys a response on its way. */
  closeIfSilent(): boolean {
    if (this.stream.hasOutput() || this.stream.hasInput()) return false;
    this.stream.close();
    return true;
  }

  flush(): void {
    this.outgoing.flushPieces();
  }

  // For the stream.

  onData(_stream: Stream, bytes: Buffer): void {
    if (this.#phase === LINGER || this.#phase === CUT) {
      this.#dropped += bytes.length;
      if (this.#dropped > MAX_LINGER_BYTES && !this.#isPaused) this.pauseReading();
    } else if (this.incoming.pending === null) {
      this.incoming.beginTurn();
      const used = this.#consume(bytes, 0, bytes.length);
      if (used < bytes.length) this.#keep(bytes.subarray(used));
      this.#afterInput();
    } else {
      this.#keep(bytes);
      if (this.#phase === YIELD) return;
      this.incoming.beginTurn();
      this.#consumePending();
    }
  }

  /** Other connections have had their turn, so the pipeline goes on. */
  onTurn(): void {
    if (this.#phase !== YIELD) return; // the connection was closed meanwhile
    this.#enter(HEAD);
    this.incoming.beginTurn();
    this.#consumePending();
  }

  onEnd(stream: Stream): void {
    this.#hasPeerEnded = true;
    switch (this.#phase) {
      case HEAD:
        if (!this.isIdle) this.refuse(400, 'the connection ended within a head');
        else if (!this.#flushFirst()) stream.close();
        break;
      case WORK:
        this.#exchange?.clientEnded();
        break;
      case DISCARD:
        this.#close();
        break;
      default: // a client that has ended its side still reads, so its responses go on
    }
  }

  /**
   * A handler that reads a body gets all bytes that have arrived, even if the client has disconnected: the body may be complete. It has
   * `answerMs` for that. In all other cases the stream ends at once, because the handler may wait for the disconnect of the client.
   */
  get endsAtBreak(): boolean {
    return this.#phase !== WORK || this.#exchange?.isReadByHandler !== true;
  }

  onDrain(): void {
    this.incoming.beginTurn();
    this.#reportTaken();
    this.outgoing.resumeWriters();
    if (this.#phase === CUT) this.#endCut();
    if (this.#phase !== FLUSH) return;
    // An incomplete head had no deadline while the client had responses to read.
    if (this.incoming.isHeadIncomplete) this.deadline.forHead();
    this.#next();
  }

  onTimeout(stream: Stream): void {
    switch (this.#phase) {
      case HEAD:
        if (!this.isIdle) this.refuse(408, 'the head took too long');
        else if (this.#flushFirst()) break;
        else if (!this.context.isStopping) stream.close();
        else if (stream.hasInput())
          this.stop(); // the next request has arrived: `onData` gets it in this turn or the next
        else this.#linger();
        break;
      case WORK:
        this.#exchange?.onTimeout();
        break;
      case DISCARD:
        this.#close();
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
    const exchange = this.#exchange;
    this.#closed();
    this.outgoing.log?.closed(error !== null || this.#hasPeerEnded);
    const isAwaited = exchange?.close() === true;
    // Usually no code waits for the client. Then no error is made: its stack takes longer than all the rest of this method.
    if (!isAwaited && !this.outgoing.hasWriters) return;
    const reason = new ClientGoneError({ cause: error });
    exchange?.fail(reason);
    this.outgoing.rejectWriters(reason);
  }

  // For the exchange and its output.

  get hasPeerEnded(): boolean {
    return this.#hasPeerEnded;
  }

  get mayServeMore(): boolean {
    return !this.#mustClose && this.incoming.requests < this.context.limits.requestsPerConnection;
  }

  hasInputAfter(unusedBytes: number): boolean {
    if (this.isConsuming ? unusedBytes > 0 : this.incoming.pending !== null) return true;
    return !this.#hasPeerEnded && this.stream.hasInput();
  }

  pauseReading(): void {
    this.#isPaused = true;
    this.stream.pause();
  }

  /** While input is consumed it does nothing: `#afterInput` resumes reading then. */
  resumeReading(): void {
    if (this.#isPaused && !this.isConsuming) this.#resume();
  }

  piecesSent(): void {
    if (this.#phase === WORK) this.#exchange?.piecesSent();
  }

  /** The response is written. The rest of the body is read and dropped for a while, so that the connection can be used again. */
  exchangeDone({ body, response }: Exchange): void {
    this.outgoing.endResponse();
    this.outgoing.log?.written();
    if (response.isClosing) this.#mustClose = true;
    if (body.isComplete) {
      this.#next();
      return;
    }
    body.discard();
    this.#hasUnreadBody = true;
    if (this.#mustClose) {
      this.#close();
      return;
    }
    this.#enter(DISCARD);
    this.#dropped = 0;
    this.resumeReading();
    if (!this.isConsuming) this.#flush();
    this.deadline.forDiscarded();
  }

  refuse(status: number, message: string, fields = ''): void {
    if (this.#exchange === null && this.context.observes) this.#measure(null);
    const isHeadRequest = this.#exchange?.head.method === 'HEAD';
    const { log } = this.outgoing;
    log?.fail(new HttpError(status, message));
    this.outgoing.head(refusalOf(status, this.context.dateLine(), message, fields, isHeadRequest));
    log?.written();
    this.#linger();
  }

  /** Complete responses that are queued before the incomplete one are sent first. */
  cut(): void {
    if (this.outgoing.isClosed) return;
    this.outgoing.flush();
    this.outgoing.log?.written();
    if (this.incoming.requests === 1 && this.#isCutDetectable) {
      this.stream.abort();
      return;
    }
    this.#enter(CUT);
    this.outgoing.isClosed = true;
    this.#dropped = 0;
    this.incoming.pending = null;
    if (this.#isPaused) this.#resume();
    if (this.stream.queuedBytes > 0) this.deadline.none();
    else this.#endCut();
  }

  handOver(head: string, createHandler: (stream: Stream) => StreamHandler): void {
    const { stream } = this;
    this.outgoing.head(head);
    this.outgoing.flush();
    this.outgoing.log?.written();
    this.outgoing.log?.taken(); // the stream reports to the other protocol from now on
    this.outgoing.isClosed = true;
    this.#enter(UPGRADED);
    this.deadline.none();
    // The program may replace the handler of the stream at any time, so a callback of a handler cannot tell.
    stream.whenClosed(() => {
      if (this.#phase === UPGRADED) this.#closed();
    });
    stream.minimumProgress = null;
    if (this.#isPaused) stream.resume();
    Handover.begin(stream, createHandler, () => {
      const rest = this.incoming.pending;
      this.incoming.pending = null;
      return { rest, hasPeerEnded: this.#hasPeerEnded };
    });
  }

  measure(exchange: Exchange): Meter {
    return this.#measure(exchange);
  }

  // The state machine.

  #enter(phase: Phase): void {
    this.#phase = step(this.#phase, phase);
  }

  #closed(): void {
    this.#enter(CLOSED);
    this.incoming.drop();
    this.outgoing.isClosed = true;
    this.context.forget(this);
  }

  /** Works through bytes[start..end) as far as possible, and returns the offset after the bytes that it has used. */
  #consume(bytes: Buffer, start: number, end: number): number {
    this.isConsuming = true;
    let at = start;
    while (at < end) {
      if (this.#phase === HEAD) {
        if (this.stream.queuedBytes > 0) break; // no further request while the client has not taken its responses
        if (this.#yieldIfShareSpent()) break;
        const used = this.#readHead(bytes, at, end);
        if (used === INCOMPLETE) break;
        at = used;
      } else if (this.#phase === WORK && this.#exchange?.isBodyIncomplete === true) {
        at = this.#exchange.push(bytes, at, end);
      } else if (this.#phase === DISCARD) {
        at = this.#discard(bytes, at, end);
      } else if (this.#phase === LINGER || this.#phase === CUT || this.#phase === CLOSED) {
        at = end;
      } else {
        break;
      }
    }
    this.isConsuming = false;
    this.#flush();
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
    this.#enter(YIELD);
    this.stream.awaitTurn();
    return true;
  }

  /** Keeps a copy of bytes that cannot be used yet. In all phases but HEAD and UPGRADED the amount is limited. */
  #keep(bytes: Buffer): void {
    const { byteLength } = this.incoming.keep(bytes);
    const isLimited = this.#phase !== HEAD && this.#phase !== UPGRADED;
    if (isLimited && byteLength >= this.context.limits.bodyBufferBytes) this.pauseReading();
  }

  /** All input that can be used has been used, and all output has been passed to the stream. */
  #afterInput(): void {
    const isToRead = this.#phase === DISCARD || (this.#phase === WORK && this.#exchange?.isReadingBody === true);
    if (this.#isPaused && isToRead) this.#resume(); // kept input is used up, and the body is incomplete
    if (this.#phase !== HEAD) return;
    if (this.#flushFirst()) return;
    if (this.#isPaused) this.#resume();
    if (this.#hasPeerEnded)
      this.stream.close(); // all complete requests have a response, and the rest of an incomplete one cannot come
    // An incomplete head has its deadline already.
    else if (this.incoming.pending === null) this.deadline.forNextRequest();
  }

  /** If responses are queued, the client must take them first: phase FLUSH. On io_uring a write can become queued after it has returned true. */
  #flushFirst(): boolean {
    if (this.stream.queuedBytes === 0) return false;
    this.#enter(FLUSH);
    this.deadline.none();
    return true;
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
    this.#enter(WORK);
    this.#exchange = new Exchange(this, incoming.takeHead(), end - used);
    incoming.requests++;
    this.#exchange.run();
    return used;
  }

  /** Reads and drops bytes[start..end) as far as they are body. */
  #discard(bytes: Buffer, start: number, end: number): number {
    const { body } = this.#exchange as Exchange;
    let at: number;
    try {
      at = body.push(bytes, start, end);
    } catch {
      this.#close(); // the body is malformed, but its response has been sent
      return end;
    }
    this.#dropped += at - start;
    if (body.isComplete) this.#next();
    else if (this.#dropped > this.context.limits.discardBytes) this.#close();
    return at;
  }

  /** The request and its response are complete. */
  #next(): void {
    if (this.#mustClose) {
      this.#close();
      return;
    }
    this.#exchange = null;
    this.#hasUnreadBody = false;
    this.#enter(HEAD);
    if (this.isConsuming) return;
    this.#flush();
    if (this.stream.queuedBytes === 0 && this.incoming.pending !== null) this.#consumePending();
    else this.#afterInput();
  }

  #flush(): void {
    this.context.output.flush();
    if (!this.isConsuming) this.#reportTaken();
  }

  #reportTaken(): void {
    const { log } = this.outgoing;
    if (log !== null && this.stream.queuedBytes === 0) log.taken();
  }

  #measure(exchange: Exchange | null): Meter {
    const meter = new Meter(exchange, this.context);
    this.outgoing.log ??= new AnswerLog((outcome) => this.context.answerDone(outcome));
    this.outgoing.log.measure(meter);
    return meter;
  }

  #resume(): void {
    this.#isPaused = false;
    this.stream.resume();
  }

  // The end.

  /** Whether the framing of the response shows that it is incomplete. If not, only RST can show it. */
  get #isCutDetectable(): boolean {
    const { head, response } = this.#exchange as Exchange;
    return head.minorVersion > 0 || response.hasPromisedLength;
  }

  /**
   * Sends FIN if the length or the chunks of the last response show that it is incomplete. Otherwise FIN would complete it, so RST is sent,
   * some time after the last bytes: some clients take an RST right after them for a normal end.
   */
  #endCut(): void {
    if (this.#isCutDetectable) this.#linger();
    else this.deadline.forDelivery();
  }

  /**
   * Ends the connection after its last response. It does not linger if the client has ended its side, or has sent its whole request, asked
   * for the end, and got one response that fits in one segment: a late CRLF would cause an RST, which cannot destroy such a response.
   */
  #close(): void {
    this.#mustClose = true;
    this.#flush();
    if (this.#flushFirst()) return;
    const isAnnounced = this.#exchange?.head.keepAlive === false && !this.#hasUnreadBody;
    const isExpected = this.#hasPeerEnded || (isAnnounced && this.incoming.requests === 1 && !this.outgoing.isLong);
    if (isExpected && this.incoming.pending === null) this.stream.close();
    else this.#linger();
  }

  #linger(): void {
    this.#flush();
    this.outgoing.isClosed = true;
    this.#enter(LINGER);
    this.#dropped = 0;
    this.incoming.pending = null;
    this.#exchange?.body.release();
    if (this.#isPaused) this.#resume();
    this.stream.end();
    this.deadline.forDiscarded();
  }
}
