/**
 * Two stacks over a bad wire: as many seeds as fit into a minute, from another seed on each day. By hand, so many:
 *
 *     TAP_TIMEOUT=0 FIRST=1 SEEDS=10000 node build/test/simplenet/tcpip/two-stacks.long.js
 */

import t from 'tap';
import { mayHaveGivenUp, runSeeds } from './two-stacks.ts';

const BUDGET_MS = 60_000;
const MS_PER_DAY = 86_400_000;
const SEEDS_PER_DAY = 1_000;

const chosen = process.env.SEEDS;
const first = Number(process.env.FIRST ?? 1_000 + Math.floor(Date.now() / MS_PER_DAY) * SEEDS_PER_DAY);

t.test(`seeds from ${first} on`, { timeout: 0 }, async (t) => {
  const { problems, seeds, tally } =
    chosen === undefined ? runSeeds(first, SEEDS_PER_DAY, BUDGET_MS) : runSeeds(first, Number(chosen));
  t.same(problems, []);
  t.ok(mayHaveGivenUp(tally), JSON.stringify([...tally]));
  t.comment(`${seeds} seeds: ${JSON.stringify([...tally])}`);
});
