/**
 * RequestMetrics: counts the answers of a server by method, route and class of status, their times and their bytes.
 *
 * A client must not be able to make new series: their number is the memory of the server and of Prometheus. So methods that are not registered count as one,
 * a path without a route as none, and after MAX_ROUTES patterns all others are one, too.
 *
 * An answer costs two lookups at most, and a few additions. The numbers of a series lie in one Float64Array.
 *
 * Next: loop-lag.ts
 */

import type { CountedAnswer } from '../request/meter.ts';
import { bucketOf, type HistogramSample, type Labels, type MetricFamily, type Sample } from './metric-families.ts';

/** Seconds. A hello takes less than the first one; a client gives up by the last. */
const DURATION_BOUNDS: readonly number[] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** RFC 9110 section 9.1 and RFC 5789. */
const METHODS: readonly string[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'CONNECT', 'TRACE'];
const OTHER = 'other';

const MAX_ROUTES = 1_000;

/** Index 0: no response began. */
const CLASSES: readonly string[] = ['none', '1xx', '2xx', '3xx', '4xx', '5xx'];

const MS = 1_000;

// The places in the numbers of a series: the classes, then the buckets of the histogram, then the sums.
const BUCKETS_AT = CLASSES.length;
const SUM_AT = BUCKETS_AT + DURATION_BOUNDS.length + 1;
const BYTES_IN_AT = SUM_AT + 1;
const BYTES_OUT_AT = SUM_AT + 2;
const ABORTED_AT = SUM_AT + 3;
const LENGTH = SUM_AT + 4;

export class RequestMetrics {
  /** By route, and within it by method. */
  readonly #series = new Map<string, Map<string, Float64Array>>();
  /** The series of the last answer: that of the next one is often the same. */
  #lastRoute: string | null = null;
  #lastMethod = '';
  #lastNumbers: Float64Array = new Float64Array(LENGTH);
  /** Answers to messages that were no requests, by status. */
  readonly #rejected = new Map<number, number>();

  count(answer: CountedAnswer): void {
    const { method, route, status, durationMs } = answer;
    if (answer.request === null) {
      this.#rejected.set(status, (this.#rejected.get(status) ?? 0) + 1);
      return;
    }
    if (route !== this.#lastRoute || method !== this.#lastMethod) {
      this.#lastNumbers = this.#numbersOf(route ?? '', method);
      this.#lastRoute = route;
      this.#lastMethod = method;
    }
    const numbers = this.#lastNumbers;
    const seconds = durationMs / MS;
    numbers[Math.min(Math.floor(status / 100), CLASSES.length - 1)]! += 1;
    numbers[BUCKETS_AT + bucketOf(DURATION_BOUNDS, seconds)]! += 1;
    numbers[SUM_AT]! += seconds;
    numbers[BYTES_IN_AT]! += answer.bytesIn;
    numbers[BYTES_OUT_AT]! += answer.bytesOut;
    if (answer.clientGone) numbers[ABORTED_AT]! += 1;
  }

  #numbersOf(route: string, method: string): Float64Array {
    let ofRoute = this.#series.get(route);
    if (ofRoute === undefined) {
      if (this.#series.size >= MAX_ROUTES && route !== OTHER) return this.#numbersOf(OTHER, method);
      ofRoute = new Map();
      this.#series.set(route, ofRoute);
    }
    let numbers = ofRoute.get(method);
    if (numbers === undefined) {
      if (method !== OTHER && !METHODS.includes(method)) return this.#numbersOf(route, OTHER);
      numbers = new Float64Array(LENGTH);
      ofRoute.set(method, numbers);
    }
    return numbers;
  }

  families(): MetricFamily[] {
    const requests: Sample[] = [];
    const durations: HistogramSample[] = [];
    const bytesIn: Sample[] = [];
    const bytesOut: Sample[] = [];
    const aborted: Sample[] = [];
    for (const [labels, numbers] of this.#all()) {
      for (const [at, status] of CLASSES.entries()) {
        const value = numbers[at] as number;
        if (value > 0) requests.push({ labels: { ...labels, status }, value });
      }
      durations.push({ labels, counts: [...numbers.slice(BUCKETS_AT, SUM_AT)], sum: numbers[SUM_AT] as number });
      bytesIn.push({ labels, value: numbers[BYTES_IN_AT] as number });
      bytesOut.push({ labels, value: numbers[BYTES_OUT_AT] as number });
      aborted.push({ labels, value: numbers[ABORTED_AT] as number });
    }
    const rejected = [...this.#rejected].map(([status, value]) => ({ labels: { status: String(status) }, value }));
    return [
      {
        name: 'http_requests_total',
        help: 'Requests that were answered, or whose client left before the answer (status none).',
        type: 'counter',
        samples: requests,
      },
      {
        name: 'http_request_duration_seconds',
        help: 'From the head of a request until the kernel has its whole response.',
        type: 'histogram',
        bounds: DURATION_BOUNDS,
        samples: durations,
      },
      { name: 'http_request_bytes_total', help: 'Bytes of requests.', type: 'counter', samples: bytesIn },
      { name: 'http_response_bytes_total', help: 'Bytes of responses.', type: 'counter', samples: bytesOut },
      {
        name: 'http_requests_aborted_total',
        help: 'Requests whose client left before it had the whole response.',
        type: 'counter',
        samples: aborted,
      },
      {
        name: 'http_rejected_messages_total',
        help: 'Messages that were refused before they were a request: malformed, too large or too slow.',
        type: 'counter',
        samples: rejected,
      },
    ];
  }

  *#all(): Generator<[Labels, Float64Array]> {
    for (const [route, methods] of this.#series) {
      for (const [method, numbers] of methods) yield [{ method, route }, numbers];
    }
  }
}
