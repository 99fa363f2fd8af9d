/**
 * Latencies: the times of many responses, in little memory: exact up to a millisecond, then within one per cent.
 *
 * It has counters instead of a list, so memory does not grow while a round is timed, for any number of responses.
 *
 * Next: clients.ts
 */

const EXACT = 1_024;
/** Steps for each doubling above that. */
const STEPS = 128;
/** 1,024 us doubled twenty times is eighteen minutes. */
const DOUBLINGS = 20;

export class Latencies {
  readonly #counts = new Uint32Array(EXACT + STEPS * DOUBLINGS);
  #total = 0;

  add(microseconds: number): void {
    this.#counts[slotOf(microseconds)]!++;
    this.#total++;
  }

  /** Returns the time within which that share of the responses came; 0 without any response. */
  percentile(percent: number): number {
    let missing = Math.ceil((this.#total * percent) / 100);
    for (const [slot, count] of this.#counts.entries()) {
      missing -= count;
      if (missing <= 0) return this.#total === 0 ? 0 : timeOf(slot);
    }
    return 0;
  }
}

function slotOf(microseconds: number): number {
  const time = Math.max(0, Math.round(microseconds));
  if (time < EXACT) return time;
  return EXACT + Math.min(STEPS * DOUBLINGS - 1, Math.floor(Math.log2(time / EXACT) * STEPS));
}

function timeOf(slot: number): number {
  return slot < EXACT ? slot : Math.round(EXACT * 2 ** ((slot - EXACT + 0.5) / STEPS));
}
