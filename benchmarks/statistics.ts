/**
 * Spread: what several rounds of one measurement say together.
 *
 * A noisy machine disturbs some rounds and spares others, so the middle one is the figure, and the least and the most beside
 * it tell how far to trust it. There is no mean and no standard deviation: one disturbed round would move both.
 *
 * Next: cpu-time.ts
 */

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Throws for no values at all: there is no middle of nothing. */
export function spreadOf(values: readonly number[]): Spread {
  if (values.length === 0) throw new RangeError('a spread needs at least one value');
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const upper = sorted[half] as number;
  const median = sorted.length % 2 === 1 ? upper : (upper + (sorted[half - 1] as number)) / 2;
  return { median, min: sorted[0] as number, max: sorted.at(-1) as number };
}

/**
 * How one series compares with another, round by round. Rounds of one number ran next to each other, so what slowed the
 * machine then slowed both, and the ratio forgives it. A round that is missing (null) on either side is left out.
 */
export function ratios(values: readonly (number | null)[], reference: readonly (number | null)[]): number[] {
  const found: number[] = [];
  for (const [round, value] of values.entries()) {
    const base = reference[round] ?? null;
    if (value !== null && base !== null && base > 0) found.push(value / base);
  }
  return found;
}
