/**
 * RoundTrip: how long an acknowledgment takes, and with it the retransmission timeout (RTO). RFC 6298.
 *
 * Next: loss-detection.ts
 */

export interface RoundTripLimits {
  /** RFC 6298 says one second (rule 2.4); 200 ms as Linux does, since clocks are finer than they were in 1988. */
  readonly minRtoMs: number;
  readonly maxRtoMs: number;
  /** The RTO before the first sample, rule 2.1. */
  readonly initialRtoMs: number;
}

export const defaultRoundTripLimits: RoundTripLimits = { minRtoMs: 200, maxRtoMs: 60_000, initialRtoMs: 1_000 };

export class RoundTrip {
  /** SRTT, or -1 before the first sample. */
  readonly smoothedMs: number = -1;
  readonly variationMs: number = 0;
  /** The smallest sample of the last minutes (RFC 8985 section 6.2 step 1), or Infinity before the first one. */
  readonly minMs: number = Number.POSITIVE_INFINITY;
  /** The timeout, with the doublings since the last sample. */
  readonly rtoMs: number;
  /** How often the timeout was doubled since the last sample. */
  readonly backoffs: number = 0;

  constructor(limits: RoundTripLimits) {
    this.rtoMs = limits.initialRtoMs;
  }

  /**
   * One round trip. Never pass one of a retransmitted segment without timestamps (Karn's algorithm, section 3): LossDetection does not.
   * `samplesPerRoundTrip` is how many samples one round trip gives (RFC 7323 appendix G), so that a sample with each ACK does not
   * make the memory short.
   */
  sample(_ms: number, _now: number, _samplesPerRoundTrip = 1): void {
    throw new Error('to be written');
  }

  /** The timer has expired: doubles the timeout (rule 5.5). The next sample ends it. */
  backOff(): void {
    throw new Error('to be written');
  }

  /** An ACK of new data without a sample: the doublings end, as in Linux. Rule 5.7 is `restart`. */
  endBackOff(): void {
    throw new Error('to be written');
  }

  /** The SYN was lost: the timeout for the first data is three seconds (rule 5.7). */
  onSynLost(): void {
    throw new Error('to be written');
  }
}
