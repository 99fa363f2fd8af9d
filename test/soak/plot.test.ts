/** Plot: the same line as characters, SVG and CSV. */

import { test } from 'tap';
import type { Line } from './plot.ts';
import { csvOf, plotOf, svgOf } from './plot.ts';

const samples = [10, 20, 30, 40].map((value, i) => ({ atMs: 1_000 * (i + 1), value }));
const rising: Line = { title: 'memory', unit: 'MB', samples, judgedFromMs: 2_000 };

test('characters: from zero up, a column for a stretch of time, the warm-up dotted', async (t) => {
  const rows = ['memory, MB', '40.0 |      **', '     |    *', '     |  *', '   0 |', '     +....---- 4 s'];
  t.equal(plotOf(rising, 8, 4), rows.join('\n'));
});

test('a column shows all that was measured in it', async (t) => {
  const jitter: Line = { ...rising, samples: [5, 40, 5, 40].map((value, i) => ({ atMs: i, value })) };
  const stars = plotOf(jitter, 1, 4).split('\n').slice(1, 5);
  t.ok(
    stars.every((row) => row.endsWith('*')),
    stars.join('|'),
  );
});

test('nothing measured is nothing drawn', async (t) => {
  const empty: Line = { ...rising, samples: [] };
  t.notMatch(plotOf(empty), /\*|NaN|Infinity/);
  t.notMatch(svgOf([empty]), /NaN|Infinity/);
  t.equal(csvOf([empty]), 'seconds,memory (MB)\n');
});

test('CSV: a row for each second, a column for each line', async (t) => {
  const other: Line = { ...rising, title: 'descriptors', unit: 'open' };
  t.equal(
    csvOf([rising, other]),
    'seconds,memory (MB),descriptors (open)\n1.0,10,10\n2.0,20,20\n3.0,30,30\n4.0,40,40\n',
  );
});

test('SVG: one path for each line, within its frame', async (t) => {
  const svg = svgOf([rising, rising]);
  t.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" [^>]*>[\s\S]*<\/svg>\n$/);
  const paths = [...svg.matchAll(/<path d="([^"]+)"/g)].map((match) => match[1] as string);
  t.equal(paths.length, 2);
  t.equal(paths[0], 'M230.0 160.0L420.0 120.0L610.0 80.0L800.0 40.0');
  t.notMatch(svg, /script|href|url\(/);
});
