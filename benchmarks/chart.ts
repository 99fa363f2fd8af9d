/**
 * Chart: results as an SVG that can be read at a glance: a group of bars for each workload; shorter is better.
 *
 * Each group has its own scale, because an idle connection and a megabyte cannot share one. The scale follows the reference: the bar of a
 * server that takes much longer is cut off, so that the other bars can still be compared. The chart has its own background, so it can be
 * read on light and dark pages, and it turns dark with the system. It has no script, no font and no link, so every page can show it.
 *
 * Next: micro.ts
 */

import { formatNumber, formatRatio, formatTime, isOurs } from './report.ts';
import type { PeerResult, Results, WorkloadResult } from './results.ts';

const PADDING = 28;
const COLUMN_WIDTH = 504;
const COLUMN_GAP = 36;
const LABEL_WIDTH = 130;
const VALUE_WIDTH = 138;
const RATIO_WIDTH = 60;
const BAR_WIDTH = COLUMN_WIDTH - LABEL_WIDTH - VALUE_WIDTH;
const BAR_HEIGHT = 14;
const ROW_HEIGHT = 21;
const GROUP_HEAD = 46;
const GROUP_GAP = 18;
const HEAD_HEIGHT = 76;
const FOOT_HEIGHT = 48;

/** From this number of groups on, there are two columns. */
const TWO_COLUMNS_FROM = 3;

/** The scale ends at most at this multiple of the bar of the reference. */
const MAX_OF_REFERENCE = 1.6;

const style = `
  text { font-family: system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; font-size: 12px; fill: #59636e }
  .card { fill: #ffffff; stroke: #d1d9e0 }
  .title { font-size: 19px; font-weight: 600; fill: #1f2328 }
  .group { font-size: 14px; font-weight: 600; fill: #1f2328 }
  .ours { font-weight: 600; fill: #1f2328 }
  .value { fill: #1f2328 }
  .bar { fill: #b6c0ca }
  .bar.reference { fill: #818b98 }
  .bar.ours { fill: #0969da }
  .spread { stroke: #1f2328; stroke-opacity: 0.55 }
  .cut { stroke: #ffffff; stroke-width: 3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #9198a1 }
    .card { fill: #151b23; stroke: #3d444d }
    .title, .group, .ours, .value { fill: #f0f6fc }
    .bar { fill: #4b535d }
    .bar.reference { fill: #7d8590 }
    .bar.ours { fill: #4493f8 }
    .spread { stroke: #f0f6fc }
    .cut { stroke: #151b23 }
  }`;

function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function textAt(x: number, y: number, className: string, content: string, anchor = 'start'): string {
  const end = anchor === 'start' ? '' : ` text-anchor="${anchor}"`;
  return `<text x="${x}" y="${y}" class="${className}"${end}>${escapeText(content)}</text>`;
}

function medianOf(result: PeerResult): number | null {
  return result.summary.figure?.median ?? null;
}

/** Returns the name of the peer with which all are compared, or null. */
function referenceOf(workload: WorkloadResult): string | null {
  return workload.references[0]?.peer ?? null;
}

function formatFigure(value: number, unit: WorkloadResult['unit']): string {
  return unit === 'p99' ? formatTime(value) : `${formatNumber(value)} ${unit === 'us' ? 'µs' : 'B'}`;
}

/** Returns the value of a bar of full length. */
export function scaleOf(workload: WorkloadResult): number {
  const medians = workload.peers.map(medianOf).filter((median) => median !== null);
  const reference = workload.peers.find(({ peer }) => peer === referenceOf(workload));
  const most = Math.max(...medians, Number.MIN_VALUE);
  const limit = reference === undefined ? null : medianOf(reference);
  return limit === null ? most : Math.min(most, Math.max(limit * MAX_OF_REFERENCE, ownOf(workload)));
}

/** Our own bar is never cut off: that would hide a bad result. */
function ownOf(workload: WorkloadResult): number {
  return Math.max(0, ...workload.peers.filter(isOurs).map((own) => medianOf(own) ?? 0));
}

function bar(workload: WorkloadResult, result: PeerResult, x: number, y: number, scale: number): string {
  const reference = referenceOf(workload);
  const { figure, ratios } = result.summary;
  const ratio = reference === null ? null : (ratios[reference] ?? null);
  const otherKind = result.peer === reference ? ' reference' : '';
  const kind = isOurs(result) ? ' ours' : otherKind;
  const baseline = y + BAR_HEIGHT - 3;
  const parts = [textAt(x + LABEL_WIDTH - 10, baseline, kind.trim(), result.title, 'end')];
  const left = x + LABEL_WIDTH;
  if (figure === null) {
    parts.push(textAt(left, baseline, '', 'no round counted'));
    return parts.join('');
  }
  const widthOf = (value: number) => Math.max(1, Math.round((Math.min(value, scale) / scale) * BAR_WIDTH));
  const width = widthOf(figure.median);
  parts.push(`<rect class="bar${kind}" x="${left}" y="${y}" width="${width}" height="${BAR_HEIGHT}" rx="2"/>`);
  if (figure.median > scale) {
    const cut = left + width - 22;
    parts.push(`<path class="cut" d="M${cut} ${y + BAR_HEIGHT + 2}l6 -${BAR_HEIGHT + 4}"/>`);
  } else if (figure.q3 > figure.q1) {
    const middle = y + BAR_HEIGHT / 2;
    parts.push(`<path class="spread" d="M${left + widthOf(figure.q1)} ${middle}H${left + widthOf(figure.q3)}"/>`);
  }
  const value = formatFigure(figure.median, workload.unit);
  const valueRight = x + COLUMN_WIDTH - RATIO_WIDTH;
  parts.push(textAt(valueRight, baseline, kind === ' ours' ? 'ours' : 'value', value, 'end'));
  if (ratio !== null && result.peer !== reference) {
    parts.push(textAt(x + COLUMN_WIDTH, baseline, kind.trim(), `${formatRatio(ratio.median)} ×`, 'end'));
  }
  return parts.join('');
}

function groupHeight(workload: WorkloadResult): number {
  return GROUP_HEAD + workload.peers.length * ROW_HEIGHT + GROUP_GAP;
}

function group(workload: WorkloadResult, x: number, y: number): string {
  const scale = scaleOf(workload);
  const rows = workload.peers.map((result, i) => bar(workload, result, x, y + GROUP_HEAD + i * ROW_HEIGHT, scale));
  const head = [
    textAt(x, y + 14, 'group', workload.workload),
    textAt(x, y + 32, '', workload.title),
    textAt(
      x + COLUMN_WIDTH,
      y + 14,
      '',
      { us: '', bytes: 'memory, not CPU', p99: '99th percentile, not CPU' }[workload.unit],
      'end',
    ),
  ];
  return [...head, ...rows].filter(Boolean).join('\n');
}

export function chartOf(results: Results): string {
  const { workloads, machine } = results;
  const columns = workloads.length >= TWO_COLUMNS_FROM ? 2 : 1;
  const width = 2 * PADDING + columns * COLUMN_WIDTH + (columns - 1) * COLUMN_GAP;
  const groups: string[] = [];
  let y = PADDING + HEAD_HEIGHT;
  for (let i = 0; i < workloads.length; i += columns) {
    const row = workloads.slice(i, i + columns);
    for (const [column, workload] of row.entries()) {
      groups.push(group(workload, PADDING + column * (COLUMN_WIDTH + COLUMN_GAP), y));
    }
    y += Math.max(...row.map(groupHeight));
  }
  const reference = workloads[0]?.references[0]?.title ?? 'no server';
  const height = y + FOOT_HEIGHT;
  const circumstances = [
    `${machine.cpu}, ${machine.cores} cores, ${machine.kernel}, Node ${machine.node}`,
    `${results.date.slice(0, 10)}, commit ${results.commit}, load from ${results.load}, median of ${results.rounds} rounds`,
  ];
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="Server CPU time for each request, by workload and server">
<style>${style}
</style>
<rect class="card" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="10"/>
${textAt(PADDING, PADDING + 18, 'title', 'Server CPU time for each request')}
${textAt(PADDING, PADDING + 42, '', `user + system time, shorter is better; × is the ratio to ${reference}; thin lines reach from quartile to quartile`)}
${groups.join('\n')}
${circumstances.map((line, i) => textAt(PADDING, height - FOOT_HEIGHT + 10 + i * 18, '', line)).join('\n')}
</svg>
`;
}
