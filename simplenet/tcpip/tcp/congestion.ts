/**
 * CongestionControl: THE SEAM between a connection and the rule by which its window grows and shrinks.
 *
 * Next: rate-reduction.ts
 */

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
  /** The retransmission timer has expired. `isFirst`: not a repetition for the same segment. */
  onTimeout(inFlightBytes: number, isFirst: boolean, now: number): void;
  /** Bytes were sent. Paces the recovery. */
  onSent(bytes: number): void;
  /** Before the first bytes after a time without any in flight. */
  onIdle(idleMs: number, rtoMs: number, now: number): void;
  /** The path carries smaller segments from now on (RFC 8899 and RFC 1191): the window stays as it is in bytes. */
  setMaxSegmentBytes(bytes: number): void;
}

export type CongestionFactory = (maxSegmentBytes: number) => CongestionControl;

/** RFC 6928: ten segments, but not more than 14,600 bytes unless two segments are more. */
export function initialWindowBytes(maxSegmentBytes: number): number {
  return Math.min(10 * maxSegmentBytes, Math.max(2 * maxSegmentBytes, 14_600));
}
