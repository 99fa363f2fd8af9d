/**
 * TcpConnection: one TCP connection as a pure state machine, RFC 9293. No addresses, no ports, no callbacks, no clock.
 *
 * Its owner calls a method and then looks: at `state`, `readable`, `hasOutput`, `deadlineAt`. Nothing is sent inside `receive`:
 * `transmit` emits what the windows allow, so a response carries the ACK of its request.
 *
 * This is the face. Behind it are the states (segment-arrives.ts), the two halves (tcp-sender.ts, tcp-receiver.ts) and the waits (patience.ts).
 *
 * Next: tcp-entry.ts
 */

import { ETIMEDOUT } from '../../kernel/abi.ts';
import { SYN, type TcpSegment } from './segment.ts';
import { segmentArrives } from './segment-arrives.ts';
import { SegmentSender } from './segment-sender.ts';
import { isBefore } from './sequence.ts';
import { TcpCore } from './tcp-core.ts';
import type { SendState } from './tcp-sender.ts';
import type { CookieHandshake, Emit, TcpIcmpError, TcpSetup } from './tcp-setup.ts';
import { canSend, FIN_WAIT_2, LISTEN, SYN_RECEIVED, SYN_SENT, type TcpState } from './tcp-states.ts';
import type { TimeWait } from './time-wait.ts';

/** The headers of IPv4 and TCP without options, which an MTU includes. */
const HEADERS_BYTES = 40;

export class TcpConnection {
  readonly #core: TcpCore;
  readonly #output: SegmentSender;

  constructor(setup: TcpSetup) {
    this.#core = new TcpCore(setup);
    this.#output = new SegmentSender(this.#core);
  }

  get state(): TcpState {
    return this.#core.state;
  }

  /** 0, or the errno that ended the connection: ECONNREFUSED, ECONNRESET, ETIMEDOUT, EHOSTUNREACH... */
  get error(): number {
    return this.#core.error;
  }

  /** Whether the handshake was completed. It stays true afterwards. */
  get isEstablished(): boolean {
    return this.#core.isEstablished;
  }

  get isClosed(): boolean {
    return this.#core.isClosed;
  }

  /** What is left of the connection in TIME_WAIT, and null before: the owner may keep it and drop the connection. */
  get timeWait(): TimeWait | null {
    return this.#core.timeWait;
  }

  /** Whether the peer has acknowledged our FIN, and so all that we have sent. */
  get isFinAcknowledged(): boolean {
    return this.#core.sender.isFinAcknowledged;
  }

  /** Whether the FIN of the peer has come, and all bytes before it are consumed. */
  get isPeerEnded(): boolean {
    return this.#core.receiver?.isFinReceived === true && this.#core.receiver.readableBytes === 0;
  }

  /** When `onDeadline` is to be called; Infinity if nothing waits. */
  get deadlineAt(): number {
    if (this.isClosed) return Number.POSITIVE_INFINITY;
    if (this.#core.timeWait !== null) return this.#core.timeWait.endsAt;
    const acknowledgeAt = this.#core.receiver === null ? Number.POSITIVE_INFINITY : this.#core.receiver.acks.deadlineAt;
    return Math.min(this.#core.sender.deadlineAt, this.#core.patience.deadlineAt, acknowledgeAt);
  }

  /** For reports. */
  get sendState(): SendState {
    return this.#core.sender.state;
  }

  /** Bytes that the peer has not acknowledged, sent or not. */
  get unacknowledgedBytes(): number {
    return this.#core.sender.buffer.byteLength;
  }

  /** Bytes that were never sent. */
  get unsentBytes(): number {
    return this.#core.sender.unsentBytes;
  }

  /** Whether bytes or our FIN are not acknowledged, sent or not. */
  get hasUnacknowledged(): boolean {
    return !this.isClosed && this.#core.sender.hasUnacknowledged;
  }

  /** Written bytes beyond the send buffer: a kernel would not have taken them yet. */
  get queuedBytes(): number {
    return this.#core.sender.queuedBytes;
  }

  /** True: a small segment does not wait while another is unacknowledged (Nagle, in the variant of Minshall). */
  get noDelay(): boolean {
    return this.#core.sender.noDelay;
  }

  set noDelay(value: boolean) {
    this.#core.sender.noDelay = value;
  }

  /** Opens actively or passively, as the setup says. */
  open(now: number): void {
    this.#core.enter(this.#core.setup.isActive ? SYN_SENT : LISTEN);
    if (!this.#core.setup.isActive) return;
    this.#core.patience.onOpen(true, now);
    this.#core.sender.sendSyn();
  }

  /** Becomes ESTABLISHED as if the SYN of which a cookie tells had been kept. The ACK that brought the cookie is to be received next. */
  openByCookie(cookie: CookieHandshake, now: number): void {
    this.#core.enter(SYN_RECEIVED);
    this.#core.agree(cookie.options, cookie.peerSequence, now);
    this.#core.sender.window.begin(cookie.peerWindow, cookie.peerSequence, this.#core.setup.initialSequence);
    this.#core.sender.skipSyn(now);
    this.#core.receiver?.offerWindow(SYN); // the SYN, ACK with the cookie has promised it
    this.#core.establish(now);
  }

  /** One segment has come. What is not consumed of its bytes before `keepInput` or the next segment is copied. */
  receive(segment: TcpSegment, now: number): void {
    segmentArrives(this.#core, segment, now);
  }

  onDeadline(now: number): void {
    if (this.#core.timeWait !== null) {
      if (this.#core.timeWait.endsAt <= now) this.#core.end(0);
      return;
    }
    this.#core.receiver?.acks.onDeadline(now);
    this.#core.sender.onDeadline(now);
    switch (this.#core.patience.onDeadline(now)) {
      case 'give up':
        this.#core.fail(this.#core.softError === 0 ? ETIMEDOUT : this.#core.softError);
        return;
      case 'forget':
        this.#core.end(0);
        return;
      case 'probe':
        this.#core.sender.sendEmptyProbe();
        return;
      default:
        this.#core.observe(now);
    }
  }

  /** Only an error about a segment in flight counts: others are guesses (RFC 5927 section 4). Returns whether it did. */
  onIcmpError(error: TcpIcmpError, now: number): boolean {
    const isInFlight =
      !isBefore(error.sequence, this.#core.sender.firstUnacknowledged) &&
      isBefore(error.sequence, this.#core.sender.next);
    if (!isInFlight || this.isClosed) return false;
    if (error.mtu !== null) this.limitSegmentBytes(error.mtu - HEADERS_BYTES, now);
    else if (error.isHard && this.#core.state === SYN_SENT) this.#core.end(error.errno);
    else this.#core.softError = error.errno;
    return true;
  }

  /** Appends bytes[start..end) to what is to be sent, also before the handshake is complete. Not after `close`. */
  write(bytes: Uint8Array, start: number, end: number, isOwned: boolean): void {
    this.#core.sender.write(bytes, start, end, isOwned);
  }

  /** Drops the bytes that `queuedBytes` counts. */
  truncateQueue(): void {
    this.#core.sender.truncateQueue();
  }

  /**
   * The CLOSE of RFC 9293: FIN after all that is written. The peer may go on sending. Before the handshake is complete FIN waits for it, so
   * that a program may connect, write and end in one go; `abort` is what ends an attempt.
   */
  close(now: number): void {
    if (this.#core.state === LISTEN) this.#core.end(0);
    if (this.#core.isCloseWanted || this.isClosed) return;
    this.#core.isCloseWanted = true;
    if (canSend(this.#core.state)) this.#core.finish();
    this.#core.observe(now);
  }

  /** Nobody reads any more: bytes that lie here unread, or come from now on, are answered with RST. FIN_WAIT_2 is bounded from now on. */
  refuseInput(now: number): void {
    if (this.#core.isRefusingInput) return;
    this.#core.isRefusingInput = true;
    // RFC 9293 section 3.6: the peer must know that bytes were lost.
    if (this.#core.receiver !== null && this.#core.receiver.readableBytes > 0 && !this.isClosed) this.#core.fail(0);
    this.#core.receiver?.clear();
    if (this.#core.state === FIN_WAIT_2) this.#core.patience.awaitFin(now);
  }

  /** Ends the connection now, with RST if the peer knows of it. */
  abort(): void {
    this.#core.receiver?.releaseBuffer(); // nobody reads any more
    if (!this.isClosed) this.#core.fail(0);
  }

  /**
   * The next bytes of the peer, as far as they lie in one piece; null if there are none. Valid until `consume`, `receive` or
   * `keepInput`.
   */
  get readable(): Buffer | null {
    return this.#core.receiver === null ? null : this.#core.receiver.readable;
  }

  /** How many bytes of the peer are not consumed. */
  get readableBytes(): number {
    return this.#core.receiver === null ? 0 : this.#core.receiver.readableBytes;
  }

  /** The program has taken the first `length` bytes of `readable`. */
  consume(length: number): void {
    this.#core.receiver?.consume(length);
  }

  /** Copies what still lies in the frame that was received last, before the frame is used again. */
  keepInput(): void {
    this.#core.receiver?.keep();
  }

  /** Whether `transmit` may have something to send. */
  get hasOutput(): boolean {
    if (this.#core.reset !== null) return true;
    if (this.isClosed || this.#core.state === LISTEN) return false;
    return this.#core.sender.hasOutput || (this.#core.receiver?.acks.isDue ?? false);
  }

  /** Whether an ACK must not wait until the end of the turn: the peer counts these (fast retransmit). */
  get mustAcknowledgeNow(): boolean {
    return !this.isClosed && (this.#core.receiver?.acks.isUrgent ?? false);
  }

  /** Emits what the windows allow. If `emit` returns -ENOBUFS the rest waits; any other error counts as a segment lost on its way. */
  transmit(now: number, emit: Emit): void {
    this.#output.transmit(now, emit);
  }

  /** Starts keep-alive: a probe after each silence of `idleMs`, then the next ones. Infinity stops it. The limits have the defaults of the rest. */
  setKeepAlive(idleMs: number, intervalMs?: number, probes?: number): void {
    this.#core.patience.setKeepAlive(idleMs, intervalMs, probes);
  }

  /** RFC 5482, on our side only: how long bytes may wait unacknowledged. Infinity: without end, as long as the peer answers. */
  setUserTimeout(ms: number): void {
    this.#core.patience.userTimeoutMs = ms;
  }

  /** The way to the peer carries no more than this in a segment without options. */
  limitSegmentBytes(maxSegmentBytes: number, now: number): void {
    this.#core.sender.limitSegmentBytes(maxSegmentBytes, this.#core.hasTimestamps, now);
  }
}
