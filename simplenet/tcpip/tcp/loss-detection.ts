/**
 * LossDetection: which segments are in flight, which have arrived, which are lost.
 *
 * Next: congestion.ts
 */

import type { RoundTrip } from './round-trip.ts';

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
  /** What is being recovered from: losses found by acknowledgments, or a retransmission timeout. */
  readonly recovery: Recovery = 'none';
  /** When `onReorderingTimeout` is due, or Infinity. */
  readonly reorderingDeadlineAt: number = Number.POSITIVE_INFINITY;
  /** The negotiated MSS without options; may become smaller with the path MTU. */
  maxSegmentBytes: number;
  hasSack: boolean;

  constructor(setup: LossSetup) {
    this.maxSegmentBytes = setup.maxSegmentBytes;
    this.hasSack = setup.hasSack;
  }

  /** SND.UNA. */
  get firstUnacknowledged(): number {
    throw new Error('to be written');
  }
  /** SND.NXT. */
  get nextSequence(): number {
    throw new Error('to be written');
  }
  /** SND.NXT - SND.UNA. */
  get outstandingBytes(): number {
    throw new Error('to be written');
  }
  /** The pipe of RFC 6675: sent, and neither lost nor arrived as far as we know. */
  get inFlightBytes(): number {
    throw new Error('to be written');
  }
  /** What is lost and not sent again yet. */
  get lostBytes(): number {
    throw new Error('to be written');
  }
  get sackedBytes(): number {
    throw new Error('to be written');
  }
  /** False: send nothing new until an acknowledgment comes. */
  get hasRoom(): boolean {
    throw new Error('to be written');
  }

  /** A segment with `length` sequence numbers (SYN and FIN count) was sent at `nextSequence`. */
  onSent(_length: number, _now: number): void {
    throw new Error('to be written');
  }

  /** The sequence number of the next lost bytes to send again, or -1. */
  get nextLostSequence(): number {
    throw new Error('to be written');
  }
  /** How many of them there are; send at most a segment. */
  get nextLostLength(): number {
    throw new Error('to be written');
  }
  /** The first `length` bytes of the next lost ones were sent again. */
  onLostSent(_length: number, _now: number): void {
    throw new Error('to be written');
  }

  onAcknowledgment(_ack: Acknowledgment, _roundTrip: RoundTrip, _now: number): AckOutcome {
    throw new Error('to be written');
  }

  /** The reordering timer: marks what is lost by now. `hasEnteredRecovery` and `lostBytes` of the outcome tell. */
  onReorderingTimeout(_roundTrip: RoundTrip, _now: number): AckOutcome {
    throw new Error('to be written');
  }

  /** The retransmission timer: marks what is lost (RFC 8985 section 6.3), at least the first segment. */
  onRetransmissionTimeout(_roundTrip: RoundTrip, _now: number): void {
    throw new Error('to be written');
  }

  /** How long after the last transmission or ACK a tail loss probe is due (RFC 8985 section 7.2), or Infinity if none may be sent. */
  probeDelayMs(_roundTrip: RoundTrip): number {
    throw new Error('to be written');
  }
  /** Where the last segment begins, which a probe sends again if there is nothing new to send. */
  get lastSegmentSequence(): number {
    throw new Error('to be written');
  }
  get lastSegmentLength(): number {
    throw new Error('to be written');
  }
  /** A probe was sent: new bytes (call it after `onSent`), or the last segment again. */
  onProbeSent(_isRetransmission: boolean, _now: number): void {
    throw new Error('to be written');
  }
}
