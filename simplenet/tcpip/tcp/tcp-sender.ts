/**
 * Sender: the half of a connection that sends. SND.UNA, SND.NXT, the peer's window, what is sent next, and when something is sent again.
 *
 * Three timers, of which RFC 9293 knows two:
 * - retransmission (RFC 6298), or before it the tail loss probe (RFC 8985 section 7), which finds the loss of the last segments earlier;
 * - reordering (RFC 8985 section 6.2): a segment that others have overtaken is lost when this has passed;
 * - persist: the window is closed, nothing is in flight, and the ACK that opens it may be lost (RFC 9293 section 3.8.6.1).
 *
 * Next: patience.ts
 */

import { ENOBUFS } from '../../kernel/abi.ts';
import type { CongestionControl, CongestionFactory } from './congestion.ts';
import { type AckOutcome, LossDetection } from './loss-detection.ts';
import { RoundTrip, type RoundTripLimits } from './round-trip.ts';
import { ACK, FIN, PSH, SYN, type TcpOptions, type TcpSegment } from './segment.ts';
import { SendBuffer } from './send-buffer.ts';
import { add, difference, isAfter, isBefore } from './sequence.ts';

/** How many segments may be in flight, so that a peer with a large window and a small MSS does not make the list of them long. */
const MAX_SEGMENTS_IN_FLIGHT = 16_384;
/** RFC 9293 section 3.7.1: a peer without the option takes this. */
const DEFAULT_SEGMENT_BYTES = 536;
/** A smaller MSS would let the peer make us send many headers for few bytes (CVE-2019-11479). */
export const MIN_SEGMENT_BYTES = 88;
/** What timestamps take of every segment (RFC 7323 appendix A). */
const TIMESTAMP_BYTES = 12;
/** How long to wait after a frame for which the link had no room. */
const LOCAL_RETRY_MS = 5;
/** RFC 9293 section 3.8.6.1 wants a longer pause after each probe; RFC 1122 section 4.2.2.17 has this bound in its discussion. */
const MAX_PERSIST_MS = 60_000;
const NEVER = Number.POSITIVE_INFINITY;

export interface SenderSetup {
  readonly initialSequence: number;
  readonly maxSegmentBytes: number;
  readonly sendBufferBytes: number;
  readonly roundTrip: RoundTripLimits;
}

/** Sends `length` bytes from `sequence` on, which begin `offset` bytes after the first one in the buffer. Returns 0 or -errno. */
export type SendSegment = (sequence: number, flags: number, offset: number, length: number) => number;

export class Sender {
  noDelay = false;
  readonly buffer = new SendBuffer();
  readonly #initialSequence: number;
  readonly #sendBufferBytes: number;
  readonly #loss: LossDetection;
  readonly #roundTrip: RoundTrip;
  /** Null until the handshake has told how large a segment may be. */
  #congestion: CongestionControl | null = null;
  #segmentBytes: number;
  /** The sequence number of the first byte in the buffer. */
  #bufferSequence: number;
  /** The sequence number of our FIN, or -1 before `finish`. */
  #finSequence = -1;

  /** SND.WND, and the largest that it ever was. */
  #window = 0;
  #maxWindow = 0;
  #windowShift = 0;
  /** SND.WL1 and SND.WL2: the segment that brought the window. */
  #windowSequence = 0;
  #windowAcknowledgment = 0;

  /** The end of the last segment that was not full (Minshall). */
  #smallEnd: number;
  /** Up to here the congestion window kept us from sending more. */
  #limitedUntil: number;
  #lastSentAt = NEVER;
  #isSynRepeated = false;
  #isSynAcknowledged = false;
  #timeoutSequence = -1;

  #mayHaveOutput = false;
  #mustSendSyn = false;
  #isTailProbeDue = false;
  #isWindowProbeDue = false;
  #isEmptyProbeDue = false;

  #timerAt = NEVER;
  #isTimerTailProbe = false;
  #persistAt = NEVER;
  #windowProbes = 0;
  #resumeAt = NEVER;

  constructor(setup: SenderSetup) {
    this.#initialSequence = setup.initialSequence;
    this.#sendBufferBytes = setup.sendBufferBytes;
    this.#segmentBytes = setup.maxSegmentBytes;
    this.#loss = new LossDetection({
      firstSequence: setup.initialSequence,
      maxSegmentBytes: setup.maxSegmentBytes,
      hasSack: false,
      maxSegments: MAX_SEGMENTS_IN_FLIGHT,
    });
    this.#roundTrip = new RoundTrip(setup.roundTrip);
    this.#bufferSequence = add(setup.initialSequence, 1);
    this.#smallEnd = setup.initialSequence;
    this.#limitedUntil = setup.initialSequence;
  }

  /** SND.UNA. */
  get firstUnacknowledged(): number {
    return this.#loss.firstUnacknowledged;
  }

  /** SND.NXT. */
  get next(): number {
    return this.#loss.nextSequence;
  }

  /** The largest window that the peer has ever offered: MAX.SND.WND of RFC 5961 section 5. */
  get maxWindow(): number {
    return this.#maxWindow;
  }

  get isWindowClosed(): boolean {
    return this.#window === 0;
  }

  get isFinAcknowledged(): boolean {
    return this.#finSequence >= 0 && isAfter(this.firstUnacknowledged, this.#finSequence);
  }

  get segmentBytes(): number {
    return this.#segmentBytes;
  }

  get roundTrip(): RoundTrip {
    return this.#roundTrip;
  }

  get congestion(): CongestionControl | null {
    return this.#congestion;
  }

  get unsentBytes(): number {
    return Math.max(0, Math.min(this.buffer.byteLength, difference(this.#dataEnd, this.next)));
  }

  get queuedBytes(): number {
    return Math.max(0, this.buffer.byteLength - this.#sendBufferBytes);
  }

  /** Whether bytes or our FIN are not acknowledged, sent or not. */
  get hasUnacknowledged(): boolean {
    return this.buffer.byteLength > 0 || (this.#finSequence >= 0 && !this.isFinAcknowledged);
  }

  /** Whether something is in flight, or waits for a window that is closed: then the peer owes us an answer. */
  get awaitsAnswer(): boolean {
    return this.#loss.outstandingBytes > 0 || this.#persistAt !== NEVER;
  }

  get hasOutput(): boolean {
    return this.#mayHaveOutput;
  }

  get deadlineAt(): number {
    return Math.min(this.#timerAt, this.#persistAt, this.#resumeAt, this.#loss.reorderingDeadlineAt);
  }

  /** Sends the SYN, for the first time or again at once. The connection adds ACK to its flags. */
  sendSyn(): void {
    this.#mustSendSyn = true;
    this.#mayHaveOutput = true;
  }

  /** As if our SYN had been sent and acknowledged: a cookie says so. */
  skipSyn(now: number): void {
    this.#loss.onSent(1, now);
    this.#loss.onAcknowledgment(
      { acknowledgment: add(this.#initialSequence, 1), sackBlocks: [], echoedAt: -1, isBare: false },
      this.#roundTrip,
      now,
    );
    this.#isSynAcknowledged = true;
  }

  /** Both SYNs are known: from here on bytes may be sent. `options` are those on which both sides agree, with the MSS of the peer. */
  start(options: TcpOptions, congestion: CongestionFactory): void {
    const offered = Math.max(MIN_SEGMENT_BYTES, options.mss ?? DEFAULT_SEGMENT_BYTES);
    const overhead = options.timestampValue < 0 ? 0 : TIMESTAMP_BYTES;
    this.#segmentBytes = Math.min(this.#segmentBytes, offered) - overhead;
    this.#loss.maxSegmentBytes = this.#segmentBytes;
    this.#loss.hasSack = options.sackPermitted;
    this.#windowShift = options.windowScale ?? 0;
    this.#congestion = congestion(this.#segmentBytes);
    this.#mayHaveOutput = true;
  }

  write(bytes: Uint8Array, start: number, end: number, isOwned: boolean): void {
    if (isOwned) this.buffer.pushOwned(bytes, start, end);
    else this.buffer.pushCopy(bytes, start, end);
    this.#mayHaveOutput = true;
  }

  /** Drops what is beyond the send buffer and was never sent. */
  truncateQueue(): void {
    const sent = this.buffer.byteLength - this.unsentBytes;
    this.buffer.truncate(Math.min(this.buffer.byteLength, Math.max(sent, this.#sendBufferBytes)));
  }

  /** FIN follows what is in the buffer. */
  finish(): void {
    this.#finSequence = this.#dataEnd;
    this.#mayHaveOutput = true;
  }

  /** Sends an empty segment whose sequence number the peer has seen before, so that it must answer (RFC 9293 section 3.8.4). */
  sendEmptyProbe(): void {
    this.#isEmptyProbeDue = true;
    this.#mayHaveOutput = true;
  }

  /** The window in the SYN of the peer. */
  setInitialWindow(window: number, sequence: number, acknowledgment: number): void {
    this.#window = window;
    this.#maxWindow = window;
    this.#windowSequence = sequence;
    this.#windowAcknowledgment = acknowledgment;
  }

  /** SEG.ACK is at most SND.NXT. `echoedAt` is when we sent the timestamp that the segment echoes, or -1. Returns by how much SND.UNA moved. */
  onAcknowledgment(segment: TcpSegment, echoedAt: number, now: number): number {
    const { acknowledgment } = segment;
    if (isBefore(acknowledgment, this.firstUnacknowledged)) return 0;
    const isWindowNew = this.#updateWindow(segment);
    const inFlightBefore = this.#loss.inFlightBytes;
    const outcome = this.#loss.onAcknowledgment(
      {
        acknowledgment,
        sackBlocks: segment.options.sackBlocks,
        echoedAt,
        isBare: !isWindowNew && segment.end === segment.start && (segment.flags & (SYN | FIN)) === 0,
      },
      this.#roundTrip,
      now,
    );
    this.#takeSample(outcome, inFlightBefore, now);
    if (this.#isSynAcknowledged) this.#steer(outcome, inFlightBefore, now);
    else if (outcome.ackedBytes > 0) this.#onSynAcknowledged();
    this.#dropAcknowledged();
    if (outcome.ackedBytes > 0) this.#windowProbes = 0;
    if (outcome.ackedBytes > 0 || outcome.deliveredBytes > 0) this.#setTimer(now);
    this.#mayHaveOutput = true;
    return outcome.ackedBytes;
  }

  /** The path carries no more than this in a segment without options. What is in flight is too large, and is sent again. */
  limitSegmentBytes(maxSegmentBytes: number, hasTimestamps: boolean, now: number): void {
    const bytes = Math.max(MIN_SEGMENT_BYTES, maxSegmentBytes) - (hasTimestamps ? TIMESTAMP_BYTES : 0);
    if (bytes >= this.#segmentBytes) return;
    this.#segmentBytes = bytes;
    this.#loss.maxSegmentBytes = bytes;
    this.#congestion?.setMaxSegmentBytes(bytes);
    if (this.#loss.outstandingBytes === 0) return;
    this.#loss.onSegmentsTooLarge();
    this.#setTimer(now);
    this.#mayHaveOutput = true;
  }

  onDeadline(now: number): void {
    if (this.#resumeAt <= now) {
      this.#resumeAt = NEVER;
      this.#mayHaveOutput = true;
    }
    if (this.#loss.reorderingDeadlineAt <= now) {
      const inFlightBefore = this.#loss.inFlightBytes;
      this.#steer(this.#loss.onReorderingTimeout(this.#roundTrip, now), inFlightBefore, now);
      this.#mayHaveOutput = true;
    }
    if (this.#timerAt <= now) {
      if (this.#isTimerTailProbe) this.#isTailProbeDue = true;
      else this.#onRetransmissionTimeout(now);
      this.#isTimerTailProbe = false;
      this.#timerAt = now + this.#roundTrip.rtoMs;
      this.#mayHaveOutput = true;
    }
    if (this.#persistAt <= now) {
      this.#windowProbes++;
      this.#isWindowProbeDue = true;
      this.#setPersistTimer(now);
      this.#mayHaveOutput = true;
    }
  }

  /** `limit`: how many bytes a segment may carry now. It is less than `segmentBytes` while SACK blocks have to go with them. */
  transmit(limit: number, now: number, send: SendSegment): void {
    this.#mayHaveOutput = false;
    this.#resumeAt = NEVER;
    const isStalled = !this.#transmitAll(limit, now, send);
    if (isStalled) this.#resumeAt = now + LOCAL_RETRY_MS;
    if (this.#loss.outstandingBytes > 0) {
      this.#persistAt = NEVER;
      if (this.#timerAt === NEVER) this.#setTimer(now);
    } else if (this.#congestion === null || isStalled || !this.#hasUnsent) {
      this.#persistAt = NEVER;
    } else if (this.#persistAt === NEVER) {
      this.#setPersistTimer(now);
    }
  }

  /** Forgets everything: the connection has ended. */
  stop(): void {
    this.#mayHaveOutput = false;
    this.#timerAt = NEVER;
    this.#persistAt = NEVER;
    this.#resumeAt = NEVER;
    this.buffer.truncate(0);
  }

  /** The sequence number after the last byte in the buffer. */
  get #dataEnd(): number {
    return add(this.#bufferSequence, this.buffer.byteLength);
  }

  /** Whether bytes or our FIN were never sent. */
  get #hasUnsent(): boolean {
    return this.unsentBytes > 0 || this.next === this.#finSequence;
  }

  /** What the peer's window has room for; below 0 if the peer has shrunk it. */
  get #usableWindow(): number {
    return difference(add(this.firstUnacknowledged, this.#window), this.next);
  }

  /** False if the link has no room. */
  #transmitAll(limit: number, now: number, send: SendSegment): boolean {
    if (this.#mustSendSyn && !this.#sendSynNow(now, send)) return false;
    if (!this.#sendLost(limit, now, send)) return false;
    if (this.#congestion === null) return true;
    if (this.#isTailProbeDue && !this.#sendTailProbe(limit, now, send)) return false;
    if (!this.#sendNew(limit, now, send, this.#congestion)) return false;
    if (this.#isWindowProbeDue || this.#isEmptyProbeDue) {
      this.#isWindowProbeDue = false;
      this.#isEmptyProbeDue = false;
      if (this.#loss.outstandingBytes === 0) send(add(this.next, -1), ACK, 0, 0);
    }
    return true;
  }

  #sendSynNow(now: number, send: SendSegment): boolean {
    if (send(this.#initialSequence, SYN, 0, 0) === -ENOBUFS) return false;
    this.#mustSendSyn = false;
    if (this.#loss.outstandingBytes === 0) this.#loss.onSent(1, now);
    else this.#isSynRepeated = true;
    return true;
  }

  /** Sends again what is lost, as far as the congestion window allows. */
  #sendLost(limit: number, now: number, send: SendSegment): boolean {
    for (;;) {
      const sequence = this.#loss.nextLostSequence;
      if (sequence < 0) return true;
      if (this.#congestion !== null && this.#loss.inFlightBytes >= this.#congestion.windowBytes) return true;
      const length = this.#sendRange(sequence, this.#loss.nextLostLength, limit, send);
      if (length < 0) return false;
      this.#loss.onLostSent(length, now);
      this.#onSent(length, now);
      if (!this.#isSynAcknowledged) this.#isSynRepeated = true;
    }
  }

  #sendNew(limit: number, now: number, send: SendSegment, congestion: CongestionControl): boolean {
    while (this.#loss.hasRoom) {
      if (this.#loss.inFlightBytes >= congestion.windowBytes) {
        this.#limitedUntil = this.next;
        return true;
      }
      const length = this.#nextLength(limit);
      if (length === 0) return true;
      if (!this.#sendNext(length, limit, now, send)) return false;
    }
    return true;
  }

  /**
   * How many sequence numbers the next segment takes, FIN included; 0 if it has to wait. A segment that is not full goes out
   * - if nothing more is written, and no other small segment is unacknowledged (Nagle, Minshall), or the program wants no delay, or FIN follows;
   * - if the window cuts it, only if it is half of the largest window that we have seen, or the persist timer has
   *   expired (RFC 9293 section 3.8.6.2.1: the silly window syndrome).
   */
  #nextLength(limit: number): number {
    const unsent = this.unsentBytes;
    const usable = this.#usableWindow;
    const length = Math.min(unsent, limit, usable);
    const isFinNext = this.#finSequence >= 0 && length === unsent && this.next !== add(this.#finSequence, 1);
    if (isFinNext && usable > length) return length + 1;
    if (length <= 0) return 0;
    if (length === limit || isFinNext) return length;
    if (length < unsent) return this.#isWindowProbeDue || length * 2 >= this.#maxWindow ? length : 0;
    return this.noDelay || !isAfter(this.#smallEnd, this.firstUnacknowledged) ? length : 0;
  }

  #sendNext(length: number, limit: number, now: number, send: SendSegment): boolean {
    if (this.#loss.outstandingBytes === 0) this.#endIdle(now);
    const sequence = this.next;
    const sent = this.#sendRange(sequence, length, limit, send);
    if (sent < 0) return false;
    this.#loss.onSent(sent, now);
    this.#onSent(sent, now);
    this.#isWindowProbeDue = false;
    if (sent < limit) this.#smallEnd = this.next;
    // A tail loss probe is due some time after the last segment; the retransmission timer runs since the first one.
    if (this.#isTimerTailProbe) this.#setTimer(now);
    return true;
  }

  /** RFC 8985 section 7.3: new bytes if there are some, or else the last segment again. The congestion window does not count. */
  #sendTailProbe(limit: number, now: number, send: SendSegment): boolean {
    if (this.#loss.outstandingBytes > 0) {
      const length = this.#loss.hasRoom ? this.#nextLength(limit) : 0;
      if (length > 0) {
        if (!this.#sendNext(length, limit, now, send)) return false;
      } else if (this.#sendRange(this.#loss.lastSegmentSequence, this.#loss.lastSegmentLength, limit, send) < 0) {
        return false;
      }
      this.#loss.onProbeSent(length === 0, now);
      this.#isTimerTailProbe = false;
      this.#timerAt = now + this.#roundTrip.rtoMs;
    }
    this.#isTailProbeDue = false;
    return true;
  }

  /** Sends the segment with the next `length` sequence numbers, or less if they are more than `limit`. Returns how many, or -ENOBUFS. */
  #sendRange(sequence: number, length: number, limit: number, send: SendSegment): number {
    if (!this.#isSynAcknowledged) return send(sequence, SYN, 0, 0) === -ENOBUFS ? -ENOBUFS : 1;
    const offset = difference(sequence, this.#bufferSequence);
    const payload = Math.min(length, limit, this.buffer.byteLength - offset);
    const end = add(sequence, payload);
    let flags = ACK;
    if (payload > 0 && end === this.#dataEnd) flags |= PSH;
    const hasFin = payload < length && end === this.#finSequence;
    if (hasFin) flags |= FIN;
    // Any other error is that of a segment lost on its way: the retransmission timer repairs it.
    if (send(sequence, flags, offset, payload) === -ENOBUFS) return -ENOBUFS;
    return hasFin ? payload + 1 : payload;
  }

  #onSent(length: number, now: number): void {
    this.#congestion?.onSent(length);
    this.#lastSentAt = now;
  }

  #endIdle(now: number): void {
    if (this.#lastSentAt !== NEVER) this.#congestion?.onIdle(now - this.#lastSentAt, this.#roundTrip.rtoMs, now);
  }

  /** Returns whether the window is another one now. Only a segment that is not older than the last one that told it may do so. */
  #updateWindow(segment: TcpSegment): boolean {
    const { sequence, acknowledgment } = segment;
    const isOlder =
      isBefore(sequence, this.#windowSequence) ||
      (sequence === this.#windowSequence && isBefore(acknowledgment, this.#windowAcknowledgment));
    if (isOlder) return false;
    this.#windowSequence = sequence;
    this.#windowAcknowledgment = acknowledgment;
    // The window of a SYN is not scaled (RFC 7323 section 2.2).
    const window = segment.window * ((segment.flags & SYN) === 0 ? 2 ** this.#windowShift : 1);
    if (window === this.#window) return false;
    this.#window = window;
    if (window > this.#maxWindow) this.#maxWindow = window;
    return true;
  }

  /** The ACK of the SYN opens no congestion window (RFC 5681 section 3.1). */
  #onSynAcknowledged(): void {
    this.#isSynAcknowledged = true;
    if (this.#isSynRepeated && this.#roundTrip.smoothedMs < 0) this.#roundTrip.onSynLost();
  }

  #dropAcknowledged(): void {
    // Kept near SND.UNA, because numbers that are 2^31 apart cannot be compared.
    if (isBefore(this.#smallEnd, this.firstUnacknowledged)) this.#smallEnd = this.firstUnacknowledged;
    const bytes = Math.min(difference(this.firstUnacknowledged, this.#bufferSequence), this.buffer.byteLength);
    if (bytes <= 0) return;
    this.buffer.acknowledge(bytes);
    this.#bufferSequence = add(this.#bufferSequence, bytes);
  }

  #takeSample(outcome: AckOutcome, inFlightBytes: number, now: number): void {
    // An ACK of bytes that came twice echoes their first timestamp: it measures how long the retransmission took to be made.
    if (outcome.roundTripMs >= 0 && !outcome.hasDuplicateSack) {
      // RFC 7323 appendix G.
      const samples = Math.max(1, Math.ceil(inFlightBytes / (2 * this.#segmentBytes)));
      this.#roundTrip.sample(outcome.roundTripMs, now, samples);
    } else if (outcome.ackedBytes > 0) {
      this.#roundTrip.endBackOff();
    }
  }

  /** Tells the congestion control what an acknowledgment or the reordering timer has shown. */
  #steer(outcome: AckOutcome, inFlightBefore: number, now: number): void {
    const congestion = this.#congestion;
    if (congestion === null) return;
    if (outcome.hasEnteredRecovery || outcome.hasProbeRepairedLoss) congestion.onLoss(inFlightBefore, now);
    if (outcome.ackedBytes > 0 || outcome.deliveredBytes > 0 || outcome.lostBytes > 0) {
      congestion.onAck({
        ackedBytes: outcome.ackedBytes,
        deliveredBytes: outcome.deliveredBytes,
        lostBytes: outcome.lostBytes,
        inFlightBytes: this.#loss.inFlightBytes,
        roundTripMs: outcome.roundTripMs,
        smoothedRoundTripMs: this.#roundTrip.smoothedMs,
        isLimitedByWindow: this.#wasLimitedByWindow(),
        now,
      });
    }
    if (outcome.hasLeftRecovery || outcome.hasProbeRepairedLoss) congestion.onRecovered(now);
  }

  #wasLimitedByWindow(): boolean {
    const first = this.firstUnacknowledged;
    if (!isBefore(this.#limitedUntil, first)) return true;
    this.#limitedUntil = add(first, -1); // never so far back that it would seem to lie ahead
    return false;
  }

  #onRetransmissionTimeout(now: number): void {
    const first = this.firstUnacknowledged;
    const inFlight = this.#loss.inFlightBytes;
    this.#loss.onRetransmissionTimeout(this.#roundTrip, now);
    this.#roundTrip.backOff();
    this.#congestion?.onTimeout(inFlight, this.#loss.inFlightBytes, this.#timeoutSequence !== first, now);
    this.#timeoutSequence = first;
  }

  /** RFC 6298 rules 5.1 to 5.3, and RFC 8985 section 7.2. */
  #setTimer(now: number): void {
    this.#isTailProbeDue = false;
    if (this.#loss.outstandingBytes === 0) {
      this.#timerAt = NEVER;
      return;
    }
    const rto = this.#roundTrip.rtoMs;
    const probe = this.#congestion === null ? NEVER : this.#loss.probeDelayMs(this.#roundTrip);
    this.#isTimerTailProbe = probe < rto;
    this.#timerAt = now + Math.min(probe, rto);
  }

  #setPersistTimer(now: number): void {
    this.#persistAt = now + Math.min(this.#roundTrip.rtoMs * 2 ** Math.min(this.#windowProbes, 10), MAX_PERSIST_MS);
  }
}
