/**
 * The contract of the event loop over TLS on the simulated kernel, each scenario under many seeds. OpenSSL takes its randomness from the system, so a seed repeats the course
 * of the network, and not the bytes of the records.
 */

import { test } from 'tap';
import { harmlessFaults, noFaults, type SimulatedFaults } from '../simulation/simulated-faults.ts';
import { eventLoopContract } from './event-loop.ts';
import { inWorlds } from './seeds.ts';
import { SimulatedWorld } from './simulated-world.ts';
import { TlsWorld } from './tls-world.ts';

/** `SEEDS=100` runs more. */
const SEEDS = 3;

function worldUnder(seed: number, faults: SimulatedFaults): TlsWorld {
  const world = new SimulatedWorld(seed, faults);
  return new TlsWorld(world, seed % 2 === 0 ? 'TLSv1.2' : 'TLSv1.3', world.kernel.libc);
}

for (const [name, scenario] of Object.entries(eventLoopContract)) {
  test(name, async (t) => {
    await inWorlds(1, (seed) => worldUnder(seed, noFaults), scenario);
    t.pass(`${await inWorlds(SEEDS, (seed) => worldUnder(seed, harmlessFaults), scenario)} seeds`);
  });
}
