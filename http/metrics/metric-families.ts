/**
 * MetricFamilies: what is measured, as plain objects: they can be sent to another worker, added up, and written as text.
 *
 * The names and the types are those of Prometheus. A counter only grows; a gauge is how much of something there is now; a histogram counts how many values
 * were at most so large.
 *
 * Next: exposition.ts
 */

export type Labels = Readonly<Record<string, string>>;

interface Family {
  readonly name: string;
  readonly help: string;
}

export interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

export interface HistogramSample {
  readonly labels: Labels;
  /** How many values lie between the bound before and this one; the last count is of those above all bounds. */
  readonly counts: readonly number[];
  readonly sum: number;
}

/** `together` says how the values of several workers become one: their sum, unless it says `least`. */
export type MetricFamily =
  | (Family & { readonly type: 'counter' | 'gauge'; readonly together?: 'least'; readonly samples: readonly Sample[] })
  | (Family & {
      readonly type: 'histogram';
      readonly bounds: readonly number[];
      readonly samples: readonly HistogramSample[];
    });

/** The index in `counts` of a HistogramSample: that of the first bound which is not exceeded. */
export function bucketOf(bounds: readonly number[], value: number): number {
  let bucket = 0;
  while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket++;
  return bucket;
}

/** A family of numbers. */
export function familyOf(
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  samples: readonly (readonly [Labels, number])[],
): MetricFamily {
  return { name, help, type, samples: samples.map(([labels, value]) => ({ labels, value })) };
}

/** One list of families for several workers, in the order of the first one that has them. */
export function addUp(snapshots: readonly (readonly MetricFamily[])[]): MetricFamily[] {
  const families = new Map<string, MetricFamily>();
  for (const family of snapshots.flat()) {
    const known = families.get(family.name);
    families.set(family.name, known === undefined ? family : combined(known, family));
  }
  return [...families.values()];
}

/** What only grows. How much there is now of something says nothing about a process that has ended. */
export function withoutGauges(families: readonly MetricFamily[]): MetricFamily[] {
  return families.filter(({ type }) => type !== 'gauge');
}

function combined(a: MetricFamily, b: MetricFamily): MetricFamily {
  if (a.type === 'histogram')
    return { ...a, samples: matched(a.samples, b.samples as HistogramSample[], addHistograms) };
  const least = a.together === 'least';
  const both = ({ labels, value }: Sample, other: Sample) => ({
    labels,
    value: least ? Math.min(value, other.value) : value + other.value,
  });
  return { ...a, samples: matched(a.samples, b.samples as Sample[], both) };
}

/** Samples with equal labels become one. */
function matched<S extends { readonly labels: Labels }>(
  a: readonly S[],
  b: readonly S[],
  combine: (a: S, b: S) => S,
): S[] {
  const byLabels = new Map<string, S>();
  for (const sample of [...a, ...b]) {
    const key = JSON.stringify(Object.entries(sample.labels));
    const known = byLabels.get(key);
    byLabels.set(key, known === undefined ? sample : combine(known, sample));
  }
  return [...byLabels.values()];
}

function addHistograms(a: HistogramSample, b: HistogramSample): HistogramSample {
  return { labels: a.labels, counts: a.counts.map((count, i) => count + (b.counts[i] as number)), sum: a.sum + b.sum };
}
