/**
 * TcpConnection: one TCP connection as a pure state machine, RFC 9293 section 3.10. No addresses, no ports, no callbacks, no clock.
 *
 * Its owner calls a method and then looks: at `state`, `readable`, `hasOutput`, `deadlineAt`. Nothing is sent inside `receive`:
 * `transmit` emits what the windows allow, so a response carries the ACK of its request.
 *
 * The halves are in tcp-sender.ts and tcp-receiver.ts, the waits in patience.ts. Here are the states: which segment leads where. Not
 * here: data and FIN in a SYN are ignored, so the peer sends them again; the urgent pointer is ignored, so urgent bytes
 * come in their place among the others (RFC 6093); ECN is never agreed on.
 *
 * Next: tcp-layer.ts
 */

import { ECONNREFUSED, ECONNRESET, EFAULT, ENOBUFS, ETIMEDOUT } from '../../kernel/abi.ts';
import { TokenBucket } from '../ip/token-bucket.ts';
import { Patience } from './patience.ts';
import { type ResetReply, resetFor } from './reset-reply.ts';
import { ACK, FIN, noOptions, RST, SYN, type TcpOptions, type TcpSegment } from './segment.ts';
import { segmentOut } from './segment-out.ts';
import { add, difference, isAfter, isBefore } from './sequence.ts';
import { Receiver, windowShiftFor } from './tcp-receiver.ts';
import { Sender } from './tcp-sender.ts';
import type { CookieHandshake, Emit, TcpIcmpError, TcpSetup } from './tcp-setup.ts';
import {
  CLOSE_WAIT,
  CLOSED,
  CLOSING,
  canReceive,
  canSend,
  ESTABLISHED,
  enter,
  FIN_WAIT_1,
  FIN_WAIT_2,
  isSynchronized,
  LAST_ACK,
  LISTEN,
  SYN_RECEIVED,
  SYN_SENT,
  type TcpState,
  TIME_WAIT,
} from './tcp-states.ts';
import { TimeWait } from './time-wait.ts';

/** The headers of IPv4 and TCP without options, which an MTU includes. */
const HEADERS_BYTES = 40;
const SACK_HEAD_BYTES = 4;
const SACK_EDGE_BYTES = 4;

export class TcpConnection {
  readonly #setup: TcpSetup;
  readonly #sender: Sender;
  readonly #patience: Patience;
  readonly #challenges: TokenBucket;
  /** Null until the SYN of the peer has come. */
  #receiver: Receiver | null = null;
  /** The options on which both sides agree, with the MSS of the peer. */
  #options: TcpOptions = noOptions;
  #state: TcpState = CLOSED;
  #timeWait: TimeWait | null = null;
  #error = 0;
  /** What an ICMP error said. It becomes the error only if the connection times out (RFC 1122 section 4.2.3.9). */
  #softError = 0;
  /** The errno with which the connection ends when `transmit` is done. */
  #failure = 0;
  #isEstablished = false;
  #isCloseWanted = false;
  #isRefusingInput = false;
  #reset: ResetReply | null = null;
  /** The SACK blocks of the segments that `transmit` is sending. */
  #sackBlocks: readonly number[] = [];

  constructor(setup: TcpSetup) {
    this.#setup = setup;
    this.#sender = new Sender({
      initialSequence: setup.initialSequence,
      maxSegmentBytes: setup.maxSegmentBytes,
      sendBufferBytes: setup.sendBufferBytes,
      roundTrip: setup.limits,
    });
    this.#patience = new Patience(setup.limits);
    this.#challenges = new TokenBucket(setup.limits.challengeAcksPerSecond, setup.limits.challengeAcksPerSecond);
  }

  get state(): TcpState {
    return this.#state;
  }

  /** 0, or the errno that ended the connection: ECONNREFUSED, ECONNRESET, ETIMEDOUT, EHOSTUNREACH... */
  get error(): number {
    return this.#error;
  }

  /** Whether the handshake was completed. It stays true afterwards. */
  get isEstablished(): boolean {
    return this.#isEstablished;
  }

  get isClosed(): boolean {
    return this.#state === CLOSED;
  }

  /** What is left of the connection in TIME_WAIT, and null before: the owner may keep it and drop the connection. */
  get timeWait(): TimeWait | null {
    return this.#timeWait;
  }

  /** Whether the peer has acknowledged our FIN, and so all that we have sent. */
  get isFinAcknowledged(): boolean {
    return this.#sender.isFinAcknowledged;
  }

  /** Whether the FIN of the peer has come, and all bytes before it are consumed. */
  get isPeerEnded(): boolean {
    return this.#receiver?.isFinReceived === true && this.#receiver.readableBytes === 0;
  }

  /** When `onDeadline` is to be called; Infinity if nothing waits. */
  get deadlineAt(): number {
    if (this.#timeWait !== null) return this.#timeWait.endsAt;
    const acknowledgeAt = this.#receiver === null ? Number.POSITIVE_INFINITY : this.#receiver.acks.deadlineAt;
    return Math.min(this.#sender.deadlineAt, this.#patience.deadlineAt, acknowledgeAt);
  }

  /** Bytes that the peer has not acknowledged, sent or not. */
  get unacknowledgedBytes(): number {
    return this.#sender.buffer.byteLength;
  }

  /** Bytes that were never sent. */
  get unsentBytes(): number {
    return this.#sender.unsentBytes;
  }

  /** Whether bytes or our FIN are not acknowledged, sent or not. */
  get hasUnacknowledged(): boolean {
    return !this.isClosed && this.#sender.hasUnacknowledged;
  }

  /** Written bytes beyond the send buffer: a kernel would not have taken them yet. */
  get queuedBytes(): number {
    return this.#sender.queuedBytes;
  }

  /** True: a small segment does not wait while another is unacknowledged (Nagle, in the variant of Minshall). */
  get noDelay(): boolean {
    return this.#sender.noDelay;
  }

  set noDelay(value: boolean) {
    this.#sender.noDelay = value;
  }

  /** Opens actively or passively, as the setup says. */
  open(now: number): void {
    this.#enter(this.#setup.isActive ? SYN_SENT : LISTEN);
    if (!this.#setup.isActive) return;
    this.#patience.onOpen(true, now);
    this.#sender.sendSyn();
  }

  /** Becomes ESTABLISHED as if the SYN of which a cookie tells had been kept. The ACK that brought the cookie is to be received next. */
  openByCookie(cookie: CookieHandshake, now: number): void {
    this.#enter(SYN_RECEIVED);
    this.#agree(cookie.options, cookie.peerSequence, now);
    this.#sender.window.begin(cookie.peerWindow, cookie.peerSequence, this.#setup.initialSequence);
    this.#sender.skipSyn(now);
    this.#receiver?.offerWindow(SYN); // the SYN, ACK with the cookie has promised it
    this.#establish(now);
  }

  /** One segment has come. What is not consumed of its bytes before `keepInput` or the next segment is copied. */
  receive(segment: TcpSegment, now: number): void {
    switch (this.#state) {
      case CLOSED:
        this.#reset = resetFor(segment);
        return;
      case LISTEN:
        this.#receiveInListen(segment, now);
        return;
      case SYN_SENT:
        this.#receiveInSynSent(segment, now);
        break;
      case TIME_WAIT:
        this.#receiveInTimeWait(segment, now);
        return;
      default:
        this.#receiveSynchronized(segment, now, this.#receiver as Receiver);
    }
    this.#observe(now);
  }

  onDeadline(now: number): void {
    if (this.#timeWait !== null) {
      if (this.#timeWait.endsAt <= now) this.#end(0);
      return;
    }
    this.#receiver?.acks.onDeadline(now);
    this.#sender.onDeadline(now);
    switch (this.#patience.onDeadline(now)) {
      case 'give up':
        this.#fail(this.#softError === 0 ? ETIMEDOUT : this.#softError);
        return;
      case 'forget':
        this.#end(0);
        return;
      case 'probe':
        this.#sender.sendEmptyProbe();
        return;
      default:
        this.#observe(now);
    }
  }

  /** Only an error about a segment in flight counts: others are guesses (RFC 5927 section 4). Returns whether it did. */
  onIcmpError(error: TcpIcmpError, now: number): boolean {
    const isInFlight =
      !isBefore(error.sequence, this.#sender.firstUnacknowledged) && isBefore(error.sequence, this.#sender.next);
    if (!isInFlight || this.isClosed) return false;
    if (error.mtu !== null) this.limitSegmentBytes(error.mtu - HEADERS_BYTES, now);
    else if (error.isHard && this.#state === SYN_SENT) this.#end(error.errno);
    else this.#softError = error.errno;
    return true;
  }

  /** Appends bytes[start..end) to what is to be sent, also before the handshake is complete. Not after `close`. */
  write(bytes: Uint8Array, start: number, end: number, isOwned: boolean): void {
    this.#sender.write(bytes, start, end, isOwned);
  }

  /** Drops the bytes that `queuedBytes` counts. */
  truncateQueue(): void {
    this.#sender.truncateQueue();
  }

  /**
   * The CLOSE of RFC 9293: FIN after all that is written. The peer may go on sending. Before the handshake is complete FIN waits for it, so
   * that a program may connect, write and end in one go; `abort` is what ends an attempt.
   */
  close(now: number): void {
    if (this.#state === LISTEN) this.#end(0);
    if (this.#isCloseWanted || this.isClosed) return;
    this.#isCloseWanted = true;
    if (canSend(this.#state)) this.#finish();
    this.#observe(now);
  }

  /** Nobody reads any more: bytes that lie here unread, or come from now on, are answered with RST. FIN_WAIT_2 is bounded from now on. */
  refuseInput(now: number): void {
    if (this.#isRefusingInput) return;
    this.#isRefusingInput = true;
    // RFC 9293 section 3.6: the peer must know that bytes were lost.
    if (this.#receiver !== null && this.#receiver.readableBytes > 0 && !this.isClosed) this.#fail(0);
    this.#receiver?.clear();
    if (this.#state === FIN_WAIT_2) this.#patience.awaitFin(now);
  }

  /** Ends the connection now, with RST if the peer knows of it. */
  abort(): void {
    if (!this.isClosed) this.#fail(0);
  }

  /** The next bytes of the peer, as far as they lie in one piece; null if there are none. Valid until `consume`, `receive` or `keepInput`. */
  get readable(): Buffer | null {
    return this.#receiver === null ? null : this.#receiver.readable;
  }

  /** How many bytes of the peer are not consumed. */
  get readableBytes(): number {
    return this.#receiver === null ? 0 : this.#receiver.readableBytes;
  }

  /** The program has taken the first `length` bytes of `readable`. */
  consume(length: number): void {
    this.#receiver?.consume(length);
  }

  /** Copies what still lies in the frame that was received last, before the frame is used again. */
  keepInput(): void {
    this.#receiver?.keep();
  }

  /** Whether `transmit` may have something to send. */
  get hasOutput(): boolean {
    if (this.#reset !== null) return true;
    if (this.isClosed || this.#state === LISTEN) return false;
    return this.#sender.hasOutput || (this.#receiver?.acks.isDue ?? false);
  }

  /** Whether an ACK must not wait until the end of the turn: the peer counts these (fast retransmit). */
  get mustAcknowledgeNow(): boolean {
    return !this.isClosed && (this.#receiver?.acks.isUrgent ?? false);
  }

  /** Emits what the windows allow. If `emit` returns -ENOBUFS the rest waits; any other error counts as a segment lost on its way. */
  transmit(now: number, emit: Emit): void {
    if (this.#reset !== null) this.#emitReset(this.#reset, now, emit);
    if (this.isClosed || this.#state === LISTEN) return;
    this.#sackBlocks = this.#receiver === null ? [] : this.#receiver.takeSackBlocks();
    const sackBytes = this.#sackBlocks.length === 0 ? 0 : SACK_HEAD_BYTES + SACK_EDGE_BYTES * this.#sackBlocks.length;
    this.#sender.transmit(this.#sender.segmentBytes - sackBytes, now, (sequence, flags, offset, length) =>
      this.#emit(sequence, flags, offset, length, now, emit),
    );
    if (this.#receiver?.acks.isDue) this.#emit(this.#sender.next, ACK, 0, 0, now, emit);
    this.#sackBlocks = [];
    if (this.#failure === 0) {
      this.#observe(now);
      return;
    }
    this.#fail(this.#failure);
    this.transmit(now, emit);
  }

  /** Starts keep-alive: a probe after each silence of `idleMs`. Infinity stops it. */
  setKeepAlive(idleMs: number): void {
    this.#patience.keepAliveIdleMs = idleMs;
  }

  /** RFC 5482, on our side only: how long bytes may wait unacknowledged. Infinity: without end, as long as the peer answers. */
  setUserTimeout(ms: number): void {
    this.#patience.userTimeoutMs = ms;
  }

  /** The way to the peer carries no more than this in a segment without options. */
  limitSegmentBytes(maxSegmentBytes: number, now: number): void {
    this.#sender.limitSegmentBytes(maxSegmentBytes, this.#hasTimestamps, now);
  }

  get #hasTimestamps(): boolean {
    return this.#options.timestampValue >= 0;
  }

  #enter(state: TcpState): void {
    this.#state = enter(this.#state, state);
  }

  /** RFC 9293 section 3.10.7.2. */
  #receiveInListen(segment: TcpSegment, now: number): void {
    const { flags } = segment;
    if ((flags & RST) !== 0) return;
    if ((flags & ACK) !== 0) {
      this.#reset = resetFor(segment);
      return;
    }
    // SYN with FIN asks for nothing that a client could want, and gets past careless filters.
    if ((flags & SYN) === 0 || (flags & FIN) !== 0) return;
    this.#patience.onOpen(false, now);
    this.#agree(segment.options, segment.sequence, now);
    this.#sender.window.begin(segment.window, segment.sequence, this.#setup.initialSequence);
    this.#enter(SYN_RECEIVED);
    this.#sender.sendSyn();
    this.#observe(now);
  }

  /** RFC 9293 section 3.10.7.3. */
  #receiveInSynSent(segment: TcpSegment, now: number): void {
    const { flags, acknowledgment } = segment;
    const hasAck = (flags & ACK) !== 0;
    // Nothing but our SYN was sent, so there is one acceptable acknowledgment (RFC 5961 section 3.2 says so for RST).
    if (hasAck && (acknowledgment !== this.#sender.next || !this.#isSynSent)) {
      this.#reset = resetFor(segment);
      return;
    }
    if ((flags & RST) !== 0) {
      if (hasAck) this.#end(ECONNREFUSED);
      return;
    }
    if ((flags & SYN) === 0) return;
    this.#agree(segment.options, segment.sequence, now);
    this.#sender.window.begin(segment.window, segment.sequence, this.#setup.initialSequence);
    if (hasAck) {
      this.#establish(now);
      this.#acknowledge(segment, now);
      this.#receiver?.acks.require();
    } else {
      this.#enter(SYN_RECEIVED); // both sides have opened at the same time
      this.#sender.sendSyn();
    }
  }

  get #isSynSent(): boolean {
    return this.#sender.next !== this.#setup.initialSequence;
  }

  #receiveInTimeWait(segment: TcpSegment, now: number): void {
    switch (this.#timeWait?.receive(segment, now)) {
      case 'close':
        this.#end(0);
        return;
      case 'acknowledge':
      case 'reopen': // only the owner can open another connection; until it does, this is a SYN in the wrong place
        this.#challenge(segment, now);
        return;
      default:
    }
  }

  /** RFC 9293 section 3.10.7.4, in its order. */
  #receiveSynchronized(segment: TcpSegment, now: number, receiver: Receiver): void {
    receiver.keep();
    const { flags } = segment;
    if (this.#state === SYN_RECEIVED && (flags & (SYN | RST)) === SYN && this.#isPeerSyn(segment, receiver)) {
      this.#receiveSynAgain(segment, now, receiver);
      return;
    }
    // First: the sequence number, and the timestamp before it (RFC 7323 section 5.3).
    if (receiver.lacksTimestamp(segment)) return;
    if (receiver.isOldByTimestamp(segment, now) || !receiver.isAcceptable(segment)) {
      if ((flags & RST) === 0) this.#challenge(segment, now);
      return;
    }
    // Second: RST, which only counts exactly at RCV.NXT (RFC 5961 section 3).
    if ((flags & RST) !== 0) {
      if (segment.sequence === receiver.next) this.#onReset();
      else this.#challenge(segment, now);
      return;
    }
    // Fourth: SYN. A peer that has really started again answers our ACK with a reset (RFC 5961 section 4).
    if ((flags & SYN) !== 0) {
      this.#challenge(segment, now);
      return;
    }
    // Fifth: ACK.
    if ((flags & ACK) === 0 || !this.#acceptAcknowledgment(segment, now)) return;
    receiver.noteTimestamp(segment, now);
    this.#patience.onHeard(now);
    if (!this.#afterAcknowledgment(now)) return;
    // Seventh and eighth: text and FIN. The sixth, URG, is not looked at.
    if (canReceive(this.#state)) this.#takeText(segment, now, receiver);
  }

  #isPeerSyn(segment: TcpSegment, receiver: Receiver): boolean {
    return add(segment.sequence, 1) === receiver.next;
  }

  /** The peer has not got our SYN, ACK, or both sides have opened at the same time, and this is the peer's. */
  #receiveSynAgain(segment: TcpSegment, now: number, receiver: Receiver): void {
    if ((segment.flags & ACK) === 0) {
      if (this.#challenges.take(now)) this.#sender.sendSyn();
      return;
    }
    if (!this.#acceptAcknowledgment(segment, now)) return;
    this.#patience.onHeard(now);
    receiver.acks.require();
  }

  /** Returns whether the segment may be processed further. */
  #acceptAcknowledgment(segment: TcpSegment, now: number): boolean {
    const { acknowledgment } = segment;
    const { firstUnacknowledged, next, window } = this.#sender;
    if (this.#state === SYN_RECEIVED) {
      if (!isAfter(acknowledgment, firstUnacknowledged) || isAfter(acknowledgment, next)) {
        this.#reset = resetFor(segment);
        return false;
      }
      this.#establish(now);
      this.#acknowledge(segment, now);
      return true;
    }
    // RFC 5961 section 5: bytes from somebody who has to guess are not taken.
    if (isAfter(acknowledgment, next) || isBefore(acknowledgment, add(firstUnacknowledged, -window.maxBytes))) {
      this.#challenge(segment, now);
      return false;
    }
    this.#acknowledge(segment, now);
    return true;
  }

  #acknowledge(segment: TcpSegment, now: number): void {
    const acknowledged = this.#sender.onAcknowledgment(segment, this.#echoedAt(segment, now), now);
    if (acknowledged > 0 || this.#sender.window.isClosed) this.#patience.onAnswer(acknowledged > 0);
  }

  /** When we sent the timestamp that the segment echoes; -1 if it echoes none. */
  #echoedAt(segment: TcpSegment, now: number): number {
    const { timestampEcho } = segment.options;
    if (!this.#hasTimestamps || timestampEcho < 0) return -1;
    const age = difference(this.#timestamp(now), timestampEcho);
    return age < 0 ? -1 : Math.floor(now) - age;
  }

  /** What the ACK of our FIN changes. Returns false if the connection has ended by it. */
  #afterAcknowledgment(now: number): boolean {
    if (!this.#sender.isFinAcknowledged) return true;
    switch (this.#state) {
      case FIN_WAIT_1:
        this.#enter(FIN_WAIT_2);
        if (this.#isRefusingInput) this.#patience.awaitFin(now);
        return true;
      case CLOSING:
        this.#enterTimeWait(now);
        return false;
      case LAST_ACK:
        this.#end(0);
        return false;
      default:
        return true;
    }
  }

  #takeText(segment: TcpSegment, now: number, receiver: Receiver): void {
    if (this.#isRefusingInput && receiver.hasNewText(segment)) {
      this.#fail(ECONNRESET);
      return;
    }
    receiver.receive(segment, now);
    if (!receiver.isFinReceived) return;
    if (this.#state === ESTABLISHED) this.#enter(CLOSE_WAIT);
    else if (this.#state === FIN_WAIT_1) this.#enter(CLOSING);
    else this.#enterTimeWait(now);
  }

  /** The options of the peer's SYN are those on which both agree: we offer all of them, or answer those that it has offered. */
  #agree(options: TcpOptions, peerSequence: number, now: number): void {
    this.#options = options;
    this.#receiver = new Receiver({
      peerSequence,
      receiveBufferBytes: this.#setup.receiveBufferBytes,
      segmentBytes: this.#setup.maxSegmentBytes,
      delayedAckMs: this.#setup.limits.delayedAckMs,
      options,
      now,
    });
  }

  #establish(now: number): void {
    this.#enter(ESTABLISHED);
    this.#isEstablished = true;
    this.#sender.start(this.#options, this.#setup.congestion);
    this.#patience.onEstablished(now);
    if (this.#isCloseWanted) this.#finish();
  }

  #finish(): void {
    this.#sender.finish();
    this.#enter(this.#state === ESTABLISHED ? FIN_WAIT_1 : LAST_ACK);
  }

  #enterTimeWait(now: number): void {
    const receiver = this.#receiver as Receiver;
    this.#enter(TIME_WAIT);
    this.#sender.stop();
    this.#patience.stop();
    this.#timeWait = new TimeWait({
      sendNext: this.#sender.next,
      receiveNext: receiver.next,
      windowBytes: receiver.windowBytes,
      windowField: receiver.offerWindow(ACK),
      recentTimestamp: receiver.recentTimestamp,
      timestampOffset: this.#setup.timestampOffset,
      lingerMs: 2 * this.#setup.limits.maxSegmentLifetimeMs,
      now,
    });
  }

  /** A segment is not accepted, and the peer is told what would be. Empty ones and those with SYN could be part of a loop. */
  #challenge(segment: TcpSegment, now: number): void {
    const hasText = segment.end > segment.start && (segment.flags & (SYN | RST)) === 0;
    if (!hasText && !this.#challenges.take(now)) return;
    if (hasText) this.#receiver?.noteDuplicate(segment);
    else this.#receiver?.acks.require();
  }

  #onReset(): void {
    this.#end(this.#state === SYN_RECEIVED && this.#setup.isActive ? ECONNREFUSED : ECONNRESET);
  }

  /** Ends the connection and tells the peer, if it knows of it. */
  #fail(error: number): void {
    if (isSynchronized(this.#state) && this.#state !== TIME_WAIT) {
      const acknowledgment = (this.#receiver as Receiver).next;
      this.#reset = { sequence: this.#sender.next, acknowledgment, flags: RST | ACK };
    }
    this.#end(error);
  }

  /** What was received and is not consumed stays readable. */
  #end(error: number): void {
    this.#enter(CLOSED);
    this.#error = error;
    this.#timeWait = null;
    this.#sender.stop();
    this.#patience.stop();
  }

  #observe(now: number): void {
    if (this.isClosed || this.#timeWait !== null) return;
    if (!this.#isEstablished) return; // the handshake has a wait of its own
    this.#patience.observe(this.#sender.awaitsAnswer, this.#sender.hasUnacknowledged, now);
  }

  #timestamp(now: number): number {
    return add(Math.floor(now), this.#setup.timestampOffset);
  }

  #emitReset(reset: ResetReply, now: number, emit: Emit): void {
    this.#reset = null;
    segmentOut.sequence = reset.sequence;
    segmentOut.acknowledgment = reset.acknowledgment;
    segmentOut.flags = reset.flags;
    segmentOut.window = 0;
    segmentOut.options = this.#hasTimestamps ? this.#optionsOf(0, now) : noOptions;
    segmentOut.length = 0;
    emit(segmentOut);
  }

  /** Returns 0 or -errno. Every segment but the first SYN has ACK. */
  #emit(sequence: number, flags: number, offset: number, length: number, now: number, emit: Emit): number {
    const receiver = this.#receiver;
    segmentOut.sequence = sequence;
    segmentOut.flags = receiver === null ? flags : flags | ACK;
    segmentOut.acknowledgment = receiver === null ? 0 : receiver.next;
    segmentOut.window =
      receiver === null ? Math.min(this.#setup.receiveBufferBytes, 65_535) : receiver.offerWindow(flags);
    segmentOut.options = this.#optionsOf(flags, now);
    segmentOut.buffer = length === 0 ? null : this.#sender.buffer;
    segmentOut.offset = offset;
    segmentOut.length = length;
    const result = emit(segmentOut);
    segmentOut.buffer = null;
    if (result >= 0) receiver?.onAckSent();
    else if (result !== -ENOBUFS) this.#onLocalError(-result);
    return this.#failure === 0 ? result : -ENOBUFS;
  }

  /** Our own machine cannot send to the peer. Nobody but it says so, so an attempt to connect ends. */
  #onLocalError(errno: number): void {
    if (errno === EFAULT || this.#state === SYN_SENT) this.#failure = errno;
    else this.#softError = errno;
  }

  #optionsOf(flags: number, now: number): TcpOptions {
    const isSyn = (flags & SYN) !== 0;
    const isFirst = this.#receiver === null;
    const hasTimestamps = isFirst || this.#hasTimestamps;
    const hasScale = isFirst || this.#options.windowScale !== null;
    return {
      mss: isSyn ? this.#setup.maxSegmentBytes : null,
      windowScale: isSyn && hasScale ? windowShiftFor(this.#setup.receiveBufferBytes) : null,
      sackPermitted: isSyn && (isFirst || this.#options.sackPermitted),
      timestampValue: hasTimestamps ? this.#timestamp(now) : -1,
      timestampEcho: hasTimestamps ? (isFirst ? 0 : (this.#receiver as Receiver).recentTimestamp) : -1,
      sackBlocks: this.#sackBlocks,
    };
  }
}
