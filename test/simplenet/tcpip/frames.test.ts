/** Some thousands of damaged frames; frames.long.ts throws millions. And the fuzzer itself: its frames reach what they are meant for. */

import t from 'tap';
import { FrameFuzzer } from './frame-fuzzer.ts';

const FRAMES = 20_000;

t.test(`${FRAMES} damaged frames`, async (t) => {
  const fuzzer = new FrameFuzzer(1);
  let fault: string | null = null;
  while (fault === null && fuzzer.frames < FRAMES) fault = fuzzer.step();
  t.equal(fault, null);
  const idle = Object.entries(fuzzer.counters).filter(([, count]) => count === 0);
  t.same(idle, [], 'each counter has counted something');
  t.ok(fuzzer.delivered > FRAMES / 20, `${fuzzer.delivered} packets were delivered`);
});

t.test('the same seed makes the same frames', async (t) => {
  const runs = [7, 7, 8].map((seed) => {
    const fuzzer = new FrameFuzzer(seed);
    while (fuzzer.frames < 2_000) fuzzer.step();
    return [fuzzer.sent, fuzzer.delivered, fuzzer.counters];
  });
  t.same(runs[0], runs[1]);
  t.notSame(runs[0], runs[2]);
});
