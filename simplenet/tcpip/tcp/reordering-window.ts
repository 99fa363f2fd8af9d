/**
 * ReorderingWindow: how long a segment may be overtaken by later ones before it counts as lost. RFC 8985 section 6.2 step 4.
 *
 * As long as no reordering was seen, three segments that have arrived behind a gap mean a loss at once, as with DupThresh of RFC 6675.
 * Otherwise the window is a quarter of the smallest round trip, and grows with each round trip in which the peer reports
 * bytes that came twice: we had sent again what was only late.
 *
 * Next: tail-loss-probe.ts
 */

import type { RoundTrip } from './round-trip.ts';

const DUPLICATE_THRESHOLD = 3;
/** So many recoveries without a report of duplicates, and the window is as small as at first. */
const PERSISTENCE = 16;

export class ReorderingWindow {
  #isReorderingSeen = false;
  #multiplier = 1;
  #persistence = 0;
  /** SND.NXT when the window grew last: it grows once in a round trip. -1 if that round trip has passed. */
  #roundEnd = -1;
  /** The highest position that has arrived. */
  #highest = 0;

  /** A segment has arrived, which ends at `end`. Step 3: one that was sent once and arrives after a later one was reordered. */
  onArrived(end: number, isRetransmitted: boolean): void {
    if (end > this.#highest) this.#highest = end;
    else if (end < this.#highest && !isRetransmitted) this.#isReorderingSeen = true;
  }

  /** An ACK has come, after which SND.UNA is `first` and SND.NXT is `next`. */
  onAcknowledgment(first: number, next: number, hasDuplicateSack: boolean): void {
    if (this.#roundEnd >= 0 && first >= this.#roundEnd) this.#roundEnd = -1;
    if (hasDuplicateSack && this.#roundEnd < 0) {
      this.#roundEnd = next;
      this.#multiplier++;
      this.#persistence = PERSISTENCE;
    }
  }

  onRecovered(): void {
    this.#persistence--;
    if (this.#persistence <= 0) this.#multiplier = 1;
  }

  /** `sampleMs` is the round trip that the ACK has shown, which `roundTrip` does not have yet, or -1. */
  lengthMs(roundTrip: RoundTrip, sampleMs: number, isRecovering: boolean, arrivedCount: number): number {
    if (!this.#isReorderingSeen && (isRecovering || arrivedCount >= DUPLICATE_THRESHOLD)) return 0;
    const smoothedMs = roundTrip.smoothedMs < 0 ? sampleMs : roundTrip.smoothedMs;
    if (smoothedMs < 0) return 0;
    const minMs = sampleMs < 0 ? roundTrip.minMs : Math.min(roundTrip.minMs, sampleMs);
    return Math.min((this.#multiplier * minMs) / 4, smoothedMs);
  }
}
