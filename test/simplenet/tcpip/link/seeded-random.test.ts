/**
 * Seeded random: repeatable, spread evenly enough, and the same on every machine.
 *
 * Next: simulated-wire.test.ts
 */

import { test } from 'tap';
import { seededRandom } from '../../../../simplenet/tcpip/link/seeded-random.ts';

function numbersOf(seed: number, count: number): number[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => random());
}

test('the same seed, the same numbers', async (t) => {
  t.same(numbersOf(7, 100), numbersOf(7, 100));
  t.notSame(numbersOf(7, 100), numbersOf(8, 100));
  t.same(
    numbersOf(1, 3).map((number) => Math.floor(number * 1e6)),
    [627073, 2735, 527447],
    'the same on every machine',
  );
});

test('from 0 up to 1, evenly', async (t) => {
  const numbers = numbersOf(3, 10_000);
  t.ok(numbers.every((number) => number >= 0 && number < 1));
  for (let tenth = 0; tenth < 10; tenth++) {
    const share = numbers.filter((number) => Math.floor(number * 10) === tenth).length;
    t.ok(share > 850 && share < 1_150, `${share} of 10,000 in tenth ${tenth}`);
  }
});
