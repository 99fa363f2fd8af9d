/**
 * SECURITY.md says what each limit and time defends. Their defaults are in docs/api.md, which test/docs/api.test.ts compares with the code.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { defaultLimits, defaultTimeouts } from '../http/limits.ts';
import { defaultLoopLimits } from '../simplenet/loop/loop-limits.ts';
import { defaultStackLimits } from '../simplenet/tcpip/stack-limits.ts';
import { buildFolder } from './support/programs.ts';

const text = readFileSync(join(buildFolder, '../SECURITY.md'), 'utf8');

test('the tables hold every limit and time, once', async (t) => {
  const documented = [...text.matchAll(/^\| `(\w+)` \|/gm)].map((match) => match[1] as string);
  const actual = Object.keys({ ...defaultLimits, ...defaultTimeouts, ...defaultLoopLimits, ...defaultStackLimits });
  t.same(documented.sort(), actual.sort());
});

test('the files that it names are there, and no mail address is', async (t) => {
  const named = [...text.matchAll(/`((?:test|http|simplenet)\/[\w/.-]+\.ts)`/g)].map((match) => match[1] as string);
  t.ok(named.length >= 3);
  for (const file of named) t.doesNotThrow(() => readFileSync(join(buildFolder, '..', file)), file);
  t.notMatch(text, /\w@\w/);
});
