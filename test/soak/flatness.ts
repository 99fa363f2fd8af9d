/**
 * Flatness: whether a line of measurements stays level or creeps upwards. Pure.
 *
 * A leak shows in two ways. A straight line through all points (least squares) rises; and the last third lies above the
 * first, which a single step shows better than a line does. Both rises are stated over the whole time that is judged, and
 * both must be within the same bound. Medians stand for the thirds, so that a few outliers decide nothing. What falls is no
 * leak.
 *
 * Next: plot.ts
 */

export interface Sample {
  readonly atMs: number;
  readonly value: number;
}

/** How much a line may rise: the larger of the two counts. */
export interface Bounds {
  /** As a share of its level, the median. */
  readonly share: number;
  /** In its own unit: noise that does not shrink with the level. */
  readonly amount: number;
}

export interface Flatness {
  readonly isFlat: boolean;
  /** The median of all. */
  readonly level: number;
  /** How much a straight line through all points rises from the first to the last. */
  readonly slopeRise: number;
  /** By how much the median of the last third is above that of the first. */
  readonly thirdsRise: number;
  /** The most that either may be. */
  readonly bound: number;
  /** How much a straight line through each half rises in a minute. What settles rises less in the second. */
  readonly risesPerMinute: readonly [number, number];
}

const MINUTE_MS = 60_000;

/** Fewer say nothing. */
export const LEAST_SAMPLES = 9;

/** Throws RangeError where there is too little to judge. */
export function flatnessOf(samples: readonly Sample[], bounds: Bounds): Flatness {
  if (samples.length < LEAST_SAMPLES) {
    throw new RangeError(`${samples.length} samples are too few to judge; ${LEAST_SAMPLES} are the least`);
  }
  const values = samples.map(({ value }) => value);
  const third = Math.floor(samples.length / 3);
  const level = medianOf(values);
  const first = samples[0] as Sample;
  const last = samples[samples.length - 1] as Sample;
  const slopeRise = slopeOf(samples) * (last.atMs - first.atMs);
  const thirdsRise = medianOf(values.slice(-third)) - medianOf(values.slice(0, third));
  const bound = Math.max(bounds.share * level, bounds.amount);
  const half = Math.floor(samples.length / 2);
  const risesPerMinute = [
    slopeOf(samples.slice(0, half)) * MINUTE_MS,
    slopeOf(samples.slice(-half)) * MINUTE_MS,
  ] as const;
  return { isFlat: slopeRise <= bound && thirdsRise <= bound, level, slopeRise, thirdsRise, bound, risesPerMinute };
}

/**
 * The lowest sample of each stretch of time. The used heap of V8 is a saw: garbage piles up until a collection. The floor
 * of the saw is what lives, and a leak raises the floor. A stretch at the end that is not complete is left out.
 */
export function floorOf(samples: readonly Sample[], stretchMs: number): Sample[] {
  const floor: Sample[] = [];
  let lowest: Sample | null = null;
  let endMs = stretchMs;
  for (const sample of samples) {
    while (sample.atMs >= endMs) {
      if (lowest !== null) floor.push(lowest);
      lowest = null;
      endMs += stretchMs;
    }
    if (lowest === null || sample.value < lowest.value) lowest = sample;
  }
  return floor;
}

/** Least squares: the rise for each millisecond. */
export function slopeOf(samples: readonly Sample[]): number {
  const count = samples.length;
  const meanAt = samples.reduce((sum, { atMs }) => sum + atMs, 0) / count;
  const meanValue = samples.reduce((sum, { value }) => sum + value, 0) / count;
  let covariance = 0;
  let variance = 0;
  for (const { atMs, value } of samples) {
    covariance += (atMs - meanAt) * (value - meanValue);
    variance += (atMs - meanAt) ** 2;
  }
  return variance === 0 ? 0 : covariance / variance;
}

export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  if (sorted.length % 2 === 1) return sorted[middle] as number;
  return ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}
