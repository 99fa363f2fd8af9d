/** Two stacks over a wire that loses, duplicates, reorders and damages: some seeds. two-stacks.long.ts runs more. */

import t from 'tap';
import { mayHaveGivenUp, runSeeds, runTwoStacks } from './two-stacks.ts';

const SEED = process.env.SEED;
const SEEDS = 30;

t.test('every byte is right, or both sides agree on an error, and nothing is left', async (t) => {
  const { problems, tally } = SEED === undefined ? runSeeds(1, SEEDS) : runSeeds(Number(SEED), 1);
  t.same(problems, []);
  t.ok(mayHaveGivenUp(tally), JSON.stringify([...tally]));
});

t.test('the same seed is the same course of events', async (t) => {
  t.same(runTwoStacks(7), runTwoStacks(7));
});
