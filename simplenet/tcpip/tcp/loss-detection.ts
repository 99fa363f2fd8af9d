/**
 * LossDetection: which of the segments that were sent are lost, and when that is known.
 *
 * With SACK, a segment is lost if one that was sent later has arrived, and the time of a round trip and the reordering window has passed
 * since it was sent: RACK, RFC 8985. This also finds retransmissions that are lost again. Without SACK, three duplicate ACKs mean that
 * the first segment is lost, and an ACK of a part of what was in flight then means the next one: NewReno, RFC 6582.
 *
 *     none    -> fast      a loss was found by acknowledgments
 *     any     -> timeout   the retransmission timer has expired
 *     either  -> none      everything that had been sent when it began is acknowledged
 *
 * It decides what to send again, not how much may be sent: that is the congestion window's.
 *
 * Next: congestion.ts
 */

import { ReorderingWindow } from './reordering-window.ts';
import type { RoundTrip } from './round-trip.ts';
import { ARRIVED, IN_FLIGHT, Scoreboard, type SentSegment } from './scoreboard.ts';
import { difference } from './sequence.ts';
import { TailLossProbe } from './tail-loss-probe.ts';

const DUPLICATE_THRESHOLD = 3;
const NEVER = Number.POSITIVE_INFINITY;

export interface LossSetup {
  /** The sequence number of the first byte (or SYN) that will be sent. */
  readonly firstSequence: number;
  readonly maxSegmentBytes: number;
  readonly hasSack: boolean;
  /** How many segments may be sent and not acknowledged: `hasRoom` is false then. */
  readonly maxSegments: number;
}

/** An acknowledgment that the connection has found acceptable: SND.UNA <= acknowledgment <= SND.NXT. */
export interface Acknowledgment {
  readonly acknowledgment: number;
  readonly sackBlocks: readonly number[];
  /** The moment of our timestamp that the segment echoes, on the clock of `now`; -1 without timestamps. */
  readonly echoedAt: number;
  /** Whether it could be a duplicate ACK of RFC 5681 section 2: no payload, no SYN, no FIN, and the window is the same as before. */
  readonly isBare: boolean;
}

/** What an acknowledgment has changed. The object is used again by the next one. */
export interface AckOutcome {
  /** By how much SND.UNA has moved, SYN and FIN included. */
  ackedBytes: number;
  /** What has arrived at the peer and was not known to have: acknowledged or in a SACK block, each byte once. PRR's DeliveredData. */
  deliveredBytes: number;
  /** What was marked as lost. */
  lostBytes: number;
  /** A sample for RoundTrip, or -1. Without timestamps only of segments that were sent once. */
  roundTripMs: number;
  /** A loss was found while nothing was being recovered: the congestion control reduces its window. */
  hasEnteredRecovery: boolean;
  /** Everything up to the recovery point has arrived. */
  hasLeftRecovery: boolean;
  /** A tail loss probe has repaired a loss of which there is no other trace (RFC 8985 section 7.4.2): reduce the window as for a loss. */
  hasProbeRepairedLoss: boolean;
  /** The first SACK block reports bytes that had come twice (RFC 2883): a retransmission was not needed. */
  hasDuplicateSack: boolean;
}

export type Recovery = 'none' | 'fast' | 'timeout';

export class LossDetection {
  /** The negotiated MSS without options; may become smaller with the path MTU. */
  maxSegmentBytes: number;
  hasSack: boolean;
  readonly #firstSequence: number;
  readonly #maxSegments: number;
  readonly #board = new Scoreboard();
  readonly #window = new ReorderingWindow();
  readonly #probe = new TailLossProbe();
  readonly #outcome: AckOutcome = {
    ackedBytes: 0,
    deliveredBytes: 0,
    lostBytes: 0,
    roundTripMs: -1,
    hasEnteredRecovery: false,
    hasLeftRecovery: false,
    hasProbeRepairedLoss: false,
    hasDuplicateSack: false,
  };
  #recovery: Recovery = 'none';
  /** SND.NXT when the last recovery began, as a position; -1 before the first one. */
  #recoveryEnd = -1;
  #reorderingDeadlineAt = NEVER;

  /** RACK.xmit_ts and RACK.end_seq: the segment that was sent last among those that have arrived. RACK.rtt: its round trip. */
  #rackSentAt = Number.NEGATIVE_INFINITY;
  #rackEnd = 0;
  #rackRoundTripMs = -1;

  /** Duplicate ACKs in a row, without SACK: each tells that some segment has arrived, and not which. Their bytes left the network. */
  #duplicateAcks = 0;
  #duplicateBytes = 0;

  /** What `#onArrived` needs of the acknowledgment that it belongs to. */
  #now = 0;
  #echoedAt = -1;
  #minRoundTripMs = NEVER;
  #hasArrivedRetransmission = false;

  constructor(setup: LossSetup) {
    this.#firstSequence = setup.firstSequence;
    this.#maxSegments = setup.maxSegments;
    this.maxSegmentBytes = setup.maxSegmentBytes;
    this.hasSack = setup.hasSack;
  }

  /** What is being recovered from: losses found by acknowledgments, or a retransmission timeout. */
  get recovery(): Recovery {
    return this.#recovery;
  }

  /** When `onReorderingTimeout` is due, or Infinity. */
  get reorderingDeadlineAt(): number {
    return this.#reorderingDeadlineAt;
  }

  /** SND.UNA. */
  get firstUnacknowledged(): number {
    return this.#sequenceOf(this.#board.firstPosition);
  }

  /** SND.NXT. */
  get nextSequence(): number {
    return this.#sequenceOf(this.#board.nextPosition);
  }

  /** SND.NXT - SND.UNA. */
  get outstandingBytes(): number {
    return this.#board.nextPosition - this.#board.firstPosition;
  }

  /** The pipe of RFC 6675: sent, and neither lost nor arrived as far as we know. */
  get inFlightBytes(): number {
    return Math.max(0, this.#board.inFlight.byteLength - this.#duplicateBytes);
  }

  /** What is lost and not sent again yet. */
  get lostBytes(): number {
    return this.#board.lost.byteLength;
  }

  /** What has arrived behind a gap. */
  get sackedBytes(): number {
    return this.#board.arrivedBytes;
  }

  /** False: send nothing new until an acknowledgment comes. */
  get hasRoom(): boolean {
    return this.#board.length < this.#maxSegments;
  }

  /** A segment with `length` sequence numbers (SYN and FIN count) was sent at `nextSequence`. */
  onSent(length: number, now: number): void {
    this.#board.push(length, now);
  }

  /** The sequence number of the next lost bytes to send again, or -1. */
  get nextLostSequence(): number {
    const lost = this.#board.lost.first;
    return lost === null ? -1 : this.#sequenceOf(lost.start);
  }

  /** How many of them there are; send at most a segment. */
  get nextLostLength(): number {
    const lost = this.#board.lost.first;
    return lost === null ? 0 : lost.end - lost.start;
  }

  /** The first `length` bytes of the next lost ones were sent again. */
  onLostSent(length: number, now: number): void {
    this.#board.resend(length, now);
  }

  onAcknowledgment(ack: Acknowledgment, roundTrip: RoundTrip, now: number): AckOutcome {
    const outcome = this.#beginOutcome();
    const board = this.#board;
    const before = board.firstPosition;
    const position = before + difference(ack.acknowledgment, this.firstUnacknowledged);
    outcome.ackedBytes = position - before;
    this.#now = now;
    this.#echoedAt = ack.echoedAt;
    this.#minRoundTripMs = roundTrip.minMs;
    this.#hasArrivedRetransmission = false;
    if (position > before) board.acknowledge(position, this.#onArrived);
    // A segment behind a gap does not change what the peer echoes (RFC 7323 section 4.3): the echo of its SACK is older than any retransmission.
    this.#echoedAt = -1;
    const duplicateEnd = this.#takeSackBlocks(ack, position);
    this.#endSample(ack);
    this.#window.onAcknowledgment(position, board.nextPosition, duplicateEnd >= 0);
    const isDuplicate = position === before && ack.isBare && ack.sackBlocks.length === 0;
    outcome.hasProbeRepairedLoss = this.#probe.onAcknowledgment(position, duplicateEnd, isDuplicate);
    if (this.#recovery !== 'none' && position >= this.#recoveryEnd) this.#leaveRecovery();
    if (this.hasSack) this.#detectByTime(roundTrip, now);
    else this.#detectByCount(before, isDuplicate);
    this.#enterRecoveryIfLost();
    return outcome;
  }

  /** The reordering timer: marks what is lost by now. `hasEnteredRecovery` and `lostBytes` of the outcome tell. */
  onReorderingTimeout(roundTrip: RoundTrip, now: number): AckOutcome {
    const outcome = this.#beginOutcome();
    this.#detectByTime(roundTrip, now);
    this.#enterRecoveryIfLost();
    return outcome;
  }

  /**
   * The retransmission timer: marks as lost the first segment, and those that were sent longer ago than a round trip and the reordering
   * window (RFC 8985 section 6.3). Later ones may still be on their way. Without SACK nothing would ever tell, so all are lost.
   */
  onRetransmissionTimeout(roundTrip: RoundTrip, now: number): void {
    const board = this.#board;
    // The first segment cannot have arrived and not be acknowledged: the peer has dropped what it reported (RFC 2018 section 8).
    if (board.first?.state === ARRIVED) board.forgetArrived();
    const isTimeKnown = this.hasSack && this.#rackRoundTripMs >= 0;
    const window = this.#window.lengthMs(roundTrip, -1, this.#recovery !== 'none', board.arrivedCount);
    const latest = isTimeKnown ? now - this.#rackRoundTripMs - window : NEVER;
    if (board.first?.state === IN_FLIGHT) board.markLost(board.first);
    for (let sent = board.inFlight.first; sent !== null && sent.sentAt <= latest; sent = board.inFlight.first) {
      board.markLost(sent);
    }
    this.#recovery = 'timeout';
    this.#recoveryEnd = board.nextPosition;
    this.#reorderingDeadlineAt = NEVER;
    this.#duplicateAcks = 0;
    this.#duplicateBytes = 0;
    this.#probe.cancel();
  }

  /** The path carries no more than `maxSegmentBytes` now: what is in flight and larger is lost, without a sign of congestion (RFC 1191 section 6.5). */
  onSegmentsTooLarge(): void {
    let sent = this.#board.inFlight.first;
    while (sent !== null) {
      const { after } = sent;
      if (sent.end - sent.start > this.maxSegmentBytes) this.#board.markLost(sent);
      sent = after;
    }
  }

  /** How long after the last transmission or ACK a tail loss probe is due (RFC 8985 section 7.2), or Infinity if none may be sent. */
  probeDelayMs(roundTrip: RoundTrip): number {
    const board = this.#board;
    const isInOrder = this.#recovery === 'none' && board.arrivedCount === 0 && board.lost.first === null;
    if (!this.hasSack || !isInOrder || board.length === 0) return NEVER;
    return this.#probe.delayMs(roundTrip, board.length);
  }

  /** Where the last segment begins, which a probe sends again if there is nothing new to send. */
  get lastSegmentSequence(): number {
    return this.#sequenceOf(this.#board.last?.start ?? this.#board.nextPosition);
  }

  get lastSegmentLength(): number {
    const last = this.#board.last;
    return last === undefined ? 0 : last.end - last.start;
  }

  /** A probe was sent: new bytes (call it after `onSent`), or the last segment again. */
  onProbeSent(isRetransmission: boolean, now: number): void {
    const last = this.#board.last;
    if (isRetransmission && last?.state === IN_FLIGHT) this.#board.repeat(last, now);
    this.#probe.onSent(this.#board.nextPosition, isRetransmission);
  }

  #beginOutcome(): AckOutcome {
    const outcome = this.#outcome;
    outcome.ackedBytes = 0;
    outcome.deliveredBytes = 0;
    outcome.lostBytes = 0;
    outcome.roundTripMs = -1;
    outcome.hasEnteredRecovery = false;
    outcome.hasLeftRecovery = false;
    outcome.hasProbeRepairedLoss = false;
    outcome.hasDuplicateSack = false;
    return outcome;
  }

  /** RFC 8985 section 6.2 steps 1 to 3, for one segment that has arrived now. A field, so that no closure is made for each ACK. */
  readonly #onArrived = (segment: SentSegment): void => {
    const outcome = this.#outcome;
    outcome.deliveredBytes += segment.end - segment.start;
    this.#window.onArrived(segment.end, segment.isRetransmitted);
    const roundTripMs = Math.max(0, this.#now - segment.sentAt);
    if (segment.isRetransmitted) {
      this.#hasArrivedRetransmission = true;
      // The ACK may be that of the first transmission: its timestamp tells, in whole milliseconds, or a round trip that is too short.
      if (this.#echoedAt >= 0 && this.#echoedAt < Math.floor(segment.sentAt)) return;
      if (roundTripMs < this.#minRoundTripMs) return;
    } else if (outcome.roundTripMs < 0) {
      outcome.roundTripMs = roundTripMs;
    }
    this.#rackRoundTripMs = roundTripMs;
    if (wasSentAfter(segment.sentAt, segment.end, this.#rackSentAt, this.#rackEnd)) {
      this.#rackSentAt = segment.sentAt;
      this.#rackEnd = segment.end;
    }
  };

  /** Karn's algorithm: beside a retransmission, an ACK gives no sample but that of its timestamp (RFC 7323 section 4.1). */
  #endSample(ack: Acknowledgment): void {
    const outcome = this.#outcome;
    if (this.#hasArrivedRetransmission) outcome.roundTripMs = -1;
    if (outcome.roundTripMs < 0 && outcome.ackedBytes > 0 && ack.echoedAt >= 0) {
      outcome.roundTripMs = Math.max(0, this.#now - ack.echoedAt);
    }
    if (outcome.roundTripMs >= 0) this.#probe.onSample();
  }

  /** Returns where the bytes end that the first block reports as duplicates, or -1. */
  #takeSackBlocks(ack: Acknowledgment, first: number): number {
    const blocks = ack.sackBlocks;
    if (!this.hasSack || blocks.length === 0) return -1;
    const isDuplicate = this.#isDuplicateBlock(blocks, ack.acknowledgment);
    this.#outcome.hasDuplicateSack = isDuplicate;
    const ranges: [number, number][] = [];
    for (let i = isDuplicate ? 2 : 0; i < blocks.length; i += 2) {
      const start = first + difference(blocks[i] as number, ack.acknowledgment);
      const end = first + difference(blocks[i + 1] as number, ack.acknowledgment);
      // A block that says what cannot be is old or forged.
      if (start > first && start < end && end <= this.#board.nextPosition) ranges.push([start, end]);
    }
    // In the order of their positions: otherwise two blocks that one ACK brings would look like reordering.
    if (ranges.length > 1) ranges.sort(([start], [otherStart]) => start - otherStart);
    for (const [start, end] of ranges) this.#board.markArrived(start, end, this.#onArrived);
    return isDuplicate ? Math.max(0, first + difference(blocks[1] as number, ack.acknowledgment)) : -1;
  }

  /** RFC 2883 section 4: the first block lies before the acknowledgment, or inside of the second block. */
  #isDuplicateBlock(blocks: readonly number[], acknowledgment: number): boolean {
    const start = difference(blocks[0] as number, acknowledgment);
    const end = difference(blocks[1] as number, acknowledgment);
    if (start >= end) return false;
    if (end <= 0) return true;
    if (blocks.length < 4) return false;
    return (
      start >= difference(blocks[2] as number, acknowledgment) && end <= difference(blocks[3] as number, acknowledgment)
    );
  }

  /** RFC 8985 section 6.2 step 5. Walks over those that were sent first, up to one that may still be on its way. */
  #detectByTime(roundTrip: RoundTrip, now: number): void {
    this.#reorderingDeadlineAt = NEVER;
    if (this.#rackRoundTripMs < 0) return;
    const { inFlight, arrivedCount } = this.#board;
    const sampleMs = this.#outcome.roundTripMs;
    const window = this.#window.lengthMs(roundTrip, sampleMs, this.#recovery !== 'none', arrivedCount);
    const patienceMs = this.#rackRoundTripMs + window;
    for (let sent = inFlight.first; sent !== null; sent = inFlight.first) {
      if (!wasSentAfter(this.#rackSentAt, this.#rackEnd, sent.sentAt, sent.end)) return;
      if (sent.sentAt + patienceMs > now) {
        // One timer for all that was sent before the segment that has arrived.
        this.#reorderingDeadlineAt = this.#rackSentAt + patienceMs;
        return;
      }
      this.#markLost(sent);
    }
  }

  /** Without SACK: RFC 5681 section 3.2 and RFC 6582 section 3.2. */
  #detectByCount(before: number, isDuplicate: boolean): void {
    const board = this.#board;
    const first = board.first;
    const outcome = this.#outcome;
    if (board.firstPosition > before) {
      this.#duplicateAcks = 0;
      const isPartial = this.#recovery === 'fast';
      this.#settleDuplicates(isPartial);
      if (isPartial && first?.state === IN_FLIGHT) this.#markLost(first);
    } else if (isDuplicate && first !== undefined) {
      this.#duplicateAcks++;
      const bytes = Math.min(this.maxSegmentBytes, this.inFlightBytes);
      this.#duplicateBytes += bytes;
      outcome.deliveredBytes += bytes;
      // Duplicates of what a recovery has sent twice come after its end, and mean no loss: section 4.1.
      const mayBegin = this.#recovery === 'none' && board.firstPosition > this.#recoveryEnd;
      if (this.#duplicateAcks >= DUPLICATE_THRESHOLD && mayBegin && first.state === IN_FLIGHT) this.#markLost(first);
    }
  }

  /** New bytes are acknowledged: the segment that was missing, and those behind it, which duplicate ACKs had reported before. */
  #settleDuplicates(isPartial: boolean): void {
    const outcome = this.#outcome;
    const reported = Math.min(this.#duplicateBytes, Math.max(0, outcome.ackedBytes - this.maxSegmentBytes));
    outcome.deliveredBytes -= reported;
    this.#duplicateBytes = isPartial ? this.#duplicateBytes - reported : 0;
  }

  #markLost(segment: SentSegment): void {
    this.#outcome.lostBytes += segment.end - segment.start;
    this.#board.markLost(segment);
  }

  #enterRecoveryIfLost(): void {
    const outcome = this.#outcome;
    if (outcome.lostBytes === 0 || this.#recovery !== 'none') return;
    this.#recovery = 'fast';
    this.#recoveryEnd = this.#board.nextPosition;
    this.#probe.cancel();
    outcome.hasEnteredRecovery = true;
    // One reduction is enough for one ACK, and the recovery that it begins does not end with it.
    outcome.hasProbeRepairedLoss = false;
    outcome.hasLeftRecovery = false;
  }

  #leaveRecovery(): void {
    this.#recovery = 'none';
    this.#outcome.hasLeftRecovery = true;
    this.#window.onRecovered();
  }

  #sequenceOf(position: number): number {
    return (this.#firstSequence + position) >>> 0;
  }
}

/** Segments of one burst have the same time: then their order tells. */
function wasSentAfter(sentAt: number, end: number, otherSentAt: number, otherEnd: number): boolean {
  return sentAt > otherSentAt || (sentAt === otherSentAt && end > otherEnd);
}
