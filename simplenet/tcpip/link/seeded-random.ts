/**
 * Seeded random: numbers that look random, and are the same for the same seed.
 *
 * A fault that was found with a seed must be found with it again. It is mulberry32: a counter of 32 bits and a function that mixes it. Whoever sees a
 * few of its numbers knows the rest, so no secret may come from it. `unpredictable` is for a real network.
 *
 * Next: simulated-wire.ts
 */

import { randomInt } from 'node:crypto';

const STEPS = 2 ** 32;

/** As a seeded function, but no stranger can predict it. Ports and identifications of packets are made of it (RFC 6056). */
export function unpredictable(): number {
  return randomInt(STEPS) / STEPS;
}

/** Returns a function that returns numbers from 0 up to, and without, 1. */
export function seededRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / STEPS;
  };
}
