/**
 * SECURITY.md says what the code does: each limit and time that there is, with the default that it has.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { defaultLimits, defaultTimeouts } from '../http/limits.ts';
import { defaultLoopLimits } from '../simplenet/loop/loop-limits.ts';
import { buildFolder } from './support/programs.ts';

const text = readFileSync(join(buildFolder, '../SECURITY.md'), 'utf8');

const units: Readonly<Record<string, number>> = {
  '': 1,
  ms: 1,
  s: 1_000,
  min: 60_000,
  KiB: 1_024,
  MiB: 1_024 ** 2,
};

/** `8 KiB`, `10 s`, `240`, `none`. */
function amountOf(cell: string): number {
  if (cell === 'none') return Number.MAX_SAFE_INTEGER;
  const [, number, unit = ''] = /^(\d+)(?: (ms|s|min|KiB|MiB))?$/.exec(cell) ?? [];
  return Number(number) * (units[unit] as number);
}

test('the tables hold every limit and time, with its default', async (t) => {
  const rows = [...text.matchAll(/^\| `(\w+)` \| ([^|]+) \|/gm)];
  const documented = rows.map((row) => [row[1] as string, amountOf((row[2] as string).trim())] as const);
  t.equal(new Set(documented.map(([name]) => name)).size, documented.length, 'each is there once');
  const actual: Record<string, number> = { ...defaultLimits, ...defaultTimeouts, ...defaultLoopLimits };
  t.same(Object.fromEntries(documented), actual);
});

test('the grace of a stop is that of serve.ts', async (t) => {
  const documented = /`graceMs`, (\d+) s\./.exec(text)?.[1];
  const source = readFileSync(join(buildFolder, '../http/serve.ts'), 'utf8');
  const actual = /^const DEFAULT_GRACE_MS = ([\d_]+);$/m.exec(source)?.[1]?.replaceAll('_', '');
  t.equal(Number(documented) * 1_000, Number(actual));
  const idle = /`idleGraceMs`, (\d+) ms/.exec(text)?.[1];
  t.equal(idle, /^const DEFAULT_IDLE_GRACE_MS = (\d+);$/m.exec(source)?.[1]);
});

test('the files that it names are there, and no mail address is', async (t) => {
  const named = [...text.matchAll(/`((?:test|http|simplenet)\/[\w/.-]+\.ts)`/g)].map((match) => match[1] as string);
  t.ok(named.length >= 3);
  for (const file of named) t.doesNotThrow(() => readFileSync(join(buildFolder, '..', file)), file);
  t.notMatch(text, /\w@\w/);
});
