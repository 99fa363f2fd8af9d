/**
 * Damaged frames for a minute, or as many as you want:
 *
 *     TAP_TIMEOUT=0 FRAMES=10000000 SEED=2 node build/test/simplenet/tcpip/frames.long.js
 *
 * The heap must not grow with their number.
 */

import t from 'tap';
import { collectGarbage } from '../../support/collect-garbage.ts';
import { FrameFuzzer } from './frame-fuzzer.ts';

const SEED = Number(process.env.SEED ?? 1);
const FRAMES = Number(process.env.FRAMES ?? Number.POSITIVE_INFINITY);
const BUDGET_MS = process.env.FRAMES === undefined ? 60_000 : Number.POSITIVE_INFINITY;

/** Between two looks at the clock. */
const BATCH = 10_000;

/** What the tables hold at their limits, and compiled code. */
const MAX_GROWTH_BYTES = 16 * 1024 * 1024;

t.test(`damaged frames (seed ${SEED})`, { timeout: 0 }, async (t) => {
  const fuzzer = new FrameFuzzer(SEED);
  const startedAt = performance.now();
  let fault: string | null = null;
  let first = 0;
  while (fault === null && fuzzer.frames < FRAMES && performance.now() - startedAt < BUDGET_MS) {
    for (let i = 0; i < BATCH && fault === null; i++) fault = fuzzer.step();
    if (first === 0) first = memoryInUse();
  }
  t.equal(fault, null);
  const growth = memoryInUse() - first;
  t.ok(growth < MAX_GROWTH_BYTES, `${growth} bytes more than after ${BATCH} frames`);
  t.comment(`${fuzzer.frames} frames, ${fuzzer.delivered} packets delivered, ${fuzzer.sent} frames sent`);
  t.comment(JSON.stringify(fuzzer.counters));
});

/** After a full collection: how much waits to be collected depends on what else the machine does. */
function memoryInUse(): number {
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
