/** The text of metrics, in both formats, byte by byte; and judged by promtool, where it is installed. */

import { spawnSync } from 'node:child_process';
import { test } from 'tap';
import { expositionOf } from '../../../http/metrics/exposition.ts';
import { addUp, type MetricFamily } from '../../../http/metrics/metric-families.ts';
import { missing } from '../../support/programs.ts';

const families: readonly MetricFamily[] = [
  {
    name: 'requests_total',
    help: 'A \\ and a\nsecond line.',
    type: 'counter',
    samples: [
      { labels: { route: '/"quoted"/\\', method: 'GET' }, value: 7 },
      { labels: {}, value: 0.5 },
    ],
  },
  { name: 'open', help: 'Open.', type: 'gauge', samples: [{ labels: {}, value: 3 }] },
  {
    name: 'seconds',
    help: 'Time.',
    type: 'histogram',
    bounds: [0.5, 1],
    samples: [{ labels: { a: 'b' }, counts: [1, 2, 3], sum: 9.25 }],
  },
];

const plain = `# HELP requests_total A \\\\ and a\\nsecond line.
# TYPE requests_total counter
requests_total{route="/\\"quoted\\"/\\\\",method="GET"} 7
requests_total 0.5
# HELP open Open.
# TYPE open gauge
open 3
# HELP seconds Time.
# TYPE seconds histogram
seconds_bucket{a="b",le="0.5"} 1
seconds_bucket{a="b",le="1.0"} 3
seconds_bucket{a="b",le="+Inf"} 6
seconds_sum{a="b"} 9.25
seconds_count{a="b"} 6
`;

test('the format of Prometheus', async (t) => {
  for (const accept of [null, '*/*', 'text/plain', 'image/png']) {
    t.same(expositionOf(families, accept), { contentType: 'text/plain; version=0.0.4; charset=utf-8', text: plain });
  }
});

test('OpenMetrics, for a client that prefers it, as Prometheus does', async (t) => {
  const accept =
    'application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2';
  const { contentType, text } = expositionOf(families, accept);
  t.equal(contentType, 'application/openmetrics-text; version=1.0.0; charset=utf-8');
  t.equal(
    text,
    `# HELP requests A \\\\ and a\\nsecond line.
# TYPE requests counter
requests_total{route="/\\"quoted\\"/\\\\",method="GET"} 7.0
requests_total 0.5
# HELP open Open.
# TYPE open gauge
open 3.0
# HELP seconds Time.
# TYPE seconds histogram
seconds_bucket{a="b",le="0.5"} 1.0
seconds_bucket{a="b",le="1.0"} 3.0
seconds_bucket{a="b",le="+Inf"} 6.0
seconds_sum{a="b"} 9.25
seconds_count{a="b"} 6.0
# EOF
`,
  );
});

test('promtool has no complaint', { skip: missing('promtool') }, async (t) => {
  const { status, stderr, stdout } = spawnSync('promtool', ['check', 'metrics'], { input: plain, encoding: 'utf8' });
  t.match(`${stderr}${stdout}`, /^(open.*|)$/s, 'but about names');
  t.ok(status === 0 || status === 3, `${status}: ${stderr}`);
});

test('the metrics of workers are added up, sample by sample', async (t) => {
  const other: readonly MetricFamily[] = [
    {
      name: 'requests_total',
      help: '',
      type: 'counter',
      samples: [
        { labels: {}, value: 1 },
        { labels: { route: '/other' }, value: 2 },
      ],
    },
    { ...families[2], samples: [{ labels: { a: 'b' }, counts: [1, 1, 1], sum: 1 }] } as MetricFamily,
    { name: 'new', help: 'New.', type: 'gauge', samples: [{ labels: {}, value: 1 }] },
  ];
  const [requests, open, seconds, fresh, ...rest] = addUp([families, other]);
  t.match(requests, {
    help: 'A \\ and a\nsecond line.',
    samples: [
      { labels: { method: 'GET' }, value: 7 },
      { labels: {}, value: 1.5 },
      { labels: { route: '/other' }, value: 2 },
    ],
  });
  t.match(open, { samples: [{ value: 3 }] });
  t.match(seconds, { bounds: [0.5, 1], samples: [{ counts: [2, 3, 4], sum: 10.25 }] });
  t.match(fresh, { name: 'new' });
  t.same(rest, []);
});

test('of start times the least counts', async (t) => {
  const started = (value: number): MetricFamily[] => [
    { name: 'start', help: '', type: 'gauge', together: 'least', samples: [{ labels: {}, value }] },
  ];
  t.match(addUp([started(7), started(5), started(6)]), [{ samples: [{ value: 5 }] }]);
});
