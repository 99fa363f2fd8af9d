/**
 * PathState: what the acknowledgments of a connection have shown about the way to the peer: how long it takes, and how much it carries.
 *
 * Next: peer-window.ts
 */

import type { CongestionControl, CongestionFactory } from './congestion.ts';
import type { AckOutcome } from './loss-detection.ts';
import { RoundTrip, type RoundTripLimits } from './round-trip.ts';
import { add, isBefore } from './sequence.ts';

export class PathState {
  readonly roundTrip: RoundTrip;
  /** Null until the handshake has told how large a segment may be. */
  #congestion: CongestionControl | null = null;
  /** Up to here the congestion window kept us from sending more. */
  #limitedUntil: number;
  #lastSentAt = -1;
  /** SND.UNA at the last retransmission timeout. */
  #timeoutSequence = -1;

  constructor(initialSequence: number, limits: RoundTripLimits) {
    this.roundTrip = new RoundTrip(limits);
    this.#limitedUntil = initialSequence;
  }

  get congestion(): CongestionControl | null {
    return this.#congestion;
  }

  start(segmentBytes: number, congestion: CongestionFactory): void {
    this.#congestion = congestion(segmentBytes);
  }

  /** Whether the congestion window has room beside what is in flight. Only SYNs are sent before there is one. */
  hasRoom(inFlightBytes: number): boolean {
    return this.#congestion === null || inFlightBytes < this.#congestion.windowBytes;
  }

  /** The congestion window was full when everything before `next` had been sent. */
  onWindowFull(next: number): void {
    this.#limitedUntil = next;
  }

  onSent(bytes: number, now: number): void {
    this.#congestion?.onSent(bytes);
    this.#lastSentAt = now;
  }

  /** Something is sent while nothing is in flight. */
  onFirstSent(now: number): void {
    if (this.#lastSentAt >= 0) this.#congestion?.onIdle(now - this.#lastSentAt, this.roundTrip.rtoMs, now);
  }

  takeSample(outcome: AckOutcome, inFlightBytes: number, segmentBytes: number, now: number): void {
    // An ACK of bytes that came twice echoes their first timestamp: it measures how long the retransmission took to be made.
    if (outcome.roundTripMs >= 0 && !outcome.hasDuplicateSack) {
      const samples = Math.max(1, Math.ceil(inFlightBytes / (2 * segmentBytes))); // RFC 7323 appendix G
      this.roundTrip.sample(outcome.roundTripMs, now, samples);
    } else if (outcome.ackedBytes > 0) {
      this.roundTrip.endBackOff();
    }
  }

  /**
   * After `start`: passes on what an acknowledgment or the reordering timer has shown. `inFlightBefore`: before anything was marked as
   * lost.
   */
  steer(
    outcome: AckOutcome,
    inFlightBefore: number,
    inFlightBytes: number,
    firstUnacknowledged: number,
    now: number,
  ): void {
    const congestion = this.#congestion as CongestionControl;
    if (outcome.hasEnteredRecovery || outcome.hasProbeRepairedLoss) congestion.onLoss(inFlightBefore, now);
    if (outcome.ackedBytes > 0 || outcome.deliveredBytes > 0 || outcome.lostBytes > 0) {
      congestion.onAck({
        ackedBytes: outcome.ackedBytes,
        deliveredBytes: outcome.deliveredBytes,
        lostBytes: outcome.lostBytes,
        inFlightBytes,
        roundTripMs: outcome.roundTripMs,
        smoothedRoundTripMs: this.roundTrip.smoothedMs,
        isLimitedByWindow: this.#wasWindowFull(firstUnacknowledged),
        now,
      });
    }
    if (outcome.hasLeftRecovery) congestion.onRecovered(now);
  }

  onTimeout(firstUnacknowledged: number, inFlightBefore: number, inFlightBytes: number, now: number): void {
    const isFirst = this.#timeoutSequence !== firstUnacknowledged;
    this.#timeoutSequence = firstUnacknowledged;
    this.roundTrip.backOff();
    this.#congestion?.onTimeout(inFlightBefore, inFlightBytes, isFirst, now);
  }

  #wasWindowFull(firstUnacknowledged: number): boolean {
    if (!isBefore(this.#limitedUntil, firstUnacknowledged)) return true;
    // Kept near SND.UNA, because numbers that are 2^31 apart cannot be compared.
    this.#limitedUntil = add(firstUnacknowledged, -1);
    return false;
  }
}
