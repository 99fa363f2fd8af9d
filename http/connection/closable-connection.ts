/**
 * ClosableConnection: the half of a connection that ends it: after a last response, after a refusal, in the middle of a response, or by handing its
 * stream over.
 *
 * A client must get what was sent to it before the end, and must be able to notice what is missing. So a connection lingers: it sends FIN, and
 * reads and drops what its client still sends, because close(2) with unread bytes would send an RST, which destroys a response on its way.
 *
 * Next: connection.ts
 */

import type { ProxiedStream, SecureStream, Stream, StreamHandler } from '../../simplenet/index.ts';
import { HttpError } from '../http-error.ts';
import { refusalOf } from '../response/refusal.ts';
import type { ConnectionContext, OpenConnection } from './connection-context.ts';
import { Deadline, PRESSED_PROGRESS } from './deadline.ts';
import { MAX_BEHIND_MS } from './eviction.ts';
import type { Exchange } from './exchange.ts';
import type { StoppableExchange } from './exchange-connection.ts';
import { Handover } from './handover.ts';
import { Incoming } from './incoming.ts';
import { Outgoing } from './outgoing.ts';
import { CLOSED, CUT, FLUSH, HEAD, LINGER, type Phase, step, UPGRADED, WORK } from './phase.ts';
import { UpgradedConnection } from './upgraded-connection.ts';

/** How much is read and dropped while lingering. Above it reading pauses, because close(2) would send an RST that destroys the response. */
const MAX_LINGER_BYTES = 4 * 1024 * 1024;

export const HEAD_TOO_SLOW = 'the head took too long';

/** What ends a connection. See Connection. */
export abstract class ClosableConnection implements OpenConnection {
  readonly stream: Stream;
  readonly context: ConnectionContext;
  readonly incoming: Incoming;
  readonly outgoing: Outgoing;
  readonly deadline: Deadline;
  isConsuming = false;
  hasPeerEnded = false;
  protected phase = HEAD;
  /** Set in WORK and DISCARD, and in phases after them that end the connection. */
  protected exchange: Exchange | null = null;
  /** What stands for this connection in its server, once a protocol of ours has its stream. */
  protected upgraded: UpgradedConnection | null = null;
  protected isPaused = false;
  /** No further request is read. */
  protected mustClose = false;
  /** The response was complete before the body of its request, so more of that body may come. */
  protected hasUnreadBody = false;
  /** Bytes of input that were dropped in this phase. */
  protected dropped = 0;

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

  abstract piecesSent(): void;

  // For the server.

  /**
   * A request at work goes on, and so does another protocol; both are told. An idle connection ends unless its next request comes within
   * `idleGraceMs`.
   */
  stop(): void {
    if (this.isIdle) this.deadline.forNextRequest();
    else if (this.phase === WORK || this.phase === UPGRADED) this.exchange?.serverStops();
  }

  endHandshake(): void {
    if (this.isShakingHands) this.stream.close();
  }

  /** A connection whose responses are complete is closed without RST, which could destroy them on their way. */
  endNow(): void {
    const isComplete = this.isIdle || this.phase === LINGER || this.phase === UPGRADED;
    if (isComplete && this.stream.queuedBytes === 0) this.stream.close();
    else this.stream.abort();
  }

  /** Between two requests, and no byte of the next has come. Empty lines do not count. */
  get isIdle(): boolean {
    return this.phase === HEAD && this.incoming.isIdle;
  }

  get idleSince(): number {
    const { incoming, stream } = this;
    // An incomplete head has the deadline of a head, even if only empty lines have come.
    const isWaiting = this.phase === HEAD && !incoming.isHeadIncomplete && incoming.pending === null;
    if (!isWaiting || stream.isEnded || stream.queuedBytes > 0) return Number.POSITIVE_INFINITY;
    if (this.isShakingHands) return this.deadline.acceptedAt();
    return this.deadline.idleSince(incoming.requests === 0);
  }

  /** If a request arrives after close(2), the kernel sends RST, which destroys a response on its way. */
  closeIfSilent(): boolean {
    if (this.stream.hasOutput() || this.stream.hasInput()) return false;
    this.stream.close();
    return true;
  }

  press(): number {
    const { stream, phase } = this;
    if (phase === UPGRADED) return 0;
    if (stream.queuedBytes > 0) {
      this.#pressReader();
      return 0;
    }
    if (phase === WORK) return (this.exchange as Exchange).behindMs;
    if (phase !== HEAD || !this.incoming.isHeadIncomplete) return 0;
    return this.context.activeNow() - this.deadline.headSince();
  }

  /** The stream itself ends if its client takes too little. When all is taken, the minimum of the server is in force again. */
  #pressReader(): void {
    const { stream } = this;
    const { minimumProgress } = this.context;
    const isStricter = minimumProgress !== null && minimumProgress.everyMs <= PRESSED_PROGRESS.everyMs;
    if (!isStricter && stream.minimumProgress === minimumProgress) stream.minimumProgress = PRESSED_PROGRESS;
  }

  /** All is taken that was queued. */
  protected endPressing(): void {
    const { stream, context } = this;
    if (stream.minimumProgress === PRESSED_PROGRESS) stream.minimumProgress = context.minimumProgress;
  }

  refuseIfSlow(): boolean {
    if (this.press() < MAX_BEHIND_MS || this.stream.hasInput()) return false;
    if (this.phase === HEAD) this.refuse(408, HEAD_TOO_SLOW);
    else (this.exchange as Exchange).refuseSlowBody();
    return true;
  }

  /** The TLS handshake, or the PROXY header, is not complete. */
  private get isShakingHands(): boolean {
    const { tls, proxy } = this.stream as Partial<SecureStream & ProxiedStream>;
    return tls === null || proxy === null;
  }

  flush(): void {
    this.outgoing.flushPieces();
  }

  // For the exchange.

  pauseReading(): void {
    this.isPaused = true;
    this.stream.pause();
  }

  /** While input is consumed it does nothing: `#afterInput` of Connection resumes reading then. */
  resumeReading(): void {
    if (this.isPaused && !this.isConsuming) this.resume();
  }

  /** Sends the answer of the exchange, or one of its own before there is an exchange. */
  refuse(status: number, message: string, answer: string | null = null): void {
    if (answer === null && this.context.observes) this.outgoing.measure(null);
    const { log } = this.outgoing;
    log?.fail(new HttpError(status, message));
    this.outgoing.head(answer ?? refusalOf(status, this.context.dateLine(), message));
    log?.written();
    this.linger();
  }

  /** Complete responses that are queued before the incomplete one are sent first. */
  cut(): void {
    if (this.outgoing.isClosed) return;
    this.outgoing.flush();
    this.outgoing.log?.written();
    this.outgoing.isClosed = true;
    if (this.incoming.requests === 1 && this.isCutDetectable) {
      this.stream.abort(); // the end of an aborted stream is told later
      return;
    }
    this.enter(CUT);
    this.dropped = 0;
    this.incoming.pending = null;
    if (this.isPaused) this.resume();
    if (this.stream.queuedBytes > 0) this.deadline.none();
    else this.endCut();
  }

  handOver(head: string, createHandler: (stream: Stream) => StreamHandler): void {
    const { stream } = this;
    this.outgoing.head(head);
    this.outgoing.flush();
    this.outgoing.log?.written();
    this.outgoing.log?.taken(); // the stream reports to the other protocol from now on
    this.outgoing.isClosed = true;
    this.enter(UPGRADED);
    this.deadline.none();
    stream.minimumProgress = null;
    if (this.isPaused) stream.resume();
    let isToOwnProtocol = false;
    try {
      const handover = Handover.begin(stream, createHandler, () => {
        const rest = this.incoming.pending;
        this.incoming.pending = null;
        return { rest, hasPeerEnded: this.hasPeerEnded };
      });
      isToOwnProtocol = handover.isToOwnProtocol;
      if (isToOwnProtocol) this.#leaveTo(handover);
    } finally {
      if (!isToOwnProtocol) this.#countUntilClosed();
    }
  }

  /** The program may replace the handler of the stream at any time, so a callback of a handler cannot tell. */
  #countUntilClosed(): void {
    this.stream.whenClosed(() => {
      if (this.phase === UPGRADED) this.closed();
    });
  }

  /** What is left of the request is garbage afterwards, unless its program waits for a signal of it. */
  #leaveTo(handover: Handover): void {
    const { context, stream, exchange } = this;
    this.upgraded = new UpgradedConnection(context, stream);
    context.replace(this, this.upgraded);
    handover.handedOver(this.upgraded);
    if (exchange?.hasSignals === true) this.upgraded.exchange = exchange;
    this.exchange = null;
    if (context.isStopping) handover.serverStops();
  }

  /** A signal of a request is first read after its stream has been handed over. */
  keepForClosing(exchange: StoppableExchange): void {
    if (this.upgraded !== null) this.upgraded.exchange = exchange;
  }

  // For both halves.

  protected enter(phase: Phase): void {
    this.phase = step(this.phase, phase);
  }

  protected closed(): void {
    this.enter(CLOSED);
    this.incoming.drop();
    this.outgoing.isClosed = true;
    this.context.forget(this);
  }

  /** A connection that lingers or is cut has got these bytes. */
  protected dropInput(bytes: Buffer): void {
    this.dropped += bytes.length;
    if (this.dropped > MAX_LINGER_BYTES && !this.isPaused) this.pauseReading();
  }

  /** If responses are queued, the client must take them first: phase FLUSH. On io_uring a write can become queued after it has returned true. */
  protected flushFirst(): boolean {
    if (this.stream.queuedBytes === 0) return false;
    this.enter(FLUSH);
    this.deadline.none();
    return true;
  }

  protected flushOutput(): void {
    this.context.output.flush();
    if (!this.isConsuming) this.outgoing.reportTaken();
  }

  protected resume(): void {
    this.isPaused = false;
    this.stream.resume();
  }

  /** Whether the framing of the response shows that it is incomplete. If not, only RST can show it. */
  private get isCutDetectable(): boolean {
    return (this.exchange as Exchange).response.isEndDetectable;
  }

  /**
   * Sends FIN if the length or the chunks of the last response show that it is incomplete. Otherwise FIN would complete it, so RST is sent,
   * some time after the last bytes: some clients take an RST right after them for a normal end.
   */
  protected endCut(): void {
    if (this.isCutDetectable) this.linger();
    else this.deadline.forDelivery();
  }

  /**
   * Ends the connection after its last response. It does not linger if the client has ended its side, or has sent its whole request, asked
   * for the end, and got one response that fits in one segment: a late CRLF would cause an RST, which cannot destroy such a response.
   */
  protected close(): void {
    this.mustClose = true;
    this.flushOutput();
    if (this.flushFirst()) return;
    const isAnnounced = this.exchange?.isLastOfClient === true && !this.hasUnreadBody;
    const isExpected = this.hasPeerEnded || (isAnnounced && this.incoming.requests === 1 && !this.outgoing.isLong);
    if (isExpected && this.incoming.pending === null) this.stream.close();
    else this.linger();
  }

  protected linger(): void {
    this.flushOutput();
    this.outgoing.isClosed = true;
    this.enter(LINGER);
    this.dropped = 0;
    this.incoming.pending = null;
    this.exchange?.body.release();
    if (this.isPaused) this.resume();
    this.stream.end();
    this.deadline.forDiscarded();
  }
}
