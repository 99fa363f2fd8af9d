/**
 * Plot: a line of measurements as characters for a terminal, as SVG for a page, as CSV for whatever else. Pure.
 *
 * Next: load.ts
 */

import type { Sample } from './flatness.ts';

export interface Line {
  readonly title: string;
  readonly unit: string;
  readonly samples: readonly Sample[];
  /** Where the warm-up ends. */
  readonly judgedFromMs: number;
}

const WIDTH = 72;
const HEIGHT = 10;

/** One column of the plot: all that was measured in that time. */
function columnsOf(samples: readonly Sample[], width: number): { readonly low: number; readonly high: number }[] {
  const lastMs = samples.at(-1)?.atMs ?? 0;
  const columns: { low: number; high: number }[] = [];
  for (const { atMs, value } of samples) {
    const at = lastMs === 0 ? 0 : Math.min(width - 1, Math.floor((atMs / lastMs) * width));
    const column = columns[at];
    if (column === undefined) columns[at] = { low: value, high: value };
    else columns[at] = { low: Math.min(column.low, value), high: Math.max(column.high, value) };
  }
  return columns;
}

function formatValue(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(1);
}

/** From zero upwards, so that small waves look small. The warm-up is dotted below. */
export function plotOf({ title, unit, samples, judgedFromMs }: Line, width = WIDTH, height = HEIGHT): string {
  const most = Math.max(...samples.map(({ value }) => value), Number.MIN_VALUE);
  const lastMs = samples.at(-1)?.atMs ?? 0;
  const columns = columnsOf(samples, width);
  const rowOf = (value: number) => Math.min(height - 1, Math.floor((value / most) * height));
  const label = formatValue(most).length;
  const rows: string[] = [];
  for (let row = height - 1; row >= 0; row--) {
    const scale = row === height - 1 ? formatValue(most) : row === 0 ? '0' : '';
    let line = '';
    for (let i = 0; i < width; i++) {
      const column = columns[i];
      line += column !== undefined && rowOf(column.low) <= row && row <= rowOf(column.high) ? '*' : ' ';
    }
    rows.push(`${scale.padStart(label)} |${line.trimEnd()}`);
  }
  const warmUp = lastMs === 0 ? 0 : Math.min(width, Math.round((judgedFromMs / lastMs) * width));
  rows.push(`${' '.repeat(label)} +${'.'.repeat(warmUp)}${'-'.repeat(width - warmUp)} ${Math.round(lastMs / 1000)} s`);
  return `${title}, ${unit}\n${rows.join('\n')}`;
}

export function csvOf(lines: readonly Line[]): string {
  const rows = [['seconds', ...lines.map(({ title, unit }) => `${title} (${unit})`)].join(',')];
  for (const [i, { atMs }] of (lines[0]?.samples ?? []).entries()) {
    rows.push([(atMs / 1000).toFixed(1), ...lines.map(({ samples }) => samples[i]?.value ?? '')].join(','));
  }
  return `${rows.join('\n')}\n`;
}

const SVG_WIDTH = 760;
const SVG_HEIGHT = 160;
const MARGIN = 40;

/** Without script, font or link, so that any page may show it. */
export function svgOf(lines: readonly Line[]): string {
  const groups = lines.map((line, i) => svgGroup(line, i * (SVG_HEIGHT + 2 * MARGIN)));
  const height = lines.length * (SVG_HEIGHT + 2 * MARGIN);
  const size = `width="${SVG_WIDTH + 2 * MARGIN}" height="${height}" viewBox="0 0 ${SVG_WIDTH + 2 * MARGIN} ${height}"`;
  const style =
    'text{font:12px system-ui,sans-serif;fill:#59636e}path{fill:none;stroke:#0969da}rect{fill:#fff;stroke:#d1d9e0}.warm{fill:#eef1f4;stroke:none}';
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size}><style>${style}</style>\n${groups.join('\n')}\n</svg>\n`;
}

function svgGroup({ title, unit, samples, judgedFromMs }: Line, top: number): string {
  const most = Math.max(...samples.map(({ value }) => value), Number.MIN_VALUE);
  const lastMs = Math.max(samples.at(-1)?.atMs ?? 0, 1);
  const y = top + MARGIN;
  const xOf = (atMs: number) => (MARGIN + (Math.min(atMs, lastMs) / lastMs) * SVG_WIDTH).toFixed(1);
  const yOf = (value: number) => (y + SVG_HEIGHT - (value / most) * SVG_HEIGHT).toFixed(1);
  const path = samples.map(({ atMs, value }, i) => `${i === 0 ? 'M' : 'L'}${xOf(atMs)} ${yOf(value)}`).join('');
  const warmWidth = (Number(xOf(judgedFromMs)) - MARGIN).toFixed(1);
  return [
    `<rect x="${MARGIN}" y="${y}" width="${SVG_WIDTH}" height="${SVG_HEIGHT}"/>`,
    `<rect class="warm" x="${MARGIN}" y="${y}" width="${warmWidth}" height="${SVG_HEIGHT}"/>`,
    `<text x="${MARGIN}" y="${y - 10}">${title}, from 0 to ${formatValue(most)} ${unit}, in ${Math.round(lastMs / 1000)} s; grey: warm-up</text>`,
    `<path d="${path}"/>`,
  ].join('\n');
}
