/**
 * Cubic: the congestion control of RFC 9438, and the default, as in Linux.
 *
 * After a loss the window grows as a cubic function of time: fast at first, slowly near the size at which the loss happened, and then faster
 * again to look for more. Time counts, not round trips, so connections with long and short round trips are treated alike. Where
 * NewReno would grow faster, on short round trips, Cubic grows as NewReno does.
 *
 * Next: path-state.ts
 */

import { type CongestionAck, type CongestionControl, WindowControl } from './congestion.ts';

/** C of section 5, in segments per second cubed. */
const SCALE = 0.4;
/** What a loss leaves of the window: beta of section 4.6. */
const DECREASE = 0.7;
/** Section 4.3: with this increase for each round trip a window that shrinks by `DECREASE` is as large on average as that of NewReno. */
const RENO_INCREASE = (3 * (1 - DECREASE)) / (1 + DECREASE);
/** Section 4.2: within a round trip the window grows by half of itself at most. */
const MAX_GROWTH = 1.5;

class Cubic extends WindowControl {
  /** W_max in segments: the window at the last loss, towards which it grows. 0: it begins where it is. */
  #plateau = 0;
  /** cwnd_prior: the window at the last loss. */
  #priorWindow = 0;
  /** When this stage of congestion avoidance began; -1 before that. */
  #startedAt = -1;
  #lastAckAt = 0;
  /** K: how long the window takes to the plateau. */
  #plateauSeconds = 0;
  /** W_est: the window that NewReno would have. */
  #renoWindow = 0;

  protected override lowerThreshold(windowBytes: number, inFlightBytes: number, isTimeout: boolean): number {
    const window = windowBytes / this.maxSegmentBytes;
    // Section 4.7, fast convergence: a window that shrinks for the second time leaves room for new connections.
    const plateau = window < this.#plateau ? (window * (1 + DECREASE)) / 2 : window;
    this.#plateau = isTimeout ? 0 : plateau; // section 4.8
    this.#priorWindow = window;
    this.#startedAt = -1;
    return inFlightBytes * DECREASE;
  }

  protected override growWindow(windowBytes: number, ackedBytes: number, ack: CongestionAck): number {
    const window = windowBytes / this.maxSegmentBytes;
    const acked = ackedBytes / this.maxSegmentBytes;
    if (this.#startedAt < 0) this.#begin(window, ack.now);
    this.#lastAckAt = ack.now;
    this.#renoWindow += ((this.#renoWindow >= this.#priorWindow ? 1 : RENO_INCREASE) * acked) / window;
    const seconds = (ack.now - this.#startedAt) / 1_000;
    if (this.#windowAt(seconds) < this.#renoWindow) return Math.max(window, this.#renoWindow) * this.maxSegmentBytes;
    const inRoundTrip = this.#windowAt(seconds + Math.max(0, ack.smoothedRoundTripMs) / 1_000);
    const target = Math.min(Math.max(inRoundTrip, window), window * MAX_GROWTH);
    return windowBytes + ((target - window) / window) * ackedBytes;
  }

  #begin(window: number, now: number): void {
    this.#startedAt = now;
    this.#plateau = Math.max(this.#plateau, window);
    this.#plateauSeconds = Math.cbrt((this.#plateau - window) / SCALE);
    this.#renoWindow = window;
  }

  /** W_cubic of section 4.2, in segments. */
  #windowAt(seconds: number): number {
    return SCALE * (seconds - this.#plateauSeconds) ** 3 + this.#plateau;
  }

  /** Section 5.8: the time does not count in which the program sent less than the window. Otherwise the window would jump afterwards. */
  protected override holdWindow(now: number): void {
    if (this.#startedAt < 0) return;
    this.#startedAt += now - this.#lastAckAt;
    this.#lastAckAt = now;
  }
}

export function createCubic(maxSegmentBytes: number): CongestionControl {
  return new Cubic(maxSegmentBytes);
}
