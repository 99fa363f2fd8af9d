/**
 * Report: results as text: tables for a terminal, and the same as Markdown.
 *
 * The first column of figures is the main result, with the quartiles of all rounds. Then come its ratios to the peers with which all are
 * compared. chart.ts makes the drawing.
 *
 * Next: chart.ts
 */

import type { PeerResult, Results, WorkloadResult } from './results.ts';
import type { Spread } from './statistics.ts';

const NONE = '–';

/** Whether the result is of simplenet, on either event loop. */
export function isOurs({ peer }: PeerResult): boolean {
  return peer === 'simplenet' || peer === 'simplenet-uring';
}

type Alignment = 'left' | 'right';

interface Column {
  readonly title: string;
  readonly align: Alignment;
  cell(result: PeerResult): string;
}

/** The method is not more exact than three digits. */
export function formatNumber(value: number): string {
  if (value === 0) return '0';
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** 0.27: two digits after the point, and a third if only one of the two were significant. */
export function formatRatio(value: number): string {
  return value.toFixed(value < 0.1 ? 3 : 2);
}

export function formatTime(microseconds: number): string {
  if (microseconds < 10) return `${formatNumber(microseconds)} µs`;
  return microseconds < 1_000 ? `${Math.round(microseconds)} µs` : `${formatNumber(microseconds / 1_000)} ms`;
}

function formatMegabytes(bytes: number): string {
  return `${Math.round(bytes / 1024 ** 2)} MB`;
}

function formatCount(value: number): string {
  return Math.round(value).toLocaleString('en');
}

function spreadCell(spread: Spread | null, format: (value: number) => string): string {
  if (spread === null) return NONE;
  const { median, q1, q3 } = spread;
  return q1 === q3 ? format(median) : `${format(median)} (${format(q1)}–${format(q3)})`;
}

function medianCell(spread: Spread | null, format: (value: number) => string): string {
  return spread === null ? NONE : format(spread.median);
}

const figures = {
  us: { title: 'CPU µs/request', format: formatNumber },
  bytes: { title: 'bytes/connection', format: formatNumber },
  p99: { title: 'p99', format: formatTime },
} as const;

function columnsOf({ unit, references }: WorkloadResult): readonly Column[] {
  const { title, format } = figures[unit];
  const right = (title: string, cell: Column['cell']): Column => ({ title, align: 'right', cell });
  const p50 = right('p50', ({ summary }) => medianCell(summary.p50Us, formatTime));
  const p99 = right('p99', ({ summary }) => medianCell(summary.p99Us, formatTime));
  const p999 = right('p99.9', ({ summary }) => medianCell(summary.p999Us, formatTime));
  const rate = right('requests/s', ({ summary }) => medianCell(summary.requestsPerSecond, formatCount));
  const cpu = right(figures.us.title, ({ summary }) => medianCell(summary.cpuUs, formatNumber));
  return [
    { title: 'server', align: 'left', cell: (result) => result.title },
    right(title, ({ summary }) => spreadCell(summary.figure, format)),
    ...references.map(({ peer, title }) =>
      right(`× ${title}`, ({ summary }) => spreadCell(summary.ratios[peer] ?? null, formatRatio)),
    ),
    ...{ us: [rate, p50, p99, p999], bytes: [], p99: [p50, p999, rate, cpu] }[unit],
    right('RSS', ({ summary }) => medianCell(summary.residentBytes, formatMegabytes)),
    right('errors', ({ summary }) => formatCount(summary.errors)),
    right('non-2xx', ({ summary }) => formatCount(summary.refused)),
  ];
}

function remarksOf(workload: WorkloadResult): string[] {
  return workload.peers.flatMap(({ title, remarks }) => remarks.map((remark) => `${title}: ${remark}`));
}

/** Returns text in columns, in which each character has the width one. */
export function alignColumns(rows: readonly (readonly string[])[], alignments: readonly Alignment[]): string[] {
  const widths = alignments.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, i) => (alignments[i] === 'left' ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}

/** Returns the table of a workload for a terminal. */
export function tableOf(workload: WorkloadResult): string {
  const columns = columnsOf(workload);
  const rows = [
    columns.map(({ title }) => title),
    ...workload.peers.map((result) => columns.map((column) => column.cell(result))),
  ];
  const lines = alignColumns(
    rows,
    columns.map(({ align }) => align),
  );
  const remarks = remarksOf(workload).map((remark) => `  ! ${remark}`);
  return [`${workload.workload}: ${workload.title}`, ...lines.map((line) => `  ${line}`), ...remarks].join('\n');
}

function scheduleLine({ isFresh, processes, rounds, seconds, warmUpSeconds }: Results): string {
  if (isFresh) {
    return `Rounds: ${rounds} of ${seconds} s, interleaved, each in a fresh process after ${warmUpSeconds} s of warm-up`;
  }
  const each = processes === 1 ? 'one process' : `${processes} processes`;
  const warm = `${each} of each server, all alive, after ${warmUpSeconds} s of warm-up`;
  return `Rounds: ${rounds} cycles of slices of ${seconds} s, the order turned round each time; ${warm}`;
}

function syscallLine({ syscalls }: Results['machine']): string {
  if (typeof syscalls === 'string') return `Price of a system call: ${syscalls}`;
  const prices = Object.entries(syscalls).map(([name, ns]) => `${name} ${formatCount(ns)} ns`);
  return `Price of a system call: ${prices.join(', ')}`;
}

/** Returns lines that say how the results were measured. */
export function circumstancesOf(results: Results): string[] {
  const { machine } = results;
  const { cpu, cores, kernel, node, loadAverage } = machine;
  return [
    `Machine: ${cpu}, ${cores} cores, ${kernel}, Node ${node}; load average before: ${loadAverage}`,
    syscallLine(machine),
    `Load: ${results.load}; pinning: ${machine.pinning}`,
    scheduleLine(results),
    `Date: ${results.date}; commit: ${results.commit}`,
    `Command: ${results.command}`,
  ];
}

function markdownTable(workload: WorkloadResult): string {
  const columns = columnsOf(workload);
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const lines = [
    row(columns.map(({ title }) => title)),
    `|${columns.map(({ align }) => (align === 'left' ? '---' : '--:')).join('|')}|`,
    ...workload.peers.map((result) =>
      row(columns.map((column, i) => (isOurs(result) && i === 0 ? `**${column.cell(result)}**` : column.cell(result)))),
    ),
  ];
  const remarks = remarksOf(workload).map((remark) => `\n${remark}`);
  return [`### ${workload.workload}: ${workload.title}\n`, ...lines, ...remarks].join('\n');
}

/** Returns the report as Markdown, after a summary with a row for each workload. */
export function markdownReport(results: Results): string {
  const versions = new Map(results.workloads.flatMap(({ peers }) => peers.map((peer) => [peer.title, peer.version])));
  const circumstances = [
    ...circumstancesOf(results),
    `Versions: ${[...versions].map(([title, version]) => `${title} ${version}`).join(', ')}`,
    ...results.skipped.map((line) => `Left out: ${line}`),
  ];
  return `${[
    '## Benchmark',
    'Medians of the rounds that counted, with their quartiles. Less is better; a ratio compares two servers in the same round.',
    '![CPU time for each request](latest.svg)',
    ...results.workloads.map(markdownTable),
    circumstances.map((line) => `- ${line}`).join('\n'),
  ].join('\n\n')}\n`;
}
