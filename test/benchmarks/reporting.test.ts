/** What people see: tables, Markdown, the chart. */

import { test } from 'tap';
import { chartOf, scaleOf } from '../../benchmarks/chart.ts';
import {
  circumstancesOf,
  formatNumber,
  formatRatio,
  formatTime,
  markdownReport,
  tableOf,
} from '../../benchmarks/report.ts';
import { resultsOf, round, sampleWorkload, workloadResult } from './results-samples.ts';

test('numbers have three digits, ratios two behind the point', async (t) => {
  t.same([0, 0.5432, 8.4, 31.25, 212.3, 1_379.4].map(formatNumber), ['0', '0.543', '8.40', '31.3', '212', '1,379']);
  t.same([1, 0.256, 0.0777, 6.61].map(formatRatio), ['1.00', '0.26', '0.078', '6.61']);
  t.same([1.27, 37, 999, 1_280, 44_400].map(formatTime), ['1.27 µs', '37 µs', '999 µs', '1.28 ms', '44.4 ms']);
});

test('a table has a line for each server, and says why one has no figures', async (t) => {
  const lines = tableOf(sampleWorkload).split('\n');
  t.equal(lines[0], 'hello: GET <14> & bytes');
  t.match(lines[1], /^ {2}server +CPU µs\/request +× node:http +requests\/s +p50 +p99 +p99\.9 +RSS +errors +non-2xx$/);
  t.match(
    lines[2],
    /^ {2}simplenet +8\.40 \(8\.20–8\.70\) +0\.27 \(0\.26–0\.28\) .* 640 µs +1\.28 ms +2\.56 ms +64 MB +0 +0$/,
  );
  t.match(lines[3], /^ {2}node:http +32\.0 \(31\.0–32\.5\) +1\.00 /);
  t.match(lines[5], /^ {2}Bun\.serve +– +– +– /);
  t.equal(lines[6], '  ! Bun.serve: does not do the same work: Date is missing');
  t.same(new Set(lines.slice(1, 6).map((line) => line.length)).size, 1, 'columns are aligned');
});

test('idle memory is told in bytes, and without requests', async (t) => {
  const table = tableOf(workloadResult([{ peer: 'node', title: 'node:http', rounds: [round(7_500)] }], 'bytes'));
  t.match(table, /bytes\/connection/);
  t.notMatch(table, /requests\/s|p99/);
});

test('latency is compared in time, and beside it stands what it costs', async (t) => {
  const table = tableOf(workloadResult([{ peer: 'node', title: 'node:http', rounds: [round(1_280)] }], 'p99'));
  t.match(table, /^ {2}server +p99 +× node:http +p50 +p99\.9 +requests\/s +CPU µs\/request +RSS/m);
  t.match(table, /node:http +1\.28 ms +1\.00 +640 µs/);
});

test('C on epoll has a column of ratios of its own', async (t) => {
  const c = { peer: 'c', title: 'C epoll', rounds: [round(4)] };
  const table = tableOf(workloadResult([{ peer: 'node', title: 'node:http', rounds: [round(32)] }, c]));
  t.match(table, /× node:http +× C epoll/);
  t.match(table, /node:http +32\.0 +1\.00 +8\.00 /);
  t.match(table, /C epoll +4\.00 +0\.13 +1\.00 /);
});

test('the circumstances say how peers took turns, and what system calls cost', async (t) => {
  const results = resultsOf(sampleWorkload);
  const lines = (differences: Partial<typeof results>) => circumstancesOf({ ...results, ...differences }).join('\n');
  t.match(lines({}), 'getppid 70 ns, recv 1,270 ns');
  t.match(
    lines({}),
    'cycles of slices of 2 s, the order turned round each time; one process of each server, all alive',
  );
  t.match(lines({ processes: 3 }), '3 processes of each server');
  t.match(lines({ isFresh: true }), 'each in a fresh process after 1 s');
  t.match(lines({ machine: { ...results.machine, syscalls: 'not measured' } }), 'Price of a system call: not measured');
});

test('the Markdown holds all tables, and where they come from', async (t) => {
  const markdown = markdownReport(resultsOf(sampleWorkload));
  t.match(markdown, '| **simplenet** | 8.40 (8.20–8.70) | 0.27 (0.26–0.28) |');
  t.match(markdown, '![CPU time for each request](latest.svg)');
  t.match(markdown, 'Bun.serve: does not do the same work');
  for (const line of circumstancesOf(resultsOf(sampleWorkload))) t.match(markdown, `- ${line}`);
  t.match(markdown, '- Left out: Hono is not installed; get it with: npm --prefix benchmarks/peers ci');
  for (const part of ['A CPU', 'Linux 6', 'wrk 4.1.0', '2026-11-21', '0123456789ab', 'npm run bench']) {
    t.match(markdown, part);
  }
});

test('the chart is well-formed, escaped, and cuts off only bars that are not ours', async (t) => {
  const svg = chartOf(resultsOf(sampleWorkload, sampleWorkload, sampleWorkload));
  t.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" width="(\d+)" height="(\d+)" viewBox="0 0 \1 \2"/);
  t.match(svg, 'GET &lt;14&gt; &amp; bytes');
  t.notMatch(svg, /NaN|undefined|Infinity|<script|href/);
  t.equal(svg.match(/class="bar ours"/g)?.length, 3);
  t.equal(svg.match(/class="cut"/g)?.length, 3, 'Express goes on');
  t.equal(svg.match(/no round counted/g)?.length, 3);
  const open = svg.match(/<[a-z]+(?:\s[^>]*[^/>])?>/g)?.length;
  t.equal(open, svg.match(/<\/[a-z]+>/g)?.length, 'what is opened is closed');
});

test('the scale follows node:http, but never cuts ours', async (t) => {
  t.ok(Math.abs(scaleOf(sampleWorkload) - 32 * 1.6) < 1e-9);
  const slow = [
    { peer: 'simplenet', title: 'simplenet', rounds: [round(300)] },
    { peer: 'node', title: 'node:http', rounds: [round(30)] },
  ];
  t.equal(scaleOf(workloadResult(slow)), 300);
  t.equal(scaleOf(workloadResult(slow.slice(0, 1))), 300);
  const onUring = { peer: 'simplenet-uring', title: 'simplenet, io_uring', rounds: [round(400)] };
  t.equal(scaleOf(workloadResult([...slow, onUring])), 400, 'on either event loop');
});
