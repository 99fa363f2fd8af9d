/**
 * Interruption: a call that a signal interrupts is made again, and its wait does not become longer.
 */

import t from 'tap';
import { EINTR } from '../../../simplenet/kernel/abi.ts';
import { retryOnEintr, tryDespiteEintr, waitUninterrupted } from '../../../simplenet/kernel/interruption.ts';

t.test('retryOnEintr', async (t) => {
  const results = [-EINTR, -EINTR, 5, -EINTR];
  t.equal(
    retryOnEintr(() => results.shift() as number),
    5,
  );
  t.same(results, [-EINTR]);
  t.equal(
    retryOnEintr(() => -11),
    -11,
    'other errors are passed on',
  );
});

t.test('a call that is always interrupted, and by no signal', async (t) => {
  for (const wait of [
    (call: () => number) => retryOnEintr(call),
    (call: () => number) => waitUninterrupted(-1, call),
    (call: () => number) => waitUninterrupted(60_000, call),
  ]) {
    let calls = 0;
    const always = () => {
      calls++;
      return -EINTR;
    };
    t.equal(wait(always), -EINTR);
    t.ok(calls >= 1_000 && calls % 1_000 === 0, `${calls} calls`);
  }
});

t.test('a call that does not wait is tried a few times', async (t) => {
  for (const call of [tryDespiteEintr, (call: () => number) => waitUninterrupted(0, call)]) {
    let calls = 0;
    t.equal(
      call(() => (++calls < 16 ? -EINTR : 5)),
      5,
    );
    calls = 0;
    t.equal(
      call(() => (++calls < 17 ? -EINTR : 5)),
      -EINTR,
    );
  }
});

t.test('a wait that a profiler interrupts a thousand times a second goes on', async (t) => {
  let calls = 0;
  const startedAt = performance.now();
  const profiled = () => {
    calls++;
    if (performance.now() - startedAt > 400) return 7;
    for (const until = performance.now() + 0.2; performance.now() < until; );
    return -EINTR;
  };
  t.equal(retryOnEintr(profiled), 7);
  t.ok(calls > 0);
});

t.test('waitUninterrupted', async (t) => {
  const given: number[] = [];
  const interruptedTwice = (leftMs: number) => (given.push(leftMs) <= 2 ? -EINTR : 3);
  t.equal(waitUninterrupted(-1, interruptedTwice), 3);
  t.same(given.splice(0), [-1, -1, -1], 'without limit stays without limit');
  t.equal(waitUninterrupted(0, interruptedTwice), 3);
  t.same(given.splice(0), [0, 0, 0]);
  const slow = (leftMs: number) => {
    given.push(leftMs);
    if (leftMs === 0) return 0;
    const until = performance.now() + 10;
    while (performance.now() < until);
    return -EINTR;
  };
  t.equal(waitUninterrupted(25, slow), 0);
  t.equal(given[0], 25);
  t.ok(
    given.every((leftMs, i) => i === 0 || leftMs < (given[i - 1] as number)),
    given.join(' '),
  );
});
