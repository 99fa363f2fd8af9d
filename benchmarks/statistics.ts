/**
 * Spread: several rounds of one measurement together.
 *
 * A noisy machine disturbs some rounds and not others. So the figure is the median, and the least and the most show how far to trust
 * it. Mean and standard deviation are not used: one disturbed round would move both.
 *
 * Next: cpu-time.ts
 */

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Throws for an empty list, which has no median. */
export function spreadOf(values: readonly number[]): Spread {
  if (values.length === 0) throw new RangeError('a spread needs at least one value');
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const upper = sorted[half] as number;
  const median = sorted.length % 2 === 1 ? upper : (upper + (sorted[half - 1] as number)) / 2;
  return { median, min: sorted[0] as number, max: sorted.at(-1) as number };
}

/**
 * Returns the ratio of two series, round by round. Rounds with the same number ran one after the other, so a disturbance of the
 * machine slowed both, and hardly changes their ratio. A round that is missing (null) on either side is left out.
 */
export function ratios(values: readonly (number | null)[], reference: readonly (number | null)[]): number[] {
  const found: number[] = [];
  for (const [round, value] of values.entries()) {
    const base = reference[round] ?? null;
    if (value !== null && base !== null && base > 0) found.push(value / base);
  }
  return found;
}
