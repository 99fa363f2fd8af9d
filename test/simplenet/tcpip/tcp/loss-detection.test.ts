/** LossDetection: RACK against its pseudo-code, NewReno, tail loss probes, and the bookkeeping of both. */

import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { test } from 'tap';
import { type AckOutcome, LossDetection } from '../../../../simplenet/tcpip/tcp/loss-detection.ts';
import { RoundTrip } from '../../../../simplenet/tcpip/tcp/round-trip.ts';
import { add, difference } from '../../../../simplenet/tcpip/tcp/sequence.ts';
import { cpuMsOf } from '../../../support/machine-time.ts';
import { LossModel } from './loss-model.ts';

const MSS = 100;
const NEVER = Number.POSITIVE_INFINITY;

interface FlightOptions {
  readonly hasSack?: boolean;
  readonly first?: number;
  readonly maxSegments?: number;
}

/** A sender's view: positions count from the first byte, and segments have 100 bytes. */
class Flight {
  readonly loss: LossDetection;
  readonly roundTrip = new RoundTrip({ minRtoMs: 200, maxRtoMs: 60_000, initialRtoMs: 1_000 });
  readonly #first: number;
  constructor({ hasSack = true, first = 0, maxSegments = 10_000 }: FlightOptions = {}) {
    this.#first = first;
    this.loss = new LossDetection({ firstSequence: first, maxSegmentBytes: MSS, hasSack, maxSegments });
  }
  send(count: number, now: number): void {
    for (let i = 0; i < count; i++) this.loss.onSent(MSS, now);
  }
  ack(position: number, blocks: readonly number[], now: number, more: { echoedAt?: number; isBare?: boolean } = {}) {
    const acknowledgment = add(this.#first, position);
    const sackBlocks = blocks.map((block) => add(this.#first, block));
    const ack = { acknowledgment, sackBlocks, echoedAt: -1, isBare: true, ...more };
    const outcome: AckOutcome = { ...this.loss.onAcknowledgment(ack, this.roundTrip, now) };
    if (outcome.roundTripMs >= 0) this.roundTrip.sample(outcome.roundTripMs, now);
    return outcome;
  }
  /** Where the lost bytes are, in the order in which they are sent again now. */
  resendAll(now: number): number[] {
    const positions: number[] = [];
    while (this.loss.nextLostSequence >= 0) {
      positions.push(difference(this.loss.nextLostSequence, this.#first));
      this.loss.onLostSent(Math.min(MSS, this.loss.nextLostLength), now);
    }
    return positions;
  }
  describe(): object {
    const { loss } = this;
    const lost = loss.nextLostSequence;
    return {
      first: difference(loss.firstUnacknowledged, this.#first),
      next: difference(loss.nextSequence, this.#first),
      recovery: loss.recovery,
      inFlightBytes: loss.inFlightBytes,
      lostBytes: loss.lostBytes,
      sackedBytes: loss.sackedBytes,
      nextLost: lost < 0 ? -1 : difference(lost, this.#first),
    };
  }
}

test('acknowledgments without loss', async (t) => {
  const flight = new Flight({ first: 0xffff_ff9c });
  flight.send(3, 0);
  t.equal(flight.loss.outstandingBytes, 300);
  t.match(flight.ack(100, [], 20), { ackedBytes: 100, deliveredBytes: 100, lostBytes: 0, roundTripMs: 20 });
  t.equal(flight.loss.firstUnacknowledged, 0, 'across 2^32');
  t.match(flight.ack(250, [], 30), { ackedBytes: 150, deliveredBytes: 100 }, 'a part of a segment is not counted');
  t.equal(flight.loss.inFlightBytes, 50);
  t.match(flight.ack(300, [], 40), { ackedBytes: 50, deliveredBytes: 50, hasEnteredRecovery: false });
  t.equal(flight.loss.nextLostLength, 0);
  t.match(flight.describe(), { inFlightBytes: 0, nextLost: -1, recovery: 'none' });
});

test('a sample is that of the oldest segment that was sent once', async (t) => {
  const flight = new Flight();
  flight.send(1, 0);
  flight.send(1, 10);
  t.equal(flight.ack(200, [], 50).roundTripMs, 50, 'the peer waited for the second one');
  flight.send(2, 100);
  flight.loss.onRetransmissionTimeout(flight.roundTrip, 1_000);
  t.same(flight.resendAll(1_000), [200, 300]);
  t.equal(flight.ack(300, [], 1_050).roundTripMs, -1, 'Karn: of which of both?');
  t.equal(flight.ack(400, [], 1_060, { echoedAt: 1_000 }).roundTripMs, 60, 'the timestamp tells');
  flight.send(1, 2_000);
  t.equal(flight.ack(400, [], 2_050, { echoedAt: 1_999 }).roundTripMs, -1, 'nothing new, no sample');
  t.equal(flight.ack(500, [], 1_990).roundTripMs, 0, 'never below zero');
});

test('three segments that have arrived behind a gap: the first is lost at once', async (t) => {
  const flight = new Flight();
  flight.send(6, 0);
  t.match(flight.ack(0, [100, 200], 20), { deliveredBytes: 100, lostBytes: 0 });
  t.match(flight.ack(0, [100, 300], 21), { deliveredBytes: 100, lostBytes: 0 });
  t.ok(flight.loss.reorderingDeadlineAt < 30, `${flight.loss.reorderingDeadlineAt}`);
  t.match(flight.ack(0, [100, 400], 22), { deliveredBytes: 100, lostBytes: 100, hasEnteredRecovery: true });
  t.match(flight.describe(), { recovery: 'fast', inFlightBytes: 200, lostBytes: 100, sackedBytes: 300, nextLost: 0 });
  t.match(flight.ack(0, [100, 500], 23), { hasEnteredRecovery: false }, 'one recovery');
  t.same(flight.resendAll(24), [0]);
  t.match(flight.ack(500, [], 44), { hasLeftRecovery: false, deliveredBytes: 100 });
  t.match(flight.ack(600, [], 45), { hasLeftRecovery: true, deliveredBytes: 100 });
  t.match(flight.describe(), { recovery: 'none', inFlightBytes: 0, sackedBytes: 0 });
});

test('a segment that arrives before one that has arrived is joined with it', async (t) => {
  const flight = new Flight();
  flight.send(5, 0);
  flight.ack(0, [300, 400], 20);
  t.match(flight.ack(0, [200, 300], 21), { deliveredBytes: 100 }, 'a peer that reports them one by one');
  t.match(flight.ack(0, [200, 400], 22), { deliveredBytes: 0 });
  t.match(flight.describe(), { sackedBytes: 200 });
  t.match(flight.ack(500, [], 30), { deliveredBytes: 300 });
  t.match(flight.describe(), { sackedBytes: 0, inFlightBytes: 0 });
});

test('fewer segments behind a gap: the reordering timer finds the loss', async (t) => {
  const flight = new Flight();
  flight.send(1, 0);
  flight.ack(100, [], 20);
  flight.send(2, 100);
  t.equal(flight.loss.reorderingDeadlineAt, NEVER);
  t.match(flight.ack(100, [200, 300], 120), { lostBytes: 0 });
  t.equal(flight.loss.reorderingDeadlineAt, 125, 'a round trip and a quarter of the smallest one after it was sent');
  t.match(flight.loss.onReorderingTimeout(flight.roundTrip, 124), { lostBytes: 0, hasEnteredRecovery: false });
  t.match(flight.loss.onReorderingTimeout(flight.roundTrip, 125), { lostBytes: 100, hasEnteredRecovery: true });
  t.equal(flight.loss.reorderingDeadlineAt, NEVER);
});

test('after reordering was seen, three segments are not enough, and duplicates make the window longer', async (t) => {
  const flight = new Flight();
  flight.send(3, 0);
  flight.ack(0, [100, 200], 20);
  flight.ack(200, [], 21);
  flight.ack(300, [], 22);
  flight.send(8, 100);
  t.match(flight.ack(300, [400, 800], 120), { lostBytes: 0 }, 'it may only be late');
  t.equal(flight.loss.reorderingDeadlineAt, 125);
  t.match(flight.ack(300, [100, 200, 400, 800], 121), { hasDuplicateSack: true, lostBytes: 0 });
  t.equal(flight.loss.reorderingDeadlineAt, 130, 'two quarters');
  flight.ack(300, [100, 200, 400, 800], 121);
  t.equal(flight.loss.reorderingDeadlineAt, 130, 'once in a round trip');
  for (let i = 0; i < 9; i++) {
    const base = 1_000 * (i + 1);
    flight.ack(difference(flight.loss.nextSequence, 0), [], base);
    flight.send(2, base);
    flight.ack(difference(flight.loss.nextSequence, 200), [0, 10], base + 20);
  }
  flight.ack(
    difference(flight.loss.nextSequence, 200),
    [difference(flight.loss.nextSequence, 100), difference(flight.loss.nextSequence, 0)],
    9_020,
  );
  t.ok(flight.loss.reorderingDeadlineAt - 9_020 <= flight.roundTrip.smoothedMs, 'never longer than a round trip');
});

test('sixteen recoveries without duplicates make the window short again', async (t) => {
  for (const recoveries of [15, 16]) {
    const flight = new Flight();
    flight.send(2, 0);
    flight.ack(0, [100, 200], 20);
    flight.ack(200, [0, 10], 20);
    let base = 200;
    for (let i = 0; i < recoveries; i++) {
      flight.send(1, i * 1_000);
      flight.loss.onRetransmissionTimeout(flight.roundTrip, i * 1_000 + 500);
      flight.resendAll(i * 1_000 + 500);
      base += 100;
      t.equal(flight.ack(base, [], i * 1_000 + 520).hasLeftRecovery, true);
    }
    flight.send(2, 90_000);
    flight.ack(base, [base + 100, base + 200], 90_020);
    t.equal(flight.loss.reorderingDeadlineAt, recoveries === 15 ? 90_030 : 90_025, `${recoveries}`);
  }
});

test('a retransmission that is lost again is found by what was sent after it', async (t) => {
  const flight = new Flight();
  flight.send(5, 0);
  flight.ack(0, [100, 400], 20);
  t.same(flight.resendAll(20), [0]);
  flight.send(1, 21);
  t.match(flight.ack(0, [100, 500], 22), { lostBytes: 0 });
  t.match(flight.ack(0, [100, 600], 42), { lostBytes: 100, hasEnteredRecovery: false });
  t.same(flight.resendAll(43), [0]);
});

test('an ACK of the first transmission does not count as that of the second', async (t) => {
  for (const [echoedAt, arrivesAt, isBelieved] of [
    [20, 41, true],
    [19, 41, false],
    [-1, 41, true],
    [-1, 30, false],
  ] as const) {
    const flight = new Flight();
    flight.send(1, 0);
    flight.ack(100, [], 20, { echoedAt: 0 });
    flight.send(2, 0);
    flight.loss.onRetransmissionTimeout(flight.roundTrip, 20);
    flight.loss.onLostSent(MSS, 20.5);
    flight.ack(100, [200, 300], 20.6, { echoedAt: 0 });
    flight.send(1, 20.4);
    flight.ack(200, [200, 300], arrivesAt, { echoedAt });
    // What was sent before the retransmission is lost if the retransmission has arrived, and a round trip has passed.
    t.equal(
      flight.loss.reorderingDeadlineAt !== NEVER || flight.loss.lostBytes > 0,
      isBelieved,
      `${echoedAt} ${arrivesAt}`,
    );
  }
});

test('without SACK: three duplicate ACKs, then each partial one finds the next loss', async (t) => {
  const flight = new Flight({ hasSack: false });
  flight.send(10, 0);
  t.match(flight.ack(0, [], 20), { deliveredBytes: 100, lostBytes: 0 });
  flight.ack(0, [], 20, { isBare: false });
  t.equal(flight.loss.inFlightBytes, 900, 'one has left the network: limited transmit, RFC 3042');
  flight.ack(0, [], 21);
  t.match(flight.ack(0, [], 22), { lostBytes: 100, hasEnteredRecovery: true });
  t.match(flight.describe(), { recovery: 'fast', inFlightBytes: 600, nextLost: 0 });
  t.same(flight.resendAll(22), [0]);
  flight.ack(0, [], 23);
  t.match(flight.ack(600, [], 42), { ackedBytes: 600, deliveredBytes: 200, lostBytes: 100, hasEnteredRecovery: false });
  t.same(flight.resendAll(42), [600], 'the next hole');
  t.match(flight.ack(1_000, [], 62), { hasLeftRecovery: true, lostBytes: 0 });
  t.match(flight.describe(), { recovery: 'none', inFlightBytes: 0 });
  flight.send(4, 70);
  for (let i = 0; i < 4; i++)
    t.match(flight.ack(1_000, [], 71), { lostBytes: 0 }, 'RFC 6582 section 4.1: echoes of the recovery');
  flight.ack(1_100, [], 90);
  for (let i = 0; i < 3; i++) flight.ack(1_100, [], 91);
  t.match(flight.describe(), { recovery: 'fast', nextLost: 1_100 });
  t.equal(flight.loss.probeDelayMs(flight.roundTrip), NEVER, 'probes need SACK');
});

test('without SACK a peer cannot make the pipe negative, and old duplicates mean nothing', async (t) => {
  const flight = new Flight({ hasSack: false });
  t.match(flight.ack(0, [], 0), { deliveredBytes: 0 });
  flight.send(2, 0);
  for (let i = 0; i < 10; i++) flight.ack(0, [], 10);
  t.equal(flight.loss.inFlightBytes, 0);
  t.same(flight.resendAll(10), [0]);
  flight.ack(0, [0, 100], 10);
  t.match(flight.ack(200, [], 30), { ackedBytes: 200 });
  t.match(flight.describe(), { inFlightBytes: 0, recovery: 'none' });
});

test('the retransmission timer: the first segment, and what was sent long ago', async (t) => {
  const flight = new Flight();
  flight.send(1, 0);
  flight.ack(100, [], 20);
  flight.send(2, 100);
  flight.send(2, 395);
  flight.loss.onRetransmissionTimeout(flight.roundTrip, 400);
  t.match(flight.describe(), { recovery: 'timeout', lostBytes: 200, inFlightBytes: 200 });
  t.same(flight.resendAll(400), [100, 200]);
  flight.loss.onRetransmissionTimeout(flight.roundTrip, 401);
  t.match(flight.describe(), { lostBytes: 100, nextLost: 100 }, 'the first one at least');
  flight.loss.onRetransmissionTimeout(flight.roundTrip, 402);
  t.match(flight.describe(), { lostBytes: 100 });
  const silent = new Flight({ hasSack: false });
  silent.send(3, 0);
  silent.ack(0, [], 1);
  silent.loss.onRetransmissionTimeout(silent.roundTrip, 1);
  t.match(silent.describe(), { lostBytes: 300, inFlightBytes: 0 }, 'all of them, without SACK');
  t.same(silent.resendAll(2), [0, 100, 200]);
  t.equal(silent.loss.inFlightBytes, 300);
  new Flight().loss.onRetransmissionTimeout(silent.roundTrip, 0);
});

test('a peer that drops what it has reported: everything is sent again', async (t) => {
  const flight = new Flight();
  flight.send(6, 0);
  flight.ack(0, [100, 300, 400, 500], 20);
  t.same(flight.resendAll(21), [0, 300]);
  flight.ack(100, [], 41);
  t.match(flight.describe(), { sackedBytes: 300 });
  flight.loss.onRetransmissionTimeout(flight.roundTrip, 400);
  t.match(flight.describe(), { sackedBytes: 0, nextLost: 100 });
  t.same(flight.resendAll(400), [100, 200, 300, 400, 500]);
  t.match(flight.ack(600, [], 420), { hasLeftRecovery: true });
});

test('lost bytes are sent again in order, and in smaller segments if the path has become narrow', async (t) => {
  const flight = new Flight();
  flight.send(4, 0);
  flight.loss.onSent(30, 0);
  flight.ack(0, [100, 200], 20);
  flight.loss.maxSegmentBytes = 60;
  flight.loss.onSegmentsTooLarge();
  t.match(flight.describe(), { recovery: 'none', lostBytes: 300, inFlightBytes: 30 });
  t.equal(flight.loss.probeDelayMs(flight.roundTrip), NEVER);
  flight.loss.onLostSent(60, 21);
  t.match(flight.describe(), { nextLost: 60, lostBytes: 240, inFlightBytes: 90 });
  t.equal(flight.loss.nextLostLength, 40);
  flight.loss.onLostSent(40, 21);
  t.match(flight.describe(), { nextLost: 200 });
  t.match(flight.ack(60, [100, 200], 41), { deliveredBytes: 60 });
  t.match(flight.ack(200, [], 41), { deliveredBytes: 40 });
  t.match(flight.describe(), { recovery: 'fast', inFlightBytes: 0, lostBytes: 230 }, 'what was sent before it is lost');
});

test('RFC 2883: which first blocks report duplicates', async (t) => {
  const isDuplicate = (blocks: readonly number[], hasSack = true) => {
    const flight = new Flight({ hasSack });
    flight.send(10, 0);
    flight.ack(500, [], 20);
    return flight.ack(500, blocks, 21).hasDuplicateSack;
  };
  t.equal(isDuplicate([300, 500]), true, 'before the acknowledgment');
  t.equal(isDuplicate([300, 501]), false);
  t.equal(isDuplicate([600, 700]), false, 'a usual one');
  t.equal(isDuplicate([600, 700, 600, 800]), true, 'inside of the second');
  t.equal(isDuplicate([700, 800, 600, 800]), true);
  t.equal(isDuplicate([600, 700, 650, 800]), false);
  t.equal(isDuplicate([500, 300]), false, 'nonsense');
  t.equal(isDuplicate([300, 500], false), false, 'not without SACK');
});

test('SACK blocks that cannot be are left out, and so is a part of a segment', async (t) => {
  const flight = new Flight();
  flight.send(5, 0);
  flight.ack(100, [], 20);
  for (const blocks of [
    [100, 200],
    [50, 300],
    [300, 300],
    [400, 300],
    [400, 600],
    [700, 800],
  ]) {
    t.match(flight.ack(100, blocks, 21), { deliveredBytes: 0 }, `${blocks}`);
  }
  t.match(flight.ack(100, [250, 450], 22), { deliveredBytes: 100 }, 'one segment lies wholly inside');
  t.equal(flight.loss.sackedBytes, 100);
  t.match(flight.ack(350, [], 23), { ackedBytes: 250, deliveredBytes: 200 });
  t.match(flight.describe(), { sackedBytes: 50, inFlightBytes: 100 });
});

test('tail loss probes: when, and one at a time', async (t) => {
  const flight = new Flight();
  const delay = () => flight.loss.probeDelayMs(flight.roundTrip);
  t.equal(delay(), NEVER, 'nothing is in flight');
  t.same([flight.loss.lastSegmentSequence, flight.loss.lastSegmentLength], [0, 0]);
  flight.send(1, 0);
  t.equal(delay(), 1_000, 'no round trip is known');
  flight.ack(100, [], 20);
  flight.send(1, 100);
  t.equal(delay(), 240, 'two round trips, and a delayed ACK');
  flight.send(1, 100);
  t.equal(delay(), 40, 'two segments are acknowledged at once');
  t.same([flight.loss.lastSegmentSequence, flight.loss.lastSegmentLength], [200, 100]);
  flight.loss.onProbeSent(true, 140);
  t.equal(delay(), NEVER, 'one at a time');
  t.match(flight.ack(100, [200, 300], 160), { roundTripMs: -1, hasEnteredRecovery: true, hasProbeRepairedLoss: false });
  t.equal(delay(), NEVER, 'not in a recovery');
  flight.resendAll(161);
  flight.ack(300, [], 181);
  flight.send(2, 200);
  t.equal(delay(), NEVER, 'no round trip was measured since the last probe');
  flight.ack(400, [], 220);
  t.not(delay(), NEVER);
  flight.send(2, 230);
  flight.ack(400, [500, 600], 250);
  t.equal(delay(), NEVER, 'not with a gap');
});

test('tail loss probes: what their ACK tells', async (t) => {
  const probed = (isRetransmission: boolean): Flight => {
    const flight = new Flight();
    flight.send(1, 0);
    flight.ack(100, [], 20);
    flight.send(2, 100);
    if (!isRetransmission) flight.send(1, 140);
    flight.loss.onProbeSent(isRetransmission, 140);
    return flight;
  };
  const withNew = probed(false);
  t.match(withNew.ack(400, [], 160), { hasProbeRepairedLoss: false }, 'new bytes repair nothing');
  const both = probed(true);
  t.match(both.ack(300, [], 141), { hasProbeRepairedLoss: false });
  both.send(1, 142);
  t.match(both.ack(300, [200, 300], 160), { hasProbeRepairedLoss: false, hasDuplicateSack: true }, 'both have arrived');
  t.match(both.ack(400, [], 162), { hasProbeRepairedLoss: false });
  const bothWithoutReport = probed(true);
  bothWithoutReport.ack(300, [], 141);
  bothWithoutReport.ack(300, [], 160);
  bothWithoutReport.send(1, 161);
  t.match(bothWithoutReport.ack(400, [], 181), { hasProbeRepairedLoss: false });
  const one = probed(true);
  t.match(one.ack(200, [], 150), { hasProbeRepairedLoss: false });
  one.ack(300, [], 160);
  one.send(1, 161);
  t.match(one.ack(400, [], 181), { hasProbeRepairedLoss: true, hasEnteredRecovery: false }, 'it repaired a loss');
  const lost = probed(true);
  lost.send(4, 141);
  t.match(lost.ack(400, [500, 800], 170), { hasProbeRepairedLoss: true }, 'found before');
  lost.loss.onProbeSent(true, 171);
});

test('a tail loss probe finds that two segments are lost, with timestamps as without', async (t) => {
  for (const echoedAt of [-1, 100]) {
    const flight = new Flight();
    flight.send(1, 0);
    flight.ack(100, [], 20);
    flight.send(3, 100);
    flight.ack(200, [], 120, { echoedAt });
    flight.loss.onProbeSent(true, 160);
    const early = flight.ack(200, [300, 400], 161, { echoedAt });
    t.equal(early.hasEnteredRecovery, false, 'sooner than a round trip: it is the first transmission that has arrived');
    const other = new Flight();
    other.send(1, 0);
    other.ack(100, [], 20);
    other.send(3, 100);
    other.ack(200, [], 120, { echoedAt });
    other.loss.onProbeSent(true, 160);
    t.match(other.ack(200, [300, 400], 180, { echoedAt }), { hasEnteredRecovery: true, lostBytes: 100 }, `${echoedAt}`);
    t.same(other.resendAll(181), [200], 'the one before it is sent again, long before a timeout');
  }
});

test('one reduction is enough for one ACK: a recovery begins as the probe is found to have repaired a loss', async (t) => {
  const flight = new Flight();
  flight.send(1, 0);
  flight.ack(100, [], 20);
  flight.send(2, 100);
  flight.loss.onProbeSent(true, 140);
  flight.send(5, 150);
  const outcome = flight.ack(400, [500, 800], 300);
  t.match(outcome, { hasEnteredRecovery: true, hasProbeRepairedLoss: false });
});

test('so many segments and no more', async (t) => {
  const flight = new Flight({ maxSegments: 2 });
  flight.send(1, 0);
  t.equal(flight.loss.hasRoom, true);
  flight.send(1, 0);
  t.equal(flight.loss.hasRoom, false);
  flight.ack(100, [], 20);
  t.equal(flight.loss.hasRoom, true);
});

type Step =
  | { readonly kind: 'send'; readonly count: number; readonly resent: number }
  | { readonly kind: 'deliver' | 'drop'; readonly index: number; readonly isAckLost: boolean; readonly blocks: number }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'reordering' };

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('send'), count: fc.nat(6), resent: fc.nat(4) }) },
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constantFrom('deliver', 'deliver', 'deliver', 'drop'),
      index: fc.oneof(fc.constant(0), fc.nat(8)),
      isAckLost: fc.constantFrom(false, false, false, true),
      blocks: fc.nat(7),
    }),
  },
  { weight: 1, arbitrary: fc.constantFrom<Step>({ kind: 'timeout' }, { kind: 'reordering' }) },
);

/** The network and a receiver: copies of segments on their way, and what has arrived. */
class Network {
  readonly copies: { position: number; sentAt: number }[] = [];
  readonly here = new Set<number>();
  acknowledged = 0;

  /** The blocks of the ACK: the last one first, then others, as many as `count` of them. True if the segment came twice. */
  arrive(position: number, count: number): { blocks: [number, number][]; isDuplicate: boolean } {
    const isDuplicate = position < this.acknowledged || this.here.has(position);
    this.here.add(position);
    while (this.here.has(this.acknowledged)) this.acknowledged += MSS;
    const blocks: [number, number][] = [];
    for (const start of [...this.here].filter((at) => at > this.acknowledged).sort((a, b) => a - b)) {
      const last = blocks.at(-1);
      if (last?.[1] === start) last[1] += MSS;
      else blocks.push([start, start + MSS]);
    }
    return { blocks: blocks.reverse().slice(0, count), isDuplicate };
  }
}

/** Runs the steps on both, and returns the first difference. */
function differenceOf(steps: readonly Step[], hasTimestamps: boolean, first: number): string {
  const flight = new Flight({ first });
  const model = new LossModel();
  const network = new Network();
  let now = 0;
  for (const [i, step] of steps.entries()) {
    now += 0.25 * (1 + (i % 5));
    if (step.kind === 'send') {
      for (let n = 0; n < step.resent && flight.loss.nextLostSequence >= 0; n++) {
        network.copies.push({ position: difference(flight.loss.nextLostSequence, first), sentAt: now });
        flight.loss.onLostSent(Math.min(MSS, flight.loss.nextLostLength), now);
        model.resend(now);
      }
      for (let n = 0; n < step.count; n++) {
        network.copies.push({ position: model.next, sentAt: now });
        flight.send(1, now);
        model.send(MSS, now);
      }
    } else if (step.kind === 'timeout') {
      if (model.segments.length > 0) {
        flight.loss.onRetransmissionTimeout(flight.roundTrip, now);
        model.timeout(flight.roundTrip, now);
      }
    } else if (step.kind === 'reordering') {
      if (flight.loss.reorderingDeadlineAt !== NEVER) now = Math.max(now, flight.loss.reorderingDeadlineAt);
      flight.loss.onReorderingTimeout(flight.roundTrip, now);
      model.detect(flight.roundTrip, now);
    } else {
      const [copy] = network.copies.splice(Math.min(step.index, Math.max(0, network.copies.length - 1)), 1);
      if (copy === undefined || step.kind === 'drop') continue;
      const { blocks, isDuplicate } = network.arrive(copy.position, step.blocks % 4);
      if (step.isAckLost || network.acknowledged < model.first) continue;
      const hasReport = isDuplicate && copy.position < network.acknowledged;
      const report = hasReport ? [copy.position, copy.position + MSS] : [];
      const echoedAt = hasTimestamps ? Math.floor(copy.sentAt) : -1;
      // The model goes first: the flight takes a sample of the round trip.
      const ack = { position: network.acknowledged, blocks, echoedAt };
      const delivered = model.acknowledge(ack, hasReport, flight.roundTrip, now);
      const outcome = flight.ack(network.acknowledged, [...report, ...blocks.flat()], now, { echoedAt });
      if (outcome.deliveredBytes !== delivered)
        return `step ${i}: ${outcome.deliveredBytes} delivered, not ${delivered}`;
    }
    if (!isDeepStrictEqual(flight.describe(), model.describe())) {
      return `step ${i}: ${JSON.stringify(flight.describe())}, not ${JSON.stringify(model.describe())}`;
    }
  }
  return '';
}

test('any network: the pipe, what is lost and what has arrived are as in the pseudo-code of RFC 8985', async (t) => {
  const first = fc.constantFrom(0, 0xffff_fe00, 0x7fff_ff00);
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 150 }), fc.boolean(), first, (steps, hasTimestamps, firstSequence) => {
      const different = differenceOf(steps, hasTimestamps, firstSequence);
      if (different !== '') throw new Error(different);
    }),
    { numRuns: 400 },
  );
  t.pass();
});

test('a long flight takes no quadratic time', async (t) => {
  const SEGMENTS = 10_000;
  const flight = new Flight();
  const tookMs = await cpuMsOf(() => {
    flight.send(SEGMENTS, 0);
    // The first is lost, and each ACK repeats one long block.
    for (let i = 2; i <= SEGMENTS; i++) flight.ack(0, [MSS, i * MSS], 20 + i / 100);
    flight.resendAll(200);
    flight.ack(SEGMENTS * MSS, [], 220);
    // Every other segment is lost.
    flight.send(SEGMENTS, 300);
    const base = SEGMENTS * MSS;
    for (let i = 1; i < SEGMENTS; i += 2) flight.ack(base, [base + i * MSS, base + (i + 1) * MSS], 320 + i / 100);
    flight.resendAll(500);
    for (let i = 1; i <= SEGMENTS; i++) flight.ack(base + i * MSS, [], 520 + i / 100);
  });
  t.match(flight.describe(), { inFlightBytes: 0, lostBytes: 0, sackedBytes: 0 });
  t.ok(tookMs < 2_000, `${tookMs} ms`);
});
