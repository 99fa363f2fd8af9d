/**
 * Connection: one client and its requests, in order and one at a time: the state machine between bytes and exchanges.
 *
 * A request is parsed when the one before it has its response. So responses cannot overtake each other, a pipeline costs no memory but its
 * own bytes, and TCP stops a client that sends faster than it reads. While handlers answer at once, the whole pipeline of a
 * turn is read and answered in one loop, and its responses leave together.
 *
 * phase.ts has the phases, exchange.ts what happens while a handler is at work, outgoing.ts what is written, deadline.ts how long it waits.
 *
 * Next: ../serve.ts
 */

import type { Stream, StreamHandler } from '../../simplenet/index.ts';
import { ClientGoneError } from '../http-error.ts';
import { INCOMPLETE } from '../request/field-parser.ts';
import type { PendingInput } from '../request/pending-input.ts';
import { refusalOf } from '../response/refusal.ts';
import { statusLine } from '../status.ts';
import type { ConnectionContext, OpenConnection } from './connection-context.ts';
import { Deadline } from './deadline.ts';
import { Exchange, type ExchangeConnection } from './exchange.ts';
import { Handover } from './handover.ts';
import { Incoming } from './incoming.ts';
import { Outgoing } from './outgoing.ts';
import { CLOSED, CUT, DISCARD, FLUSH, HEAD, LINGER, type Phase, step, UPGRADED, WORK, YIELD } from './phase.ts';

/** How much is read and dropped while lingering. Behind that the client waits: RST would destroy the response that it has not read yet. */
const MAX_LINGER_BYTES = 4 * 1024 * 1024;

export class Connection implements StreamHandler, OpenConnection, ExchangeConnection {
  readonly stream: Stream;
  readonly context: ConnectionContext;
  readonly incoming: Incoming;
  readonly outgoing: Outgoing;
  readonly deadline: Deadline;
  isConsuming = false;
  #phase = HEAD;
  /** In WORK and DISCARD, and in the phases that end the connection after them. */
  #exchange: Exchange | null = null;
  #isPaused = false;
  #hasPeerEnded = false;
  /** No request may follow the one at work. */
  #mustClose = false;
  /** A response was complete before the body of its request: more of that is on its way. */
  #leavesBody = false;
  /** Input that was dropped in this phase. */
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

  /** A request at work goes on. An idle connection ends, unless its next request comes soon. */
  stop(): void {
    if (this.isIdle) this.deadline.forNextRequest();
  }

  /** RST would destroy responses that are complete and on their way, so it is for what is not. */
  endNow(): void {
    const isComplete = this.isIdle || this.#phase === LINGER;
    if (isComplete && this.stream.queuedBytes === 0) this.stream.close();
    else this.stream.abort();
  }

  /** Between two requests, with nothing of the next. Empty lines are nothing. */
  get isIdle(): boolean {
    return this.#phase === HEAD && this.incoming.isIdle;
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
      this.#afterTurn();
    } else {
      this.#keep(bytes);
      if (this.#phase === YIELD) return;
      this.incoming.beginTurn();
      this.#consumePending();
    }
  }

  /** Other connections have had their turn. */
  onTurn(): void {
    if (this.#phase !== YIELD) return; // it was closed meanwhile
    this.#enter(HEAD);
    this.incoming.beginTurn();
    this.#consumePending();
  }

  onEnd(stream: Stream): void {
    this.#hasPeerEnded = true;
    switch (this.#phase) {
      case HEAD:
        if (!this.isIdle) this.refuse(400, 'the connection ended within a head');
        else if (!this.#mustFlush()) stream.close();
        break;
      case WORK:
        this.#exchange?.clientEnded();
        break;
      case DISCARD:
        this.#close();
        break;
      default: // a half-closed client still reads: its responses go on
    }
  }

  /**
   * A handler that reads a body gets the rest of it, although the client may be gone: the body may be whole. The handler has `answerMs` for
   * that. In all other cases a handler may be waiting for nothing but the news that the client is gone.
   */
  get endsAtBreak(): boolean {
    return this.#phase !== WORK || this.#exchange?.isReadByHandler !== true;
  }

  onDrain(): void {
    this.incoming.beginTurn();
    this.outgoing.resumeWriters();
    if (this.#phase === CUT) this.#endCut();
    if (this.#phase !== FLUSH) return;
    // The client had a response to read, and its incomplete head had no deadline in that time.
    if (this.incoming.isHeadIncomplete) this.deadline.forHead();
    this.#next();
  }

  onTimeout(stream: Stream): void {
    switch (this.#phase) {
      case HEAD:
        if (!this.isIdle) this.refuse(408, 'the head took too long');
        else if (this.#mustFlush()) break;
        else if (!this.context.isStopping) stream.close();
        else if (stream.hasInput())
          this.stop(); // its next request has just come: `onData` brings it in this turn or the next one
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
        // The stream sees to it that the client takes the rest of our response.
        if (stream.queuedBytes > 0) this.deadline.forDiscarded();
        else stream.close();
        break;
      default: // YIELD: the client waits for us, and not we for it
    }
  }

  onClose(_stream: Stream, error: Error | null): void {
    const exchange = this.#exchange;
    this.#enter(CLOSED);
    this.incoming.drop();
    this.outgoing.isClosed = true;
    this.context.forget(this);
    const isMissed = exchange?.close() === true;
    // Most clients leave when nothing waits for them. An error has a stack, which takes longer to make than all the rest of this.
    if (!isMissed && !this.outgoing.hasWriters) return;
    const reason = new ClientGoneError({ cause: error });
    exchange?.fail(reason);
    this.outgoing.rejectWriters(reason);
  }

  // For the exchange, and for what it writes.

  get mayServeMore(): boolean {
    return !this.#mustClose && this.incoming.requests < this.context.limits.requestsPerConnection;
  }

  hasInputBehind(behind: number): boolean {
    if (this.isConsuming ? behind > 0 : this.incoming.pending !== null) return true;
    return !this.#hasPeerEnded && this.stream.hasInput();
  }

  pauseReading(): void {
    this.#isPaused = true;
    this.stream.pause();
  }

  /** While bytes are being worked through, `#afterTurn` does it. */
  resumeReading(): void {
    if (this.#isPaused && !this.isConsuming) this.#resume();
  }

  piecesSent(): void {
    if (this.#phase === WORK) this.#exchange?.piecesSent();
  }

  /** The response is complete. Reads the rest of the body for a while, so that the connection can be used again. */
  exchangeDone({ body, response }: Exchange): void {
    this.outgoing.endResponse();
    if (response.isClosing) this.#mustClose = true;
    if (body.isComplete) {
      this.#next();
      return;
    }
    body.discard();
    this.#leavesBody = true;
    if (this.#mustClose) {
      this.#close();
      return;
    }
    this.#enter(DISCARD);
    this.#dropped = 0;
    this.resumeReading();
    if (!this.isConsuming) this.context.output.flush();
    this.deadline.forDiscarded();
  }

  refuse(status: number, message: string, fields = ''): void {
    const isHeadRequest = this.#exchange?.head.method === 'HEAD';
    this.outgoing.latin1(refusalOf(status, this.context.dateLine(), message, fields, isHeadRequest));
    this.#linger();
  }

  /** Complete responses that are queued before the broken one leave first. */
  cut(): void {
    if (this.outgoing.isClosed) return;
    this.outgoing.flush();
    if (this.incoming.requests === 1 && this.#isCutSeen) {
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

  handOver(fields: string, createHandler: (stream: Stream) => StreamHandler): void {
    const { stream } = this;
    this.outgoing.latin1(`${statusLine(101)}${fields}\r\n`);
    this.outgoing.flush();
    this.outgoing.isClosed = true;
    this.#enter(UPGRADED);
    this.context.forget(this);
    this.deadline.none();
    stream.minimumProgress = null;
    if (this.#isPaused) stream.resume();
    Handover.begin(stream, createHandler, () => {
      const behind = this.incoming.pending;
      this.incoming.pending = null;
      return { behind, hasPeerEnded: this.#hasPeerEnded };
    });
  }

  // The machine.

  #enter(phase: Phase): void {
    this.#phase = step(this.#phase, phase);
  }

  /** Works through bytes[start..end) as far as it can; returns the offset behind what is used. */
  #consume(bytes: Buffer, start: number, end: number): number {
    this.isConsuming = true;
    let at = start;
    while (at < end) {
      if (this.#phase === HEAD) {
        if (this.stream.queuedBytes > 0) break; // responses first: the client asks faster than it reads
        if (this.#mustYield()) break;
        const used = this.#readHead(bytes, at, end);
        if (used === INCOMPLETE) break;
        at = used;
      } else if (this.#phase === WORK && this.#exchange?.isBodyToCome === true) {
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
    this.context.output.flush();
    return at;
  }

  #consumePending(): void {
    const pending = this.incoming.pending as PendingInput;
    pending.start = this.#consume(pending.bytes, pending.start, pending.end);
    if (pending.byteLength === 0) this.incoming.pending = null;
    this.#afterTurn();
  }

  /** Whether the next request has to wait for another turn, which is asked for then. */
  #mustYield(): boolean {
    if (!this.incoming.isShareSpent) return false;
    this.context.output.flush();
    if (this.stream.queuedBytes > 0) return true; // it goes on when the client has taken that
    this.#enter(YIELD);
    this.stream.awaitTurn();
    return true;
  }

  /** Keeps a copy of what cannot be used yet. Behind a request at work only so much is read. */
  #keep(bytes: Buffer): void {
    const { byteLength } = this.incoming.keep(bytes);
    const isBehind = this.#phase !== HEAD && this.#phase !== UPGRADED;
    if (isBehind && byteLength >= this.context.limits.bodyBufferBytes) this.pauseReading();
  }

  /** What came has been worked through, and what was written is on its way. */
  #afterTurn(): void {
    const isToRead = this.#phase === DISCARD || (this.#phase === WORK && this.#exchange?.isReadingBody === true);
    if (this.#isPaused && isToRead) this.#resume(); // what was read ahead is used up, and it was not all of the body
    if (this.#phase !== HEAD) return;
    if (this.#mustFlush()) return;
    if (this.#isPaused) this.#resume();
    if (this.#hasPeerEnded)
      this.stream.close(); // all its requests have a response; part of one is no request
    // An incomplete head has its deadline. While the server stops, a response may not have said that it was the last: more is on its way.
    else if (this.incoming.pending === null) this.deadline.forNextRequest();
  }

  /** Goes on when the client has taken its responses. On io_uring a write that seemed to have room may turn out later to be queued. */
  #mustFlush(): boolean {
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
      // The time of a head counts from its own first byte. Empty lines may come long before that, and extend nothing.
      if (isFirst || (wasIdle && !incoming.isIdle)) this.deadline.forHead();
      return INCOMPLETE;
    }
    if (used < 0) {
      this.refuse(-used, incoming.refusal);
      return end;
    }
    this.#enter(WORK);
    this.#exchange = new Exchange(this, incoming.head, end - used);
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
      this.#close(); // it is malformed, and its response has been sent
      return end;
    }
    this.#dropped += at - start;
    if (body.isComplete) this.#next();
    else if (this.#dropped > this.context.limits.discardBytes) this.#close();
    return at;
  }

  /** The response is complete, and so is the request. */
  #next(): void {
    if (this.#mustClose) {
      this.#close();
      return;
    }
    this.#exchange = null;
    this.#leavesBody = false;
    this.#enter(HEAD);
    if (this.isConsuming) return;
    this.context.output.flush();
    if (this.stream.queuedBytes === 0 && this.incoming.pending !== null) this.#consumePending();
    else this.#afterTurn();
  }

  #resume(): void {
    this.#isPaused = false;
    this.stream.resume();
  }

  // The end.

  /** A client that has read the cut response knows that it is not whole, also without RST. */
  get #isCutSeen(): boolean {
    const { head, response } = this.#exchange as Exchange;
    return head.minorVersion > 0 || response.hasPromisedLength;
  }

  /**
   * FIN where the length or the chunks of the last response show that it is cut. Where the end of the connection would be the end of the
   * response, only RST shows it. It comes later than the last bytes: some clients take an RST right behind them for a normal end.
   */
  #endCut(): void {
    if (this.#isCutSeen) this.#linger();
    else this.deadline.forDelivery();
  }

  /**
   * No request will follow. A client that has ended, or has asked for the end and has sent its request whole, sends nothing more but
   * perhaps a late CRLF. The connection closes at once if it has sent nothing but one short response, which that CRLF cannot destroy.
   */
  #close(): void {
    this.#mustClose = true;
    this.context.output.flush();
    if (this.#mustFlush()) return;
    const isAnnounced = this.#exchange?.head.keepAlive === false && !this.#leavesBody;
    const isExpected = this.#hasPeerEnded || (isAnnounced && this.incoming.requests === 1 && !this.outgoing.isLong);
    if (isExpected && this.incoming.pending === null) this.stream.close();
    else this.#linger();
  }

  #linger(): void {
    this.context.output.flush();
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
