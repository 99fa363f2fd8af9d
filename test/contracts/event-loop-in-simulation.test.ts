/**
 * The contract of the event loop on the simulated kernel, under thousands of seeds.
 *
 * A seed that fails is named with its scenario; SEED=n runs just that one. SEEDS=n runs that many of each.
 */

import { test } from 'tap';
import { allFaults, noFaults, type SimulatedFaults } from '../simulation/simulated-faults.ts';
import { chaos } from './chaos.ts';
import { eventLoopContract } from './event-loop.ts';
import { SimulatedWorld } from './simulated-world.ts';

/** What a program must not even notice: the exact outcome of every scenario stays the same. */
const harmlessFaults: SimulatedFaults = {
  ...noFaults,
  shortRead: 0.3,
  shortWrite: 0.3,
  interrupt: 0.1,
  spuriousAgain: 0.1,
  delayedDelivery: 0.7,
};

const SCENARIO_SEEDS = Number(process.env.SEEDS ?? 100);
const CHAOS_SEEDS = Number(process.env.SEEDS ?? 2_000);

function seeds(count: number): number[] {
  if (process.env.SEED !== undefined) return [Number(process.env.SEED)];
  return Array.from({ length: count }, (_, i) => i + 1);
}

async function underSeeds(
  count: number,
  faults: SimulatedFaults,
  run: (world: SimulatedWorld, seed: number) => Promise<void>,
) {
  for (const seed of seeds(count)) {
    try {
      const world = new SimulatedWorld(seed, faults);
      await run(world, seed);
      await world.close();
    } catch (cause) {
      throw new Error(`it fails with SEED=${seed}`, { cause });
    }
  }
}

for (const [name, scenario] of Object.entries(eventLoopContract)) {
  test(name, async (t) => {
    await underSeeds(1, noFaults, scenario);
    await underSeeds(SCENARIO_SEEDS, harmlessFaults, scenario);
    t.pass(`${SCENARIO_SEEDS} seeds`);
  });
}

test('whatever happens, every stream ends once and nothing is left', async (t) => {
  await underSeeds(CHAOS_SEEDS, allFaults, chaos);
  t.pass(`${CHAOS_SEEDS} seeds`);
});
