/** What all rules of congestion control have in common: slow start, recovery, timeouts and idle times. */

import { test } from 'tap';
import {
  type CongestionAck,
  type CongestionControl,
  initialWindowBytes,
} from '../../../../simplenet/tcpip/tcp/congestion.ts';
import { createCubic } from '../../../../simplenet/tcpip/tcp/cubic.ts';
import { createNewReno } from '../../../../simplenet/tcpip/tcp/new-reno.ts';

const MSS = 1_000;

function ackOf(changes: Partial<CongestionAck>): CongestionAck {
  const acked = changes.ackedBytes ?? MSS;
  return {
    ackedBytes: acked,
    deliveredBytes: acked,
    lostBytes: 0,
    inFlightBytes: 0,
    roundTripMs: 100,
    smoothedRoundTripMs: 100,
    isLimitedByWindow: true,
    now: 0,
    ...changes,
  };
}

/** One round trip: everything in the window is acknowledged, segment by segment. */
function roundTrip(control: CongestionControl, now: number): void {
  const acks = Math.floor(control.windowBytes / MSS);
  for (let i = 0; i < acks; i++) control.onAck(ackOf({ now: now + i / acks }));
}

/** A loss, and the whole recovery. */
function recover(control: CongestionControl, now: number): void {
  const inFlight = control.windowBytes;
  control.onLoss(inFlight, now);
  control.onAck(ackOf({ ackedBytes: 0, deliveredBytes: MSS, lostBytes: MSS, inFlightBytes: inFlight - 2 * MSS, now }));
  control.onRecovered(now);
}

test('RFC 6928: the initial window', async (t) => {
  t.equal(initialWindowBytes(1_460), 14_600);
  t.equal(initialWindowBytes(536), 5_360);
  t.equal(initialWindowBytes(1_461), 14_600);
  t.equal(initialWindowBytes(8_960), 17_920);
});

for (const [name, create, decrease] of [
  ['NewReno', createNewReno, 0.5],
  ['Cubic', createCubic, 0.7],
] as const) {
  test(`${name}: slow start doubles the window, and one ACK counts for eight segments at most`, async (t) => {
    const control = create(MSS);
    t.equal(control.slowStartThreshold, Number.POSITIVE_INFINITY);
    t.equal(control.windowBytes, 10_000);
    roundTrip(control, 0);
    t.equal(control.windowBytes, 20_000);
    control.onAck(ackOf({ ackedBytes: 8_000 }));
    t.equal(control.windowBytes, 28_000);
    control.onAck(ackOf({ ackedBytes: 8_001 }));
    t.equal(control.windowBytes, 36_000);
    control.onAck(ackOf({ ackedBytes: 0, deliveredBytes: MSS }));
    t.equal(control.windowBytes, 36_000, 'a SACK alone does not count');
    control.onSent(MSS);
  });

  test(`${name}: the window does not grow while the program has less to send`, async (t) => {
    const control = create(MSS);
    for (let i = 0; i < 100; i++) control.onAck(ackOf({ isLimitedByWindow: false, now: i }));
    t.equal(control.windowBytes, 10_000);
    recover(control, 1_000);
    const window = control.windowBytes;
    for (let i = 0; i < 100; i++) control.onAck(ackOf({ isLimitedByWindow: false, now: 1_000 + i * 100 }));
    t.equal(control.windowBytes, window);
  });

  test(`${name}: a loss, its recovery, and the threshold after it`, async (t) => {
    const control = create(MSS);
    roundTrip(control, 0);
    control.onLoss(20_000, 100);
    t.equal(control.slowStartThreshold, 20_000 * decrease);
    control.onAck(ackOf({ ackedBytes: 0, deliveredBytes: MSS, lostBytes: MSS, inFlightBytes: 18_000, now: 100 }));
    t.equal(control.windowBytes, 19_000, 'room for the first retransmission');
    control.onSent(MSS);
    control.onAck(ackOf({ ackedBytes: 0, deliveredBytes: MSS, inFlightBytes: 18_000, now: 100 }));
    t.ok(control.windowBytes <= 19_000);
    control.onRecovered(200);
    t.equal(control.windowBytes, 20_000 * decrease);
    control.onRecovered(200);
    t.equal(control.windowBytes, 20_000 * decrease, 'once');
    control.onLoss(1_000, 300);
    t.equal(control.slowStartThreshold, 2_000, 'two segments at least');
  });

  test(`${name}: after a timeout one segment, and slow start to the threshold`, async (t) => {
    const control = create(MSS);
    control.onTimeout(10_000, 0, true, 0);
    t.equal(control.slowStartThreshold, 10_000 * decrease);
    t.equal(control.windowBytes, MSS);
    control.onTimeout(1_000, 0, false, 0);
    t.equal(control.slowStartThreshold, 10_000 * decrease, 'a repetition for the same segment lowers nothing');
    control.onTimeout(10_000, 3_000, false, 0);
    t.equal(control.windowBytes, 4_000, 'beside what is still in flight');
    control.onAck(ackOf({}));
    t.equal(control.windowBytes, 5_000);
  });

  test(`${name}: after an idle time the window is the initial one again`, async (t) => {
    const control = create(MSS);
    roundTrip(control, 0);
    control.onIdle(200, 200, 0);
    t.equal(control.windowBytes, 20_000, 'not longer than the timeout');
    control.onIdle(201, 200, 0);
    t.equal(control.windowBytes, 10_000);
    recover(control, 0);
    const small = control.windowBytes;
    control.onIdle(1_000, 200, 0);
    t.equal(control.windowBytes, small, 'or less, if it was less');
  });

  test(`${name}: smaller segments`, async (t) => {
    const control = create(MSS);
    control.setMaxSegmentBytes(500);
    t.equal(control.windowBytes, 10_000, 'the window has the same bytes');
    control.onTimeout(500, 0, true, 0);
    t.equal(control.windowBytes, 500);
    t.equal(control.slowStartThreshold, 1_000);
  });
}

test('NewReno: a segment for each round trip', async (t) => {
  const control = createNewReno(MSS);
  roundTrip(control, 0);
  recover(control, 100);
  t.equal(control.windowBytes, 10_000);
  for (let i = 1; i <= 10; i++) {
    roundTrip(control, 100 * i);
    t.ok(Math.abs(control.windowBytes - (10_000 + i * MSS)) < 100 * i, `${control.windowBytes} after ${i}`);
  }
});

test('slow start ends at the threshold, and the rest of the ACK counts for avoidance', async (t) => {
  const control = createNewReno(MSS);
  control.onTimeout(8_000, 0, true, 0);
  control.onAck(ackOf({ ackedBytes: 2_000 }));
  t.equal(control.windowBytes, 3_000);
  control.onAck(ackOf({ ackedBytes: 2_000 }));
  t.equal(control.windowBytes, 4_000 + (MSS * 1_000) / 4_000);
});
