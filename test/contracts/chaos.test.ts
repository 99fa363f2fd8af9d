import { test } from 'tap';
import { allFaults } from '../simulation/simulated-faults.ts';
import { chaos } from './chaos.ts';
import { underSeeds } from './seeds.ts';

/** In chaos.long.ts there are ten times as many. */
const SEEDS = 100;

test('whatever happens, every stream ends once and nothing is left', async (t) => {
  t.pass(`${await underSeeds(SEEDS, allFaults, chaos)} seeds`);
});
