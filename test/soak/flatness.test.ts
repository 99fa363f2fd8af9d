/** Flatness: lines that are level, that creep, that step, that jitter, and those too short to tell. */

import { test } from 'tap';
import { Random } from '../simulation/random.ts';
import { type Bounds, flatnessOf, floorOf, LEAST_SAMPLES, medianOf, type Sample, slopeOf } from './flatness.ts';

/** A sample a second. */
function line(count: number, valueAt: (i: number) => number): Sample[] {
  return Array.from({ length: count }, (_, i) => ({ atMs: 1_000 * i, value: valueAt(i) }));
}

const MINUTES = 600;
const LEVEL = 100;
const bounds: Bounds = { share: 0.05, amount: 2 };
const judge = (valueAt: (i: number) => number, count = MINUTES) => flatnessOf(line(count, valueAt), bounds);

test('a level line is flat', async (t) => {
  const { isFlat, level, slopeRise, thirdsRise, bound } = judge(() => LEVEL);
  t.same({ isFlat, level, thirdsRise, bound }, { isFlat: true, level: LEVEL, thirdsRise: 0, bound: 5 });
  t.ok(Math.abs(slopeRise) < 1e-9);
});

test('a slow leak is not, however slow: it is its whole rise that counts', async (t) => {
  t.equal(judge((i) => LEVEL + (i / MINUTES) * 4.5).isFlat, true, 'within the bound');
  const leaking = judge((i) => LEVEL + (i / MINUTES) * 8);
  t.equal(leaking.isFlat, false);
  t.ok(Math.abs(leaking.slopeRise - 8) < 0.1);
  t.ok(Math.abs(leaking.thirdsRise - (8 * 2) / 3) < 0.1);
  const longer = flatnessOf(
    line(10 * MINUTES, (i) => LEVEL + (i / MINUTES) * 0.8),
    bounds,
  );
  t.equal(longer.isFlat, false, 'a tenth of it for ten times as long');
});

test('a slow leak under noise is found', async (t) => {
  const random = new Random(7);
  const noise = () => (random.next() - 0.5) * 20;
  t.equal(judge((i) => LEVEL + (i / MINUTES) * 12 + noise()).isFlat, false);
});

test('steps: one that stays is a leak, wherever it comes; one that goes again is none', async (t) => {
  for (const at of [0.3, 0.5, 0.7]) {
    t.equal(judge((i) => LEVEL + (i > at * MINUTES ? 8 : 0)).isFlat, false, `at ${at}`);
  }
  t.equal(judge((i) => LEVEL + (i > 0.5 * MINUTES && i < 0.55 * MINUTES ? 30 : 0)).isFlat, true, 'a hump');
  t.equal(judge((i) => LEVEL + Math.floor(i / 100) * 2).isFlat, false, 'a staircase');
});

test('noise alone is flat: of any kind, with any seed', async (t) => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = new Random(seed);
    if (!judge(() => LEVEL + (random.next() - 0.5) * 20).isFlat) t.fail(`even noise, seed ${seed}`);
    const phase = random.next() * 37;
    if (!judge((i) => LEVEL + ((i + phase) % 37)).isFlat) t.fail(`the saw of a garbage collector, seed ${seed}`);
    if (!judge(() => (random.chance(0.01) ? 1.5 * LEVEL : LEVEL)).isFlat) t.fail(`outliers, seed ${seed}`);
  }
  t.pass('50 seeds');
});

test('what falls is no leak', async (t) => {
  t.equal(judge((i) => 2 * LEVEL - (i / MINUTES) * LEVEL).isFlat, true);
});

test('the bound: the larger of share and amount, and not more', async (t) => {
  const rising = (rise: number, level: number) => line(MINUTES, (i) => level + (i / (MINUTES - 1)) * rise);
  t.equal(flatnessOf(rising(2, 0), { share: 0, amount: 2.001 }).isFlat, true);
  t.equal(flatnessOf(rising(2, 0), { share: 0, amount: 1.999 }).isFlat, false);
  t.equal(flatnessOf(rising(2, 1_000), { share: 0.0021, amount: 0 }).isFlat, true);
  t.equal(flatnessOf(rising(2, 1_000), { share: 0.0019, amount: 0 }).isFlat, false);
});

test('too few samples are not judged', async (t) => {
  const few = line(LEAST_SAMPLES - 1, () => LEVEL);
  t.throws(() => flatnessOf(few, bounds), RangeError);
  t.equal(
    flatnessOf(
      line(LEAST_SAMPLES, () => LEVEL),
      bounds,
    ).isFlat,
    true,
  );
});

test('growth that ends and growth that does not: the second half tells them apart', async (t) => {
  const settling = judge((i) => LEVEL + 4 * (1 - Math.exp(-i / 60))).risesPerMinute;
  t.ok(settling[0] > 0.2 && settling[1] < 0.02, settling.join(' and '));
  const leaking = judge((i) => LEVEL + i / 150).risesPerMinute;
  for (const rise of leaking) t.ok(Math.abs(rise - 0.4) < 1e-9, `${rise} a minute`);
});

test('the floor of a saw: a leak below the garbage of a collector raises it', async (t) => {
  const saw = (leak: number) => line(MINUTES, (i) => LEVEL + (i % 37) + leak * i);
  t.same(
    floorOf(saw(0), 60_000).map(({ value }) => value),
    Array(9).fill(LEVEL),
    'the tenth minute has no sample after its end',
  );
  const fine: Bounds = { share: 0, amount: 2 };
  t.equal(flatnessOf(floorOf(saw(0), 60_000), fine).isFlat, true);
  t.equal(flatnessOf(floorOf(saw(0.01), 60_000), fine).isFlat, false);
  t.same(floorOf([], 60_000), []);
  const gap = [0, 1, 150_000, 180_000].map((atMs) => ({ atMs, value: atMs }));
  t.same(
    floorOf(gap, 60_000).map(({ atMs }) => atMs),
    [0, 150_000],
    'a stretch without a sample has no floor',
  );
});

test('its parts', async (t) => {
  t.equal(medianOf([3, 1, 2]), 2);
  t.equal(medianOf([4, 1, 2, 3]), 2.5);
  t.equal(slopeOf(line(10, (i) => 5 * i)), 5 / 1_000);
  t.equal(slopeOf([{ atMs: 5, value: 1 }]), 0, 'a point has no slope');
});
