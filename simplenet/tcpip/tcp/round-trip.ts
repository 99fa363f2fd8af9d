/**
 * RoundTrip: how long an acknowledgment takes, and with it the retransmission timeout (RTO). RFC 6298.
 *
 * The timeout is the smoothed round trip and four times its variation. It doubles with each expiry, and the next sample ends the
 * doublings. The smallest round trip of the last minutes is what RACK measures reordering with.
 *
 * Next: scoreboard.ts
 */

export interface RoundTripLimits {
  /** RFC 6298 says one second (rule 2.4), for the coarse clocks of its time. Linux uses 200 ms, above what receivers delay an ACK. */
  readonly minRtoMs: number;
  readonly maxRtoMs: number;
  /** The timeout before the first sample, rule 2.1. */
  readonly initialRtoMs: number;
}

export const defaultRoundTripLimits: RoundTripLimits = { minRtoMs: 200, maxRtoMs: 60_000, initialRtoMs: 1_000 };

/** Rule 5.7. */
const RTO_AFTER_LOST_SYN_MS = 3_000;
/** The granularity G of rule 2.2: timestamps count milliseconds. */
const CLOCK_TICK_MS = 1;
/** The path may have changed after that time: the smallest round trip is then one of the last five to ten minutes. */
const MINIMUM_PERIOD_MS = 300_000;

export class RoundTrip {
  readonly #limits: RoundTripLimits;
  #smoothedMs = -1;
  #variationMs = 0;
  #backoffs = 0;
  #baseRtoMs: number;
  /** The smallest sample of the current period and of the one before. */
  #periodStartedAt = Number.NEGATIVE_INFINITY;
  #periodMinMs = Number.POSITIVE_INFINITY;
  #lastMinMs = Number.POSITIVE_INFINITY;

  constructor(limits: RoundTripLimits) {
    this.#limits = limits;
    this.#baseRtoMs = this.#bounded(limits.initialRtoMs);
  }

  /** SRTT, or -1 before the first sample. */
  get smoothedMs(): number {
    return this.#smoothedMs;
  }

  /** RTTVAR. */
  get variationMs(): number {
    return this.#variationMs;
  }

  /** The smallest sample of the last minutes, or Infinity before the first one. */
  get minMs(): number {
    return Math.min(this.#periodMinMs, this.#lastMinMs);
  }

  /** The timeout, with the doublings since the last sample. */
  get rtoMs(): number {
    if (this.#backoffs === 0) return this.#baseRtoMs; // nearly always, and it is asked for with each ACK
    return Math.min(this.#baseRtoMs * 2 ** this.#backoffs, this.#limits.maxRtoMs);
  }

  /** How often the timer has expired since the last sample. */
  get backoffs(): number {
    return this.#backoffs;
  }

  /**
   * Takes a round trip. Never pass one of a retransmitted segment without timestamps (Karn's algorithm, section 3): LossDetection does
   * not. `samplesPerRoundTrip` is how many samples one round trip gives. The filters then move by a fraction for each
   * (RFC 7323 appendix G), so that many samples do not make their memory short.
   */
  sample(ms: number, now: number, samplesPerRoundTrip = 1): void {
    if (this.#smoothedMs < 0) {
      this.#smoothedMs = ms;
      this.#variationMs = ms / 2;
    } else {
      this.#variationMs += (Math.abs(this.#smoothedMs - ms) - this.#variationMs) / (4 * samplesPerRoundTrip);
      this.#smoothedMs += (ms - this.#smoothedMs) / (8 * samplesPerRoundTrip);
    }
    this.#baseRtoMs = this.#bounded(this.#smoothedMs + Math.max(CLOCK_TICK_MS, 4 * this.#variationMs));
    this.#backoffs = 0;
    const periodMs = now - this.#periodStartedAt;
    if (periodMs > MINIMUM_PERIOD_MS) {
      this.#periodStartedAt = now;
      this.#lastMinMs = periodMs > 2 * MINIMUM_PERIOD_MS ? Number.POSITIVE_INFINITY : this.#periodMinMs;
      this.#periodMinMs = ms;
    } else if (ms < this.#periodMinMs) {
      this.#periodMinMs = ms;
    }
  }

  /** Doubles the timeout, because the timer has expired (rule 5.5). */
  backOff(): void {
    this.#backoffs++;
  }

  /** Ends the doublings without a sample: new data was acknowledged, so the path is not dead. */
  endBackOff(): void {
    this.#backoffs = 0;
  }

  /** The timeout for the first data is longer if the SYN was lost: the RTO was perhaps below the round trip (rule 5.7). */
  onSynLost(): void {
    this.#baseRtoMs = this.#bounded(Math.max(this.#baseRtoMs, RTO_AFTER_LOST_SYN_MS));
    this.#backoffs = 0;
  }

  #bounded(ms: number): number {
    return Math.min(Math.max(ms, this.#limits.minRtoMs), this.#limits.maxRtoMs);
  }
}
