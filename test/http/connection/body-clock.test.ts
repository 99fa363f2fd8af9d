import { test } from 'tap';
import { BodyClock, SLOW_BYTES_PER_SECOND } from '../../../http/connection/body-clock.ts';
import { defaultTimeouts } from '../../../http/limits.ts';

const timeouts = { ...defaultTimeouts, bodyGraceMs: 500, bodyMinBytesPerSecond: 100, bodyMs: 5_000 };

test('a grace, then an average, then a cap', async (t) => {
  const clock = new BodyClock(timeouts);
  clock.run(1_000);
  t.equal(clock.nextCheckMs(1_000, 0), 500);
  t.equal(clock.nextCheckMs(1_499, 0), 1);
  t.equal(clock.nextCheckMs(1_500, 0), 0, 'nothing at all within the grace');
  t.equal(clock.nextCheckMs(1_500, 1), 1_000);
  t.equal(clock.nextCheckMs(2_500, 100), 1_000, 'just enough');
  t.equal(clock.nextCheckMs(2_500, 99), 0, 'one byte too few');
  t.equal(clock.nextCheckMs(5_900, 1_000_000), 100);
  t.equal(clock.nextCheckMs(5_999, 1_000_000), 1);
  t.equal(clock.nextCheckMs(6_000, 1_000_000), 0, 'the cap');
});

test('how far a client is behind, in the time that the clock has run', async (t) => {
  const clock = new BodyClock(timeouts);
  clock.run(1_000);
  t.equal(clock.behindMs(1_500, 0), 500);
  t.equal(clock.behindMs(3_000, SLOW_BYTES_PER_SECOND), 1_000);
  t.equal(clock.behindMs(3_000, 3 * SLOW_BYTES_PER_SECOND), -1_000);
  clock.stop(3_000);
  t.equal(clock.behindMs(9_000, 0), 2_000);
});

test('while the handler makes the client wait, the clock stands', async (t) => {
  const clock = new BodyClock(timeouts);
  clock.run(0);
  clock.stop(400);
  t.equal(clock.nextCheckMs(100_000, 0), 100);
  clock.run(100_000);
  clock.run(100_050);
  t.equal(clock.nextCheckMs(100_099, 0), 1, 'the clock runs on, and does not start again');
  t.equal(clock.nextCheckMs(100_100, 0), 0);
});

test('stopping again and again extends nothing', async (t) => {
  const clock = new BodyClock(timeouts);
  let now = 0;
  for (let i = 0; i < 100; i++) {
    clock.run(now);
    now += 49;
    clock.stop(now);
    now += 1_000;
  }
  t.equal(clock.nextCheckMs(now, 1_000_000), 100);
});
