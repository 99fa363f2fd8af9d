/**
 * The contract of the event loop on two TCP/IP stacks of our own, joined by a simulated wire: without faults, and with five percent of the
 * frames lost.
 */

import { test } from 'tap';
import { eventLoopContract } from './event-loop.ts';
import { inWorlds } from './seeds.ts';
import { LossyStackWorld, StackWorld } from './stack-world.ts';

/** In event-loop-on-stack.long.ts there are ten times as many. */
const SEEDS = 4;

for (const [name, scenario] of Object.entries(eventLoopContract)) {
  test(name, async (t) => {
    t.pass(`${await inWorlds(SEEDS, (seed) => new StackWorld(seed), scenario)} seeds`);
  });
  test(`${name} (5 % loss)`, async (t) => {
    t.pass(`${await inWorlds(SEEDS, (seed) => new LossyStackWorld(seed), scenario)} seeds`);
  });
}
