/**
 * Runs a scenario in many simulated worlds, one for each seed. A seed that fails is printed: SEED=n runs only that one. SEEDS=n runs
 * n of them.
 */

import type { SimulatedFaults } from '../simulation/simulated-faults.ts';
import { SimulatedWorld } from './simulated-world.ts';
import type { World } from './world.ts';

function seedsUpTo(count: number): number[] {
  if (process.env.SEED !== undefined) return [Number(process.env.SEED)];
  return Array.from({ length: Number(process.env.SEEDS ?? count) }, (_, i) => i + 1);
}

/** Returns how many seeds it has run. */
export async function underSeeds(
  count: number,
  faults: SimulatedFaults,
  run: (world: SimulatedWorld, seed: number) => Promise<void>,
): Promise<number> {
  return inWorlds(count, (seed) => new SimulatedWorld(seed, faults), run);
}

/** As `underSeeds`, in the worlds that `makeWorld` makes. */
export async function inWorlds<W extends World>(
  count: number,
  makeWorld: (seed: number) => W,
  run: (world: W, seed: number) => Promise<void>,
): Promise<number> {
  const seeds = seedsUpTo(count);
  for (const seed of seeds) {
    try {
      const world = makeWorld(seed);
      await run(world, seed);
      await world.close();
    } catch (cause) {
      throw new Error(`it fails with SEED=${seed}`, { cause });
    }
  }
  return seeds.length;
}
