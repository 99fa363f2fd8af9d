/**
 * TailLossProbe: finds the loss of the last segments of a flight, behind which nothing arrives that would tell. RFC 8985 section 7.
 *
 * If no ACK has come for two round trips, one segment is sent. Its ACK shows what is missing, long before the retransmission timeout
 * would. There is one probe at a time. If it was a retransmission and repaired the loss itself, nothing else tells of
 * that loss, so the connection slows down as for any other one (section 7.4).
 *
 * Next: loss-detection.ts
 */

import type { RoundTrip } from './round-trip.ts';

/** How long a peer may delay the ACK of a single segment. */
const MAX_ACK_DELAY_MS = 200;
const DELAY_WITHOUT_SAMPLE_MS = 1_000;

export class TailLossProbe {
  /** SND.NXT when the probe was sent, as a position; -1 if none is under way. */
  #end = -1;
  #isRetransmission = false;
  /** Whether a round trip was measured since the last probe. Without that, probes could keep a wrong estimate alive (section 7.3). */
  #hasSample = true;

  /** How long after the last segment a probe is due; Infinity if there may be none now. */
  delayMs(roundTrip: RoundTrip, segmentsInFlight: number): number {
    if (this.#end >= 0 || !this.#hasSample) return Number.POSITIVE_INFINITY;
    if (roundTrip.smoothedMs < 0) return DELAY_WITHOUT_SAMPLE_MS;
    return 2 * roundTrip.smoothedMs + (segmentsInFlight === 1 ? MAX_ACK_DELAY_MS : 0);
  }

  onSent(nextPosition: number, isRetransmission: boolean): void {
    this.#end = nextPosition;
    this.#isRetransmission = isRetransmission;
    this.#hasSample = false;
  }

  onSample(): void {
    this.#hasSample = true;
  }

  /** A recovery begins: it finds out what the probe would have. */
  cancel(): void {
    this.#end = -1;
  }

  /**
   * An ACK has come. `duplicateEnd` is where the bytes end that it reports as duplicates, or -1; `isDuplicate`: it acknowledges nothing
   * and has no SACK blocks. Returns true if the probe has repaired a loss.
   */
  onAcknowledgment(firstPosition: number, duplicateEnd: number, isDuplicate: boolean): boolean {
    if (this.#end < 0 || firstPosition < this.#end) return false;
    // Section 7.4.2: a second ACK for the same bytes, of either kind, shows that the original had arrived as well.
    const hasBothArrived = duplicateEnd === this.#end || (isDuplicate && firstPosition === this.#end);
    const isRepaired = this.#isRetransmission && !hasBothArrived && firstPosition > this.#end;
    if (!this.#isRetransmission || hasBothArrived || isRepaired) this.#end = -1;
    return isRepaired;
  }
}
