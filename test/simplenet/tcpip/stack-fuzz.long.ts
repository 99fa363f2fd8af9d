/**
 * Damaged frames at a whole stack, for a minute, or more of them by hand:
 *
 *     TAP_TIMEOUT=0 FRAMES=10000000 SEED=2 node build/test/simplenet/tcpip/stack-fuzz.long.js
 */

import t from 'tap';
import { StackFuzzer } from './stack-fuzzer.ts';

const BUDGET_MS = 60_000;
const MS_PER_DAY = 86_400_000;
const ROUNDS_PER_CHECK = 20;
const FRAMES_PER_ROUND = 5_000;
const MAX_GROWTH_BYTES = 16 * 1024 * 1024;

const seed = Number(process.env.SEED ?? Math.floor(Date.now() / MS_PER_DAY));
const frames = Number(process.env.FRAMES ?? Number.POSITIVE_INFINITY);

t.test(`damaged frames (seed ${seed})`, { timeout: 0 }, async (t) => {
  const fuzzer = new StackFuzzer(seed, FRAMES_PER_ROUND);
  const startedAt = performance.now();
  const isOver = () =>
    fuzzer.frames >= frames || (frames === Number.POSITIVE_INFINITY && performance.now() - startedAt > BUDGET_MS);
  let problem: string | null = null;
  let first = 0;
  while (problem === null && !isOver()) {
    for (let round = 0; round < ROUNDS_PER_CHECK && problem === null; round++) problem = await fuzzer.round();
    if (first === 0) first = await fuzzer.site.memoryBytes();
    t.ok(await fuzzer.isServed(), `the friend is served after ${fuzzer.frames} frames`);
  }
  t.equal(problem, null);
  const growth = (await fuzzer.site.memoryBytes()) - first;
  t.ok(growth < MAX_GROWTH_BYTES, `${growth} bytes more`);
  t.comment(
    `${fuzzer.frames} frames; ${fuzzer.good} exchanges were good beside them, ${fuzzer.failed} were not; ${growth} bytes more`,
  );
  t.same(await fuzzer.site.close(), []);
});
