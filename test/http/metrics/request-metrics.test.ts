/** What becomes of outcomes: classes of status, buckets at their bounds, and series that a client cannot multiply. */

import { test } from 'tap';
import type { HttpRequest, Outcome } from '../../../http/index.ts';
import { LoopLag } from '../../../http/metrics/loop-lag.ts';
import type { MetricFamily } from '../../../http/metrics/metric-families.ts';
import { RequestMetrics } from '../../../http/metrics/request-metrics.ts';

const outcome: Outcome = {
  method: 'GET',
  path: '/users/7',
  route: '/users/:id',
  status: 200,
  bytesIn: 100,
  bytesOut: 1_000,
  startedAt: 0,
  firstByteMs: 1,
  durationMs: 2,
  clientGone: false,
  error: null,
  request: {} as HttpRequest,
};

const metricsOf = (...outcomes: Partial<Outcome>[]) => {
  const metrics = new RequestMetrics();
  for (const each of outcomes) metrics.count({ ...outcome, ...each });
  const families = metrics.families();
  return (name: string) => (families.find((family) => family.name === name) as MetricFamily).samples;
};

const labels = { method: 'GET', route: '/users/:id' };

test('by method, route and class of status', async (t) => {
  const samples = metricsOf(
    {},
    { status: 204 },
    { status: 101 },
    { status: 304 },
    { status: 499, clientGone: true },
    { status: 599 },
    { status: 999 },
    { status: 0, clientGone: true },
    { method: 'POST', route: null },
  );
  t.same(samples('http_requests_total'), [
    { labels: { ...labels, status: 'none' }, value: 1 },
    { labels: { ...labels, status: '1xx' }, value: 1 },
    { labels: { ...labels, status: '2xx' }, value: 2 },
    { labels: { ...labels, status: '3xx' }, value: 1 },
    { labels: { ...labels, status: '4xx' }, value: 1 },
    { labels: { ...labels, status: '5xx' }, value: 2 },
    { labels: { method: 'POST', route: '', status: '2xx' }, value: 1 },
  ]);
  t.match(samples('http_requests_aborted_total'), [{ labels, value: 2 }, { value: 0 }]);
  t.match(samples('http_request_bytes_total'), [{ labels, value: 800 }, { value: 100 }]);
  t.match(samples('http_response_bytes_total'), [{ labels, value: 8_000 }, { value: 1_000 }]);
});

test('a time at a bound belongs to its bucket, one above it to the next', async (t) => {
  const samples = metricsOf({ durationMs: 1 }, { durationMs: 1.1 }, { durationMs: 10_000 }, { durationMs: 10_001 });
  const [{ counts, sum }] = samples('http_request_duration_seconds') as unknown as [{ counts: number[]; sum: number }];
  t.same(counts, [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
  t.ok(Math.abs(sum - 20.0031) < 1e-9);
});

test('what was no request counts by its status', async (t) => {
  const samples = metricsOf(
    { request: null, status: 431 },
    { request: null, status: 431 },
    { request: null, status: 400 },
  );
  t.same(samples('http_requests_total'), []);
  t.same(samples('http_rejected_messages_total'), [
    { labels: { status: '431' }, value: 2 },
    { labels: { status: '400' }, value: 1 },
  ]);
});

test('a client cannot make series: neither by methods nor, with 1,000 routes and more, by routes', async (t) => {
  const methods = metricsOf({ method: 'BREW' }, { method: 'DANCE' }, { method: 'DELETE' });
  t.same(methods('http_requests_total'), [
    { labels: { ...labels, method: 'other', status: '2xx' }, value: 2 },
    { labels: { ...labels, method: 'DELETE', status: '2xx' }, value: 1 },
  ]);
  const routes = metricsOf(...Array.from({ length: 1_003 }, (_, i) => ({ route: `/${i}` })));
  const samples = routes('http_requests_total');
  t.equal(samples.length, 1_001);
  t.match(samples.at(-2), { labels: { route: '/999' }, value: 1 });
  t.match(samples.at(-1), { labels: { route: 'other' }, value: 3 });
});

test('how late a timer is, at a bound and above it', async (t) => {
  let now = 0;
  let ring = () => {};
  let cancelled = 0;
  const lag = new LoopLag({
    exactNow: () => now,
    after(delayMs, callback) {
      t.equal(delayMs, 100);
      ring = callback;
      return { cancel: () => void cancelled++ };
    },
  });
  for (const lateMs of [0, 1, 1.5, 1_000, 1_001]) {
    now += 100 + lateMs;
    ring();
  }
  const { samples } = lag.family();
  t.same(samples, [{ labels: {}, counts: [2, 1, 0, 0, 0, 0, 0, 0, 1, 1], sum: 2.0035 }]);
  lag.close();
  t.equal(cancelled, 1);
});
