/** Sequence numbers: comparisons around 2^32, and against whole numbers that do not wrap. */

import fc from 'fast-check';
import { test } from 'tap';
import {
  add,
  difference,
  isAfter,
  isAtOrAfter,
  isAtOrBefore,
  isBefore,
  isWithin,
} from '../../../../simplenet/tcpip/tcp/sequence.ts';

const LAST = 0xffff_ffff;

test('numbers go round at 2^32', async (t) => {
  t.equal(add(LAST, 1), 0);
  t.equal(add(0, -1), LAST);
  t.equal(difference(0, LAST), 1);
  t.equal(difference(LAST, 0), -1);
  t.ok(isBefore(LAST, 0));
  t.notOk(isBefore(0, LAST));
  t.ok(isAfter(0, LAST));
  t.notOk(isAfter(LAST, 0));
  t.notOk(isBefore(7, 7));
  t.notOk(isAfter(7, 7));
  t.ok(isAtOrBefore(7, 7) && isAtOrBefore(6, 7) && !isAtOrBefore(8, 7));
  t.ok(isAtOrAfter(7, 7) && isAtOrAfter(8, 7) && !isAtOrAfter(6, 7));
});

test('a window has its first number and not the one behind its last', async (t) => {
  t.notOk(isWithin(LAST - 1, LAST, 3));
  t.ok(isWithin(LAST, LAST, 3));
  t.ok(isWithin(1, LAST, 3));
  t.notOk(isWithin(2, LAST, 3));
  t.notOk(isWithin(5, 5, 0), 'an empty window has no number');
});

test('positions less than 2^31 apart compare as whole numbers do', async (t) => {
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 40 }), fc.integer({ min: -(2 ** 31) + 1, max: 2 ** 31 - 1 }), (position, apart) => {
      const from = position >>> 0;
      const to = add(from, apart);
      return (
        difference(to, from) === apart &&
        isBefore(from, to) === apart > 0 &&
        isAfter(from, to) === apart < 0 &&
        isAtOrBefore(from, to) === apart >= 0 &&
        isAtOrAfter(from, to) === apart <= 0
      );
    }),
  );
  t.pass();
});
