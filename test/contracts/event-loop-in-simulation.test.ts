/**
 * The contract of the event loop on the simulated kernel, each scenario under many seeds.
 */

import { test } from 'tap';
import { harmlessFaults, noFaults } from '../simulation/simulated-faults.ts';
import { eventLoopContract } from './event-loop.ts';
import { underSeeds } from './seeds.ts';

/** In event-loop-in-simulation.long.ts there are ten times as many. */
const SEEDS = 10;

for (const [name, scenario] of Object.entries(eventLoopContract)) {
  test(name, async (t) => {
    await underSeeds(1, noFaults, scenario);
    t.pass(`${await underSeeds(SEEDS, harmlessFaults, scenario)} seeds`);
  });
}
