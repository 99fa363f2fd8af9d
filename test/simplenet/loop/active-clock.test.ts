/** The clock that leaves out what is beyond a moment and one tick. */

import { test } from 'tap';
import { ActiveClock } from '../../../simplenet/loop/active-clock.ts';

const TICK_MS = 100;

test('up to a tick late all time counts, beyond that none', async (t) => {
  const clock = new ActiveClock(TICK_MS);
  t.equal(clock.after(1_000, 900), 900, 'earlier than expected');
  t.equal(clock.after(1_000, 1_100), 1_100, 'a tick late');
  t.equal(clock.after(1_000, 1_101), 1_100, 'a tick and 1 ms late');
  t.equal(clock.at(1_101), 1_100);
  t.equal(clock.after(1_000, 61_000), 1_100, 'it stands still while what was expected does not come');
  t.equal(clock.at(61_500), 1_600, 'and then goes on');
});

test('each stall counts one tick, so a process that stalls all the time still gets older', async (t) => {
  const clock = new ActiveClock(TICK_MS);
  let hostNow = 0;
  for (let stalls = 0; stalls < 50; stalls++) {
    const startedAt = clock.at(hostNow);
    hostNow += 12_000;
    t.equal(clock.after(startedAt, hostNow), startedAt + TICK_MS);
  }
  t.equal(clock.at(hostNow), 50 * TICK_MS);
});

test('nothing is expected: nothing is late', async (t) => {
  const clock = new ActiveClock(TICK_MS);
  t.equal(clock.after(Number.POSITIVE_INFINITY, 1_000_000), 1_000_000);
});
