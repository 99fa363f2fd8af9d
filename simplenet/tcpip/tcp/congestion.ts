/**
 * CongestionControl: THE SEAM between a connection and the rule by which its window grows and shrinks, and what all rules have in common.
 *
 *     slow start          the window doubles in a round trip, up to the threshold
 *     avoidance           it grows as the rule says (new-reno.ts, cubic.ts)
 *     recovery            it shrinks to the new threshold in step with what arrives (rate-reduction.ts)
 *     after a timeout     one segment, and slow start up to the new threshold
 *
 * The window does not grow while the program has less to send than it allows: such a window says nothing about the path (RFC 7661). After
 * an idle time the path may be another one: the connection begins with the initial window again (RFC 5681 section 4.1).
 *
 * Next: rate-reduction.ts
 */

import { RateReduction } from './rate-reduction.ts';

export interface CongestionAck {
  /** By how much SND.UNA has moved. */
  readonly ackedBytes: number;
  /** What has newly arrived, by ACK or SACK. */
  readonly deliveredBytes: number;
  /** What this acknowledgment has marked as lost. */
  readonly lostBytes: number;
  /** The pipe, after the acknowledgment. */
  readonly inFlightBytes: number;
  /** A sample, or -1. */
  readonly roundTripMs: number;
  /** SRTT, or -1. */
  readonly smoothedRoundTripMs: number;
  /** Whether the window was what kept the connection from sending more when this flight was sent. If not, the window does not grow. */
  readonly isLimitedByWindow: boolean;
  readonly now: number;
}

/** How a connection uses it: it sends while `inFlightBytes < windowBytes`, in recovery as well. */
export interface CongestionControl {
  readonly windowBytes: number;
  /** Infinity before the first loss. */
  readonly slowStartThreshold: number;
  /** Every acknowledgment that changes something, also in recovery. After onLoss or onTimeout, if the same one found the loss. */
  onAck(ack: CongestionAck): void;
  /** A loss was found by acknowledgments: once for each recovery. `inFlightBytes` as it was before anything was marked as lost. */
  onLoss(inFlightBytes: number, now: number): void;
  /** Everything up to the recovery point has arrived. */
  onRecovered(now: number): void;
  /**
   * The retransmission timer has expired. `inFlightBytes` as it was before anything was marked as lost, and `remainingBytes` as it is
   * now. `isFirst`: not a repetition for the same segment.
   */
  onTimeout(inFlightBytes: number, remainingBytes: number, isFirst: boolean, now: number): void;
  /** Bytes were sent, for the first time or again. */
  onSent(bytes: number): void;
  /** Before the first bytes after a time without any in flight. */
  onIdle(idleMs: number, rtoMs: number, now: number): void;
  /** The path carries smaller segments from now on (RFC 1191): the window stays as it is in bytes. */
  setMaxSegmentBytes(bytes: number): void;
}

export type CongestionFactory = (maxSegmentBytes: number) => CongestionControl;

/** RFC 9406 section 4.2: an ACK for many segments lets the window grow by so many at most, because we do not pace what we then send. */
const MAX_SLOW_START_SEGMENTS = 8;
/** RFC 5681 equation 4. */
const MIN_THRESHOLD_SEGMENTS = 2;

/** RFC 6928: ten segments, but not more than 14,600 bytes unless two segments are more. */
export function initialWindowBytes(maxSegmentBytes: number): number {
  return Math.min(10 * maxSegmentBytes, Math.max(2 * maxSegmentBytes, 14_600));
}

export abstract class WindowControl implements CongestionControl {
  protected maxSegmentBytes: number;
  #windowBytes: number;
  #threshold = Number.POSITIVE_INFINITY;
  /** Only in recovery. */
  #reduction: RateReduction | null = null;

  constructor(maxSegmentBytes: number) {
    this.maxSegmentBytes = maxSegmentBytes;
    this.#windowBytes = initialWindowBytes(maxSegmentBytes);
  }

  get windowBytes(): number {
    return this.#reduction === null ? this.#windowBytes : this.#reduction.windowBytes;
  }

  get slowStartThreshold(): number {
    return this.#threshold;
  }

  onAck(ack: CongestionAck): void {
    if (this.#reduction !== null) {
      this.#reduction.onAck(ack, this.maxSegmentBytes);
      return;
    }
    if (ack.ackedBytes === 0) return;
    if (!ack.isLimitedByWindow) {
      this.holdWindow(ack.now);
      return;
    }
    let left = ack.ackedBytes;
    if (this.#windowBytes < this.#threshold) {
      const grown = Math.min(left, MAX_SLOW_START_SEGMENTS * this.maxSegmentBytes, this.#threshold - this.#windowBytes);
      this.#windowBytes += grown;
      left -= grown;
    }
    if (this.#windowBytes >= this.#threshold) this.#windowBytes = this.growWindow(this.#windowBytes, left, ack);
  }

  onLoss(inFlightBytes: number, _now: number): void {
    this.#lowerThreshold(inFlightBytes, false);
    this.#reduction = new RateReduction(inFlightBytes, this.#threshold);
  }

  onRecovered(_now: number): void {
    if (this.#reduction === null) return;
    this.#reduction = null;
    this.#windowBytes = this.#threshold;
  }

  onTimeout(inFlightBytes: number, remainingBytes: number, isFirst: boolean, _now: number): void {
    if (isFirst) this.#lowerThreshold(inFlightBytes, true);
    this.#reduction = null;
    // One segment (RFC 5681 section 3.1), beside those that RACK does not count as lost: they must not keep it from being sent.
    this.#windowBytes = remainingBytes + this.maxSegmentBytes;
  }

  onSent(bytes: number): void {
    this.#reduction?.onSent(bytes);
  }

  onIdle(idleMs: number, rtoMs: number, now: number): void {
    if (idleMs > rtoMs) this.#windowBytes = Math.min(this.#windowBytes, initialWindowBytes(this.maxSegmentBytes));
    this.holdWindow(now);
  }

  setMaxSegmentBytes(bytes: number): void {
    this.maxSegmentBytes = bytes;
  }

  #lowerThreshold(inFlightBytes: number, isTimeout: boolean): void {
    const lowered = this.lowerThreshold(this.#windowBytes, inFlightBytes, isTimeout);
    this.#threshold = Math.max(lowered, MIN_THRESHOLD_SEGMENTS * this.maxSegmentBytes);
  }

  /** The threshold after a loss. Called before the window changes. */
  protected abstract lowerThreshold(windowBytes: number, inFlightBytes: number, isTimeout: boolean): number;

  /** The window after `ackedBytes` were acknowledged in congestion avoidance. */
  protected abstract growWindow(windowBytes: number, ackedBytes: number, ack: CongestionAck): number;

  /** The window was not used up until now: a rule that grows with time leaves that time out. */
  protected abstract holdWindow(now: number): void;
}
