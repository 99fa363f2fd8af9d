/** The watch over what a peer takes, on a clock and with a peer that the test moves by hand. */

import { test } from 'tap';
import { ActiveClock } from '../../../simplenet/loop/active-clock.ts';
import { Deadlines } from '../../../simplenet/loop/deadlines.ts';
import type { Host } from '../../../simplenet/loop/host.ts';
import { OutputWatch } from '../../../simplenet/loop/output-watch.ts';

const EVERY_MS = 8_000;
const BYTES = 1_000;
const FIRST_LOOK_MS = 1_000;

class Peer {
  taken = 0;
  looks = 0;
  isStuck = false;

  takenBytes(): number {
    this.looks++;
    return this.taken;
  }

  onPeerStuck(): void {
    this.isStuck = true;
  }
}

function setUp(everyMs = EVERY_MS) {
  const host = { now: () => 0, alarm: () => ({ cancel: () => {} }) } as unknown as Host;
  const deadlines = new Deadlines(host, new ActiveClock(1), 1, () => {});
  const peer = new Peer();
  const watch = new OutputWatch(peer, deadlines, { everyMs, bytes: BYTES });
  return { peer, watch, judge: (now: number) => deadlines.judge(now) };
}

test('nothing taken since the first look: stuck when the time is over, and not before', async (t) => {
  const { peer, watch, judge } = setUp();
  watch.start(0);
  judge(FIRST_LOOK_MS - 1);
  t.equal(peer.looks, 0);
  judge(FIRST_LOOK_MS);
  t.equal(peer.looks, 1);
  judge(EVERY_MS - 1);
  t.equal(peer.isStuck, false);
  judge(EVERY_MS);
  t.equal(peer.isStuck, true);
});

test('as many bytes as it must take, each time; then one fewer', async (t) => {
  const { peer, watch, judge } = setUp();
  watch.start(0);
  judge(FIRST_LOOK_MS);
  for (let i = 1; i <= 5; i++) {
    peer.taken += i === 1 ? (BYTES * 7) / 8 : BYTES;
    judge(i * EVERY_MS);
    t.equal(peer.isStuck, false, `after ${i} times`);
  }
  peer.taken += BYTES - 1;
  judge(6 * EVERY_MS);
  t.equal(peer.isStuck, true);
});

test('bytes taken in one step count for three following spans, however many they are', async (t) => {
  for (const [steps, spans] of [
    [3, 3],
    [4, 4],
    [100, 4],
  ] as const) {
    const { peer, watch, judge } = setUp();
    watch.start(0);
    judge(FIRST_LOOK_MS);
    peer.taken += BYTES;
    judge(EVERY_MS);
    peer.taken += steps * BYTES - BYTES / 8; // it has been ahead by an eighth
    for (let i = 2; i <= spans + 1; i++) judge(i * EVERY_MS);
    t.equal(peer.isStuck, false, `${steps} times as much, after ${spans} spans`);
    judge((spans + 2) * EVERY_MS);
    t.equal(peer.isStuck, true, `${steps} times as much, after ${spans + 1} spans`);
  }
});

test('more than a kernel takes alone before the first look counts for three spans', async (t) => {
  for (const [taken, spans] of [
    [512 * 1024, 0],
    [512 * 1024 + 1, 3],
  ] as const) {
    const { peer, watch, judge } = setUp();
    watch.start(0);
    peer.taken = taken;
    judge(FIRST_LOOK_MS);
    for (let i = 1; i <= spans; i++) judge(i * EVERY_MS);
    t.equal(peer.isStuck, false);
    judge((spans + 1) * EVERY_MS);
    t.equal(peer.isStuck, true, `${taken} bytes, after ${spans + 1} spans`);
  }
});

test('a peer that was ahead when the watch stopped is so when it starts again', async (t) => {
  const { peer, watch, judge } = setUp();
  watch.start(0);
  judge(FIRST_LOOK_MS);
  peer.taken += 2 * BYTES;
  judge(EVERY_MS);
  watch.stop();
  watch.start(EVERY_MS);
  judge(EVERY_MS + FIRST_LOOK_MS);
  judge(2 * EVERY_MS);
  t.equal(peer.isStuck, false);
  judge(3 * EVERY_MS);
  t.equal(peer.isStuck, true);
});

test('of the first time only the part behind the first look counts', async (t) => {
  for (const [taken, isStuck] of [
    [875, false],
    [874, true],
  ] as const) {
    const { peer, watch, judge } = setUp();
    watch.start(0);
    judge(FIRST_LOOK_MS);
    peer.taken += taken;
    judge(EVERY_MS);
    t.equal(peer.isStuck, isStuck, `${taken} bytes in seven eighths of the time`);
  }
});

test('the first look is within a quarter of a short time', async (t) => {
  const { peer, watch, judge } = setUp(400);
  watch.start(0);
  judge(99);
  t.equal(peer.looks, 0);
  judge(100);
  t.equal(peer.looks, 1);
});

test('a stopped watch asks nothing; started again, it begins a new count', async (t) => {
  const { peer, watch, judge } = setUp();
  watch.start(0);
  watch.start(500);
  judge(FIRST_LOOK_MS);
  t.equal(peer.looks, 1, 'it ran already');
  watch.stop();
  watch.stop();
  judge(10 * EVERY_MS);
  t.equal(peer.looks, 1);
  watch.start(10 * EVERY_MS);
  judge(10 * EVERY_MS + FIRST_LOOK_MS);
  judge(11 * EVERY_MS - 1);
  t.equal(peer.isStuck, false);
  watch.remove();
  judge(20 * EVERY_MS);
  t.equal(peer.isStuck, false);
});
