/** Cubic: the formulas of RFC 9438, with the numbers that they give. */

import { test } from 'tap';
import type { CongestionControl } from '../../../../simplenet/tcpip/tcp/congestion.ts';
import { createCubic } from '../../../../simplenet/tcpip/tcp/cubic.ts';

const MSS = 1_000;

/** All ACKs from `from` to `to`, one for each millisecond in which the window allows one. Returns the window in segments. */
function run(control: CongestionControl, from: number, to: number, roundTripMs: number, isLimited = true): number {
  let credit = 0;
  for (let now = from; now < to; now++) {
    credit += control.windowBytes / roundTripMs;
    const acked = Math.floor(credit / MSS) * MSS;
    if (acked === 0) continue;
    credit -= acked;
    control.onAck({
      ackedBytes: acked,
      deliveredBytes: acked,
      lostBytes: 0,
      inFlightBytes: control.windowBytes,
      roundTripMs,
      smoothedRoundTripMs: roundTripMs,
      isLimitedByWindow: isLimited,
      now,
    });
  }
  return control.windowBytes / MSS;
}

/** A control whose window is `segments` before a loss. */
function grown(segments: number): CongestionControl {
  const control = createCubic(MSS);
  while (control.windowBytes < segments * MSS) {
    control.onAck({
      ackedBytes: Math.min(8 * MSS, segments * MSS - control.windowBytes),
      deliveredBytes: 0,
      lostBytes: 0,
      inFlightBytes: 0,
      roundTripMs: 100,
      smoothedRoundTripMs: 100,
      isLimitedByWindow: true,
      now: 0,
    });
  }
  return control;
}

function lose(control: CongestionControl, now: number): void {
  control.onLoss(control.windowBytes, now);
  control.onRecovered(now);
}

function isNear(actual: number, expected: number, part = 0.02): boolean {
  return Math.abs(actual - expected) <= expected * part;
}

test('section 4.2: from 0.7 of the window back to it in K seconds, flat there, and then faster', async (t) => {
  const control = grown(1_000);
  lose(control, 0);
  t.equal(control.windowBytes, 700 * MSS);
  // K = cbrt(1000 * 0.3 / 0.4) = 9.09 s, and W(t) = 0.4 * (t - K)^3 + 1000, a round trip ahead.
  for (const [from, to, expected] of [
    [0, 2, 857],
    [2, 5, 974],
    [5, 9, 1_000],
    [9, 12, 1_011],
    [12, 15, 1_088],
    [15, 18, 1_294],
  ] as const) {
    const window = run(control, from * 1_000, to * 1_000, 100);
    t.ok(isNear(window, expected), `${window} at ${to} s, not ${expected}`);
  }
});

test('section 4.7: a window that shrinks twice leaves room for others', async (t) => {
  const control = grown(1_000);
  lose(control, 0);
  run(control, 0, 1_000, 100);
  const second = control.windowBytes / MSS;
  lose(control, 1_000);
  // The plateau is 0.85 of the window at the second loss: the growth is flat there.
  const seconds = Math.cbrt((second * 0.15) / 0.4);
  const window = run(control, 1_000, 1_000 + seconds * 1_000, 100);
  t.ok(isNear(window, second * 0.85), `${window}, not ${second * 0.85}`);
});

test('section 4.3: on short round trips it grows as NewReno would', async (t) => {
  const control = grown(10);
  lose(control, 0);
  t.equal(control.windowBytes, 7 * MSS);
  // 0.53 segments for each round trip of 10 ms up to the window before the loss, and then one.
  const window = run(control, 0, 50, 10);
  t.ok(window > 9 && window < 10, `${window}`);
  const later = run(control, 50, 250, 10);
  t.ok(later > 24 && later < 31, `${later}`);
});

test('section 4.8: after a timeout it grows from where slow start ends', async (t) => {
  const control = grown(1_000);
  control.onTimeout(1_000 * MSS, 0, true, 0);
  t.equal(control.slowStartThreshold, 700 * MSS);
  let now = 0;
  while (control.windowBytes < 700 * MSS) {
    run(control, now, now + 100, 100);
    now += 100;
  }
  const window = run(control, now, now + 5_000, 100);
  // K is zero: 0.4 * 5^3 above 700.
  t.ok(isNear(window, 750), `${window}`);
});

test('section 5.8: time in which the window was not used does not count', async (t) => {
  const used = grown(1_000);
  const unused = grown(1_000);
  const idle = grown(1_000);
  for (const control of [used, unused, idle]) {
    lose(control, 0);
    run(control, 0, 2_000, 100);
  }
  run(unused, 2_000, 20_000, 100, false);
  idle.onIdle(100, 200, 20_000);
  const expected = run(used, 2_000, 4_000, 100);
  const afterUnused = run(unused, 20_000, 22_000, 100);
  const afterIdle = run(idle, 20_000, 22_000, 100);
  t.ok(isNear(afterUnused, expected), `${afterUnused}, not ${expected}`);
  t.ok(isNear(afterIdle, expected), `${afterIdle}, not ${expected}`);
});

test('section 4.2: a window grows by half of itself in a round trip at most', async (t) => {
  const control = grown(10);
  lose(control, 0);
  run(control, 0, 100, 100);
  const before = control.windowBytes / MSS;
  const window = run(control, 60_000, 60_100, 100);
  t.ok(window <= before * 1.7, `${window} after ${before}`);
});
