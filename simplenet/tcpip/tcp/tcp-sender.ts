/**
 * Sender: the half of a connection that sends. SND.UNA, SND.NXT, FIN, what is sent next, and what is sent again.
 *
 * It asks peer-window.ts and path-state.ts whether something may be sent, loss-detection.ts what has to be sent again, and
 * send-timers.ts when to act without an ACK.
 *
 * Next: patience.ts
 */

import { ENOBUFS } from '../../kernel/abi.ts';
import type { CongestionControl, CongestionFactory } from './congestion.ts';
import type { GrowingBuffer } from './growing-buffer.ts';
import { type AckOutcome, LossDetection } from './loss-detection.ts';
import { nextLength } from './next-length.ts';
import { PathState } from './path-state.ts';
import { PeerWindow } from './peer-window.ts';
import type { RoundTripLimits } from './round-trip.ts';
import { ACK, FIN, SYN, type TcpOptions, type TcpSegment } from './segment.ts';
import type { SendBuffer } from './send-buffer.ts';
import { SendStream } from './send-stream.ts';
import { SendTimers } from './send-timers.ts';
import { add, isAfter, isBefore } from './sequence.ts';

/** How many segments may be in flight, so that a peer with a large window and a small MSS does not make the list of them long. */
const MAX_SEGMENTS_IN_FLIGHT = 16_384;
/** RFC 9293 section 3.7.1: a peer without the option takes this. */
const DEFAULT_SEGMENT_BYTES = 536;
/** A smaller MSS would let the peer make us send many headers for few bytes (CVE-2019-11479). */
export const MIN_SEGMENT_BYTES = 88;
/** What timestamps take of every segment (RFC 7323 appendix A). */
const TIMESTAMP_BYTES = 12;
const NEVER = Number.POSITIVE_INFINITY;

export interface SenderSetup {
  readonly initialSequence: number;
  readonly maxSegmentBytes: number;
  readonly buffer: GrowingBuffer;
  readonly roundTrip: RoundTripLimits;
}

/** How far a connection may send, and how long it waits: for reports. */
export interface SendState {
  /** How many bytes may be in flight as far as the path is concerned. 0 before the handshake is complete. */
  readonly congestionWindowBytes: number;
  /** Below this the window doubles in each round trip. Infinity before the first loss. */
  readonly slowStartThreshold: number;
  /** What is on its way, as far as the connection can know. */
  readonly inFlightBytes: number;
  /** How many bytes may be in flight as far as the peer is concerned. */
  readonly peerWindowBytes: number;
  /** The average round trip, or null before the first measurement. */
  readonly smoothedRoundTripMs: number | null;
  /** How long an acknowledgment may take before its segment is sent again. */
  readonly retransmissionTimeoutMs: number;
}

/** Sends `length` bytes from `sequence` on, which begin `offset` bytes after the first one in the buffer. Returns 0 or -errno. */
export type SendSegment = (sequence: number, flags: number, offset: number, length: number) => number;

export class Sender {
  noDelay = false;
  readonly #stream: SendStream;
  readonly #initialSequence: number;
  readonly #bufferSize: GrowingBuffer;
  readonly #loss: LossDetection;
  readonly #path: PathState;
  readonly #timers = new SendTimers();
  readonly window = new PeerWindow();
  #segmentBytes: number;

  /** The end of the last segment that was not full (Minshall). */
  #smallEnd: number;
  /** Both SYNs are known. */
  #isStarted = false;
  #isSynRepeated = false;
  #isSynAcknowledged = false;

  #mayHaveOutput = false;
  #mustSendSyn = false;
  #isTailProbeDue = false;
  #isWindowProbeDue = false;
  #isEmptyProbeDue = false;

  constructor(setup: SenderSetup) {
    this.#initialSequence = setup.initialSequence;
    this.#bufferSize = setup.buffer;
    this.#segmentBytes = setup.maxSegmentBytes;
    this.#loss = new LossDetection({
      firstSequence: setup.initialSequence,
      maxSegmentBytes: setup.maxSegmentBytes,
      hasSack: false,
      maxSegments: MAX_SEGMENTS_IN_FLIGHT,
    });
    this.#path = new PathState(setup.initialSequence, setup.roundTrip);
    this.#stream = new SendStream(add(setup.initialSequence, 1));
    this.#smallEnd = setup.initialSequence;
  }

  get state(): SendState {
    const { congestion, roundTrip } = this.#path;
    return {
      congestionWindowBytes: congestion?.windowBytes ?? 0,
      slowStartThreshold: congestion?.slowStartThreshold ?? Number.POSITIVE_INFINITY,
      inFlightBytes: this.#loss.inFlightBytes,
      peerWindowBytes: this.window.bytes,
      smoothedRoundTripMs: roundTrip.smoothedMs < 0 ? null : roundTrip.smoothedMs,
      retransmissionTimeoutMs: roundTrip.rtoMs,
    };
  }

  /** SND.UNA. */
  get firstUnacknowledged(): number {
    return this.#loss.firstUnacknowledged;
  }

  /** SND.NXT. */
  get next(): number {
    return this.#loss.nextSequence;
  }

  get buffer(): SendBuffer {
    return this.#stream.buffer;
  }

  get isFinAcknowledged(): boolean {
    return this.#stream.isFinAcknowledged(this.firstUnacknowledged);
  }

  get segmentBytes(): number {
    return this.#segmentBytes;
  }

  get unsentBytes(): number {
    return this.#stream.unsentBytes(this.next);
  }

  get queuedBytes(): number {
    return Math.max(0, this.buffer.byteLength - this.#bufferSize.bytes);
  }

  /** The smoothed round trip, or -1 before the first sample. */
  get roundTripMs(): number {
    return this.#path.roundTrip.smoothedMs;
  }

  /** Whether bytes or our FIN are not acknowledged, sent or not. */
  get hasUnacknowledged(): boolean {
    return this.#stream.hasUnacknowledged(this.firstUnacknowledged);
  }

  /** Whether something is in flight, or waits for a window that is closed: then the peer owes us an answer. */
  get awaitsAnswer(): boolean {
    return this.#loss.outstandingBytes > 0 || this.#timers.isPersisting;
  }

  get hasOutput(): boolean {
    return this.#mayHaveOutput;
  }

  get deadlineAt(): number {
    return Math.min(this.#timers.deadlineAt, this.#loss.reorderingDeadlineAt);
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
      this.#path.roundTrip,
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
    this.window.scale(options.windowScale ?? 0);
    this.#path.start(this.#segmentBytes, congestion);
    this.#isStarted = true;
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
    this.buffer.truncate(Math.min(this.buffer.byteLength, Math.max(sent, this.#bufferSize.bytes)));
  }

  /** FIN follows what is in the buffer. */
  finish(): void {
    this.#stream.finish();
    this.#mayHaveOutput = true;
  }

  /** Sends an empty segment whose sequence number the peer has seen before, so that it must answer (RFC 9293 section 3.8.4). */
  sendEmptyProbe(): void {
    this.#isEmptyProbeDue = true;
    this.#mayHaveOutput = true;
  }

  /** SEG.ACK is at most SND.NXT. `echoedAt`: see Acknowledgment. Returns by how much SND.UNA moved. */
  onAcknowledgment(segment: TcpSegment, echoedAt: number, now: number): number {
    const { acknowledgment } = segment;
    if (isBefore(acknowledgment, this.firstUnacknowledged)) return 0;
    const isWindowNew = this.window.update(segment);
    const inFlightBefore = this.#loss.inFlightBytes;
    const outcome = this.#loss.onAcknowledgment(
      {
        acknowledgment,
        sackBlocks: segment.options.sackBlocks,
        echoedAt,
        isBare: !isWindowNew && segment.end === segment.start && (segment.flags & (SYN | FIN)) === 0,
      },
      this.#path.roundTrip,
      now,
    );
    this.#path.takeSample(outcome, inFlightBefore, this.#segmentBytes, now);
    if (this.#isSynAcknowledged) this.#steer(outcome, inFlightBefore, now);
    else if (outcome.ackedBytes > 0) this.#onSynAcknowledged();
    this.#dropAcknowledged();
    if (outcome.ackedBytes > 0) this.#timers.onProgress();
    this.#adjustBuffer();
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
    this.#path.congestion?.setMaxSegmentBytes(bytes);
    if (this.#loss.outstandingBytes === 0) return;
    this.#loss.onSegmentsTooLarge();
    this.#setTimer(now);
    this.#mayHaveOutput = true;
  }

  onDeadline(now: number): void {
    if (this.deadlineAt > now) return;
    const timers = this.#timers;
    this.#mayHaveOutput = true;
    const inFlightBefore = this.#loss.inFlightBytes;
    if (this.#loss.reorderingDeadlineAt <= now) {
      this.#steer(this.#loss.onReorderingTimeout(this.#path.roundTrip, now), inFlightBefore, now);
    }
    if (timers.retransmitAt <= now) {
      this.#isTailProbeDue = timers.isTailProbe;
      if (!timers.isTailProbe) {
        this.#loss.onRetransmissionTimeout(this.#path.roundTrip, now);
        this.#path.onTimeout(this.firstUnacknowledged, inFlightBefore, this.#loss.inFlightBytes, now);
      }
      timers.setRetransmission(this.#path.roundTrip.rtoMs, NEVER, now);
    }
    if (timers.persistAt <= now) {
      timers.onWindowProbe();
      this.#isWindowProbeDue = true;
      timers.setPersist(this.#path.roundTrip.rtoMs, now);
    }
  }

  /** `limit`: how many bytes a segment may carry now. It is less than `segmentBytes` while SACK blocks have to go with them. */
  transmit(limit: number, now: number, send: SendSegment): void {
    this.#mayHaveOutput = false;
    const timers = this.#timers;
    const isStalled = !this.#transmitAll(limit, now, send);
    if (isStalled) timers.setResume(now);
    else timers.clearResume();
    if (this.#loss.outstandingBytes > 0) {
      timers.clearPersist();
      if (!timers.isRetransmissionSet) this.#setTimer(now);
    } else if (!this.#isStarted || isStalled || !this.#hasUnsent) {
      timers.clearPersist();
    } else if (!timers.isPersisting) {
      timers.setPersist(this.#path.roundTrip.rtoMs, now);
    }
  }

  /** Forgets everything: the connection has ended. */
  stop(): void {
    this.#mayHaveOutput = false;
    this.#timers.stop();
    this.buffer.truncate(0);
    this.#bufferSize.release();
  }

  /** Whether bytes or our FIN were never sent. */
  get #hasUnsent(): boolean {
    return this.unsentBytes > 0 || this.#stream.isFinUnsent(this.next);
  }

  /** False if the link has no room. */
  #transmitAll(limit: number, now: number, send: SendSegment): boolean {
    if (this.#mustSendSyn && !this.#sendSynNow(now, send)) return false;
    if (!this.#sendLost(limit, now, send)) return false;
    if (!this.#isStarted) return true;
    if (this.#isTailProbeDue && !this.#sendTailProbe(limit, now, send)) return false;
    if (!this.#sendNew(limit, now, send)) return false;
    const isProbeDue = this.#isWindowProbeDue || this.#isEmptyProbeDue;
    this.#isWindowProbeDue = false;
    this.#isEmptyProbeDue = false;
    if (isProbeDue && this.#loss.outstandingBytes === 0) send(add(this.next, -1), ACK, 0, 0);
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
      if (sequence < 0 || !this.#path.hasRoom(this.#loss.inFlightBytes)) return true;
      const length = this.#sendRange(sequence, this.#loss.nextLostLength, limit, send);
      if (length < 0) return false;
      this.#loss.onLostSent(length, now);
      this.#path.onSent(length, now);
      if (!this.#isSynAcknowledged) this.#isSynRepeated = true;
    }
  }

  #sendNew(limit: number, now: number, send: SendSegment): boolean {
    while (this.#loss.hasRoom) {
      if (!this.#path.hasRoom(this.#loss.inFlightBytes)) {
        this.#path.onWindowFull(this.next);
        return true;
      }
      const length = this.#nextLength(limit);
      if (length === 0) return true;
      if (!this.#sendNext(length, limit, now, send)) return false;
    }
    return true; // so many segments are in flight that an ACK has to come first
  }

  #nextLength(limit: number): number {
    return nextLength({
      unsent: this.unsentBytes,
      usable: this.window.usable(this.firstUnacknowledged, this.next),
      limit,
      maxWindow: this.window.maxBytes,
      isFinWaiting: this.#stream.isFinUnsent(this.next),
      isForced: this.#isWindowProbeDue,
      maySendSmall: this.noDelay || !isAfter(this.#smallEnd, this.firstUnacknowledged),
    });
  }

  #sendNext(length: number, limit: number, now: number, send: SendSegment): boolean {
    if (this.#loss.outstandingBytes === 0) this.#path.onFirstSent(now);
    const sent = this.#sendRange(this.next, length, limit, send);
    if (sent < 0) return false;
    this.#loss.onSent(sent, now);
    this.#path.onSent(sent, now);
    this.#isWindowProbeDue = false;
    if (sent < limit) this.#smallEnd = this.next;
    // A tail loss probe is due some time after the last segment; the retransmission timer runs since the first one.
    if (this.#timers.isTailProbe) this.#setTimer(now);
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
      this.#timers.setRetransmission(this.#path.roundTrip.rtoMs, NEVER, now);
    }
    this.#isTailProbeDue = false;
    return true;
  }

  /** Sends the segment with the next `length` sequence numbers, or less if they are more than `limit`. Returns how many, or -ENOBUFS. */
  #sendRange(sequence: number, length: number, limit: number, send: SendSegment): number {
    if (!this.#isSynAcknowledged) return send(sequence, SYN, 0, 0) === -ENOBUFS ? -ENOBUFS : 1;
    const { flags, offset, payload } = this.#stream.pieceAt(sequence, length, limit);
    // Any other error is that of a segment lost on its way: the retransmission timer repairs it.
    if (send(sequence, flags, offset, payload) === -ENOBUFS) return -ENOBUFS;
    return payload + (flags & FIN);
  }

  /** The buffer holds what is in flight and what will replace it. The congestion window only grows while it is used up. */
  #adjustBuffer(): void {
    const { windowBytes } = this.#path.congestion as CongestionControl; // it begins with the handshake, before the first ACK
    if (2 * windowBytes > this.#bufferSize.bytes) this.#bufferSize.grow();
  }

  /** The ACK of the SYN opens no congestion window (RFC 5681 section 3.1). */
  #onSynAcknowledged(): void {
    this.#isSynAcknowledged = true;
    if (this.#isSynRepeated && this.#path.roundTrip.smoothedMs < 0) this.#path.roundTrip.onSynLost();
  }

  #dropAcknowledged(): void {
    // Kept near SND.UNA, because numbers that are 2^31 apart cannot be compared.
    if (isBefore(this.#smallEnd, this.firstUnacknowledged)) this.#smallEnd = this.firstUnacknowledged;
    this.#stream.acknowledge(this.firstUnacknowledged);
  }

  #steer(outcome: AckOutcome, inFlightBefore: number, now: number): void {
    this.#path.steer(outcome, inFlightBefore, this.#loss.inFlightBytes, this.firstUnacknowledged, now);
  }

  /** RFC 6298 rules 5.1 to 5.3, and RFC 8985 section 7.2. */
  #setTimer(now: number): void {
    this.#isTailProbeDue = false;
    if (this.#loss.outstandingBytes === 0) {
      this.#timers.clearRetransmission();
      return;
    }
    const { roundTrip } = this.#path;
    this.#timers.setRetransmission(roundTrip.rtoMs, this.#isStarted ? this.#loss.probeDelayMs(roundTrip) : NEVER, now);
  }
}
