/**
 * Spread: several rounds of one measurement together.
 *
 * A noisy machine disturbs some rounds and not others. So the figure is the median, and the quartiles show how far to trust it: half of
 * the rounds lie between them. Mean and standard deviation are not used, because one disturbed round would move both.
 *
 * Next: cpu-time.ts
 */

export interface Spread {
  readonly median: number;
  /** The quartiles: a quarter of the rounds lies below the first, and a quarter above the third. */
  readonly q1: number;
  readonly q3: number;
  readonly min: number;
  readonly max: number;
}

/** Throws for an empty list, which has no median. */
export function spreadOf(values: readonly number[]): Spread {
  if (values.length === 0) throw new RangeError('a spread needs at least one value');
  const sorted = [...values].sort((a, b) => a - b);
  const [q1, median, q3] = [0.25, 0.5, 0.75].map((share) => quantile(sorted, share)) as [number, number, number];
  return { median, q1, q3, min: sorted[0] as number, max: sorted.at(-1) as number };
}

/** Returns the value below which that share of the sorted values lies. Between two values it interpolates. */
function quantile(sorted: readonly number[], share: number): number {
  const position = (sorted.length - 1) * share;
  const lower = sorted[Math.floor(position)] as number;
  const upper = sorted[Math.ceil(position)] as number;
  return lower + (upper - lower) * (position % 1);
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
