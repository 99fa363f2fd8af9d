/** What `npm run test:nodes` makes of its measurements. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { testedVersions } from './node-versions.ts';
import { type Cost, MAX_RATIO, outOfLine } from './verdict.ts';

const cost = (version: string, microseconds: number, load = 'epoll, 1'): Cost => ({ version, load, microseconds });

test('versions that differ a little are in line', async (t) => {
  t.same(outOfLine([cost('20', 12), cost('22', 9), cost('24', 12 * MAX_RATIO)]), []);
  t.same(outOfLine([]), []);
});

test('a version that costs more than twice as much is not, nor is one that answered nothing', async (t) => {
  const slow = cost('26', 12 * MAX_RATIO + 0.01);
  const dead = cost('24', Number.POSITIVE_INFINITY);
  t.same(outOfLine([cost('20', 12), dead, slow]), [dead, slow]);
  t.same(outOfLine([dead]), [dead], 'even alone');
});

test('loads are compared with themselves', async (t) => {
  const slow = cost('26', 25, 'io_uring, 1');
  t.same(outOfLine([cost('20', 30), cost('20', 10, 'io_uring, 1'), cost('26', 35), slow]), [slow]);
});

test('engines says what is tested', async (t) => {
  const manifest = join(import.meta.dirname, '../../../package.json');
  const { engines } = JSON.parse(readFileSync(manifest, 'utf8')) as { engines: { node: string } };
  t.equal(engines.node, `>=${testedVersions[0]} <${Number(testedVersions.at(-1)) + 1}`);
});
