/**
 * Interruption: a call cut short by a signal is made again, and a wait is no longer for it.
 */

import t from 'tap';
import { EINTR } from '../../simplenet/abi.ts';
import { untilUninterrupted, waitUninterrupted } from '../../simplenet/interruption.ts';

t.test('untilUninterrupted', async (t) => {
  const results = [-EINTR, -EINTR, 5, -EINTR];
  t.equal(
    untilUninterrupted(() => results.shift() as number),
    5,
  );
  t.same(results, [-EINTR]);
  t.equal(
    untilUninterrupted(() => -11),
    -11,
    'other errors are passed on',
  );
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
