/** RoundTrip: the rules of RFC 6298 one by one. */

import fc from 'fast-check';
import { test } from 'tap';
import { defaultRoundTripLimits, RoundTrip } from '../../../../simplenet/tcpip/tcp/round-trip.ts';

const fine = { minRtoMs: 1, maxRtoMs: 60_000, initialRtoMs: 1_000 };

test('before the first sample', async (t) => {
  const roundTrip = new RoundTrip(defaultRoundTripLimits);
  t.match(roundTrip, { smoothedMs: -1, variationMs: 0, minMs: Number.POSITIVE_INFINITY, rtoMs: 1_000, backoffs: 0 });
});

test('rules 2.2 and 2.3: the first sample, and each one after it', async (t) => {
  const roundTrip = new RoundTrip(fine);
  roundTrip.sample(100, 0);
  t.match(roundTrip, { smoothedMs: 100, variationMs: 50, rtoMs: 300 });
  roundTrip.sample(180, 1);
  t.match(roundTrip, { smoothedMs: 110, variationMs: 57.5, rtoMs: 340 });
  roundTrip.sample(110, 2);
  t.match(roundTrip, { smoothedMs: 110, variationMs: 43.125, rtoMs: 282.5 });
});

test('the variation counts as a tick of the clock at least', async (t) => {
  const roundTrip = new RoundTrip(fine);
  for (let i = 0; i < 100; i++) roundTrip.sample(50, i);
  t.equal(roundTrip.rtoMs, 51);
});

test('the timeout has a minimum and a maximum', async (t) => {
  const roundTrip = new RoundTrip(defaultRoundTripLimits);
  roundTrip.sample(66, 0);
  t.equal(roundTrip.rtoMs, 200, '66 + 132 is below');
  const longer = new RoundTrip(defaultRoundTripLimits);
  longer.sample(67, 0);
  t.equal(longer.rtoMs, 201);
  longer.sample(1_000_000, 0);
  t.equal(longer.rtoMs, 60_000);
  t.equal(new RoundTrip({ ...fine, minRtoMs: 2_000 }).rtoMs, 2_000);
});

test('rules 5.5 and 5.6: each expiry doubles it, up to the maximum, and a sample ends that', async (t) => {
  const roundTrip = new RoundTrip(defaultRoundTripLimits);
  const seen: number[] = [];
  for (let i = 0; i < 8; i++) {
    seen.push(roundTrip.rtoMs);
    roundTrip.backOff();
  }
  t.same(seen, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
  t.equal(roundTrip.backoffs, 8);
  roundTrip.endBackOff();
  t.match(roundTrip, { rtoMs: 1_000, backoffs: 0 });
  roundTrip.backOff();
  roundTrip.sample(100, 0);
  t.match(roundTrip, { rtoMs: 300, backoffs: 0 });
});

test('rule 5.7: three seconds after a SYN that was lost', async (t) => {
  const roundTrip = new RoundTrip(defaultRoundTripLimits);
  roundTrip.backOff();
  roundTrip.onSynLost();
  t.match(roundTrip, { rtoMs: 3_000, backoffs: 0 });
  const slow = new RoundTrip({ ...fine, initialRtoMs: 5_000 });
  slow.onSynLost();
  t.equal(slow.rtoMs, 5_000, 'and no less than it was');
});

test('RFC 7323 appendix G: many samples of a round trip move the filters as far as one', async (t) => {
  const one = new RoundTrip(fine);
  const many = new RoundTrip(fine);
  one.sample(100, 0);
  many.sample(100, 0);
  one.sample(200, 1);
  for (let i = 0; i < 20; i++) many.sample(200, 1, 20);
  t.ok(Math.abs(one.smoothedMs - many.smoothedMs) < 1, `${one.smoothedMs}, ${many.smoothedMs}`);
});

test('the smallest round trip is forgotten after ten minutes at the latest', async (t) => {
  const roundTrip = new RoundTrip(fine);
  roundTrip.sample(20, 1_000);
  roundTrip.sample(10, 2_000);
  roundTrip.sample(30, 301_000);
  t.equal(roundTrip.minMs, 10, 'in the same five minutes');
  roundTrip.sample(30, 301_001);
  t.equal(roundTrip.minMs, 10, 'in the next ones');
  roundTrip.sample(40, 601_001);
  t.equal(roundTrip.minMs, 10);
  roundTrip.sample(40, 601_002);
  t.equal(roundTrip.minMs, 30, 'of these');
  roundTrip.sample(50, 1_201_003);
  t.equal(roundTrip.minMs, 50, 'without samples for that long, at once');
});

test('any samples: the filters stay among them, and the timeout in its limits', async (t) => {
  const samples = fc.array(fc.double({ min: 0, max: 100_000, noNaN: true }), { minLength: 1, maxLength: 50 });
  fc.assert(
    fc.property(samples, fc.integer({ min: 1, max: 100 }), (all, perRoundTrip) => {
      const roundTrip = new RoundTrip(defaultRoundTripLimits);
      for (const [i, ms] of all.entries()) roundTrip.sample(ms, i, perRoundTrip);
      const { smoothedMs, variationMs, rtoMs, minMs } = roundTrip;
      if (minMs !== Math.min(...all) || smoothedMs < minMs - 1e-6 || smoothedMs > Math.max(...all) + 1e-6) return false;
      return variationMs >= 0 && rtoMs >= 200 && rtoMs <= 60_000;
    }),
  );
  t.pass();
});
