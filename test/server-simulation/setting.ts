/**
 * Setting: the limits and the kernel of one simulated day, drawn from its seed.
 *
 * Everything is small, so that every limit is met: a buffer of 64 KiB is never full in a test, one of 700 bytes always is.
 *
 * Next: exchange-maker.ts
 */

import { defaultLimits, defaultTimeouts, type Limits, type Timeouts } from '../../http/limits.ts';
import { defaultLoopLimits, type LoopLimits } from '../../simplenet/loop/loop-limits.ts';
import type { Random } from '../simulation/random.ts';
import { allFaults, noFaults, type SimulatedFaults } from '../simulation/simulated-faults.ts';

export interface Setting {
  readonly limits: Limits;
  readonly timeouts: Timeouts;
  readonly loop: LoopLimits;
  readonly faults: SimulatedFaults;
  readonly sendBufferBytes: number;
  readonly receiveBufferBytes: number;
  readonly stepMs: number;
  readonly connections: number;
  readonly atOnce: number;
  /** After so many connections the server is stopped; Infinity: when all are over. */
  readonly stopsAfter: number;
  readonly graceMs: number;
}

const NEVER = Number.POSITIVE_INFINITY;

function scaled(faults: SimulatedFaults, factor: number): SimulatedFaults {
  const entries = Object.entries(faults).map(([name, rate]) => [name, Math.min(0.9, rate * factor)]);
  return Object.fromEntries(entries) as unknown as SimulatedFaults;
}

function limitsOf(random: Random): Limits {
  return {
    ...defaultLimits,
    bodyBufferBytes: random.pick([700, 4_096, 16_384]),
    discardBytes: random.pick([500, 8_192]),
    answerBufferBytes: random.pick([10_000, 30_000]),
    requestsPerConnection: random.pick([NEVER, NEVER, NEVER, NEVER, 3, 20]),
    connections: random.pick([NEVER, NEVER, NEVER, 24]),
  };
}

const timeouts: Timeouts = {
  ...defaultTimeouts,
  headerMs: 1_000,
  idleMs: 600,
  bodyGraceMs: 700,
  bodyMs: 6_000,
  answerMs: 3_000,
  writeMs: 1_500,
  lingerMs: 400,
};

const CONNECTIONS = 60;

/** The same day with all these clients at the same time, for a server that takes them in large batches. */
export function crowded({ loop, limits, ...setting }: Setting, connections: number): Setting {
  return {
    ...setting,
    limits: { ...limits, connections: NEVER },
    loop: { ...loop, maxEventsPerTurn: 256, acceptsPerTurn: 256 },
    connections,
    atOnce: connections,
    stopsAfter: NEVER,
  };
}

export function settingOf(random: Random): Setting {
  // Time that runs while things happen brings up other courses than time that only passes when nothing else can happen;
  // but then nobody can say any more that a prompt client was prompt, and the judgement is a little more lenient.
  const stepMs = random.chance(0.25) ? 1 : 0;
  return {
    limits: limitsOf(random),
    timeouts,
    loop: {
      ...defaultLoopLimits,
      maxQueuedBytes: Number.MAX_SAFE_INTEGER,
      maxEventsPerTurn: random.pick([1, 4, 256]),
      acceptsPerTurn: random.pick([1, 8, 256]),
      receiveBufferBytes: random.pick([512, 4_096, 65_536]),
      tickMs: random.pick([1, 20, 100]),
    },
    faults: random.chance(0.15)
      ? { ...noFaults, delayedDelivery: 0.7 }
      : scaled({ ...allFaults, reset: allFaults.reset / 8 }, random.pick([0.2, 0.5, 1])),
    sendBufferBytes: random.pick([2_400, 8_192, 30_000]),
    receiveBufferBytes: random.pick([1_200, 8_192, 30_000]),
    stepMs,
    connections: CONNECTIONS,
    atOnce: random.pick([4, 16, 40]),
    stopsAfter: random.chance(0.3) ? random.below(CONNECTIONS) : NEVER,
    graceMs: random.pick([0, 50, 500, 2_000, 10_000]),
  };
}
