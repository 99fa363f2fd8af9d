/**
 * Exposition: metrics as the text that Prometheus reads, in its own format (version 0.0.4) or as OpenMetrics 1.0. Pure.
 *
 *     # HELP http_requests_total Requests that were answered.            # HELP http_requests Requests that were answered.
 *     # TYPE http_requests_total counter                                 # TYPE http_requests counter
 *     http_requests_total{method="GET",status="2xx"} 7                   http_requests_total{method="GET",status="2xx"} 7.0
 *                                                                        # EOF
 *
 * Next: request-metrics.ts
 */

import { preferredType } from '../content/accept.ts';
import type { HistogramSample, Labels, MetricFamily } from './metric-families.ts';

const OPENMETRICS = 'application/openmetrics-text';
const PLAIN = 'text/plain';

const contentTypes = {
  [PLAIN]: `${PLAIN}; version=0.0.4; charset=utf-8`,
  [OPENMETRICS]: `${OPENMETRICS}; version=1.0.0; charset=utf-8`,
};

export interface Exposition {
  readonly contentType: string;
  readonly text: string;
}

/** `accept` is that field of the request, or null. */
export function expositionOf(families: readonly MetricFamily[], accept: string | null): Exposition {
  const type = preferredType(accept ?? PLAIN, [PLAIN, OPENMETRICS]) === OPENMETRICS ? OPENMETRICS : PLAIN;
  const isOpen = type === OPENMETRICS;
  const lines = families.flatMap((family) => linesOf(family, isOpen));
  if (isOpen) lines.push('# EOF');
  return { contentType: contentTypes[type], text: `${lines.join('\n')}\n` };
}

function linesOf(family: MetricFamily, isOpen: boolean): string[] {
  const { name, help, type } = family;
  const title = isOpen && type === 'counter' ? name.replace(/_total$/, '') : name;
  const lines = [`# HELP ${title} ${escaped(help)}`, `# TYPE ${title} ${type}`];
  const number = isOpen ? floatOf : numberOf;
  if (family.type !== 'histogram') {
    for (const { labels, value } of family.samples) lines.push(`${name}${labelsOf(labels)} ${number(value)}`);
    return lines;
  }
  const bounds = [...family.bounds, Number.POSITIVE_INFINITY].map(floatOf);
  for (const sample of family.samples) lines.push(...histogramLines(name, bounds, sample, number));
  return lines;
}

/** The buckets of a histogram are cumulative: each counts all values up to its bound. */
function histogramLines(
  name: string,
  bounds: readonly string[],
  { labels, counts, sum }: HistogramSample,
  number: (value: number) => string,
): string[] {
  const pairs = pairsOf(labels); // once: most lines of a large site are buckets
  const beforeBound = `${name}_bucket{${pairs === '' ? '' : `${pairs},`}le="`;
  let total = 0;
  const lines = counts.map((count, i) => {
    total += count;
    return `${beforeBound}${bounds[i]}"} ${number(total)}`;
  });
  const braced = labelsOf(labels);
  return [...lines, `${name}_sum${braced} ${number(sum)}`, `${name}_count${braced} ${number(total)}`];
}

function labelsOf(labels: Labels): string {
  const pairs = pairsOf(labels);
  return pairs === '' ? '' : `{${pairs}}`;
}

function pairsOf(labels: Labels): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${escaped(value).replaceAll('"', '\\"')}"`)
    .join(',');
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}

function numberOf(value: number): string {
  return value === Number.POSITIVE_INFINITY ? '+Inf' : String(value);
}

/** OpenMetrics compares the bounds of buckets as text, so each number has one form. */
function floatOf(value: number): string {
  return Number.isInteger(value) ? `${numberOf(value)}.0` : numberOf(value);
}
