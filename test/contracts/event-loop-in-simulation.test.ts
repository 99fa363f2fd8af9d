/**
 * The contract of the event loop on the simulated kernel, each scenario under many seeds.
 */

import { test } from 'tap';
import { noFaults, type SimulatedFaults } from '../simulation/simulated-faults.ts';
import { eventLoopContract } from './event-loop.ts';
import { underSeeds } from './seeds.ts';

/** What a program must not even notice: the exact outcome of every scenario stays the same. */
const harmlessFaults: SimulatedFaults = {
  ...noFaults,
  shortRead: 0.3,
  shortWrite: 0.3,
  interrupt: 0.1,
  spuriousAgain: 0.1,
  delayedDelivery: 0.7,
};

/** In event-loop-in-simulation.long.ts there are ten times as many. */
const SEEDS = 10;

for (const [name, scenario] of Object.entries(eventLoopContract)) {
  test(name, async (t) => {
    await underSeeds(1, noFaults, scenario);
    t.pass(`${await underSeeds(SEEDS, harmlessFaults, scenario)} seeds`);
  });
}
