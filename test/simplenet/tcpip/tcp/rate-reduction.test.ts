/** RateReduction: what RFC 9937 wants at the end of a recovery, after few losses and after many. */

import fc from 'fast-check';
import { test } from 'tap';
import { RateReduction } from '../../../../simplenet/tcpip/tcp/rate-reduction.ts';

const MSS = 1_000;

/** Sends whole segments while there is room, and returns how many. */
function fill(reduction: RateReduction, inFlight: number): number {
  let count = 0;
  while (inFlight + count * MSS < reduction.windowBytes) {
    reduction.onSent(MSS);
    count++;
  }
  return count;
}

const sack = { ackedBytes: 0, deliveredBytes: MSS, lostBytes: 0 };

test('one loss of twenty: the flight shrinks to ten, one segment for every second ACK', async (t) => {
  const reduction = new RateReduction(20 * MSS, 10 * MSS);
  let inFlight = 18 * MSS;
  const sent: number[] = [];
  for (let ack = 0; ack < 19; ack++) {
    reduction.onAck({ ...sack, lostBytes: ack === 0 ? MSS : 0, inFlightBytes: inFlight }, MSS);
    const count = fill(reduction, inFlight);
    sent.push(count);
    inFlight += (count - 1) * MSS;
  }
  t.same(sent.slice(0, 16), [1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0], 'the first one at once');
  t.ok(inFlight >= 9 * MSS && inFlight <= 10 * MSS, `${inFlight}`);
});

test('more losses than the threshold has room for: no burst, one segment for each that arrives', async (t) => {
  const reduction = new RateReduction(20 * MSS, 10 * MSS);
  reduction.onAck({ ...sack, lostBytes: 15 * MSS, inFlightBytes: 4 * MSS }, MSS);
  t.equal(fill(reduction, 4 * MSS), 1);
  reduction.onAck({ ...sack, inFlightBytes: 4 * MSS }, MSS);
  t.equal(fill(reduction, 4 * MSS), 1, 'packet conservation');
  reduction.onAck({ ackedBytes: MSS, deliveredBytes: MSS, lostBytes: 0, inFlightBytes: 4 * MSS }, MSS);
  t.equal(fill(reduction, 4 * MSS), 2, 'slow start after progress without further losses');
  reduction.onAck({ ackedBytes: MSS, deliveredBytes: MSS, lostBytes: MSS, inFlightBytes: 4 * MSS }, MSS);
  t.equal(fill(reduction, 4 * MSS), 1, 'but not if there are some');
  reduction.onAck({ ackedBytes: 5 * MSS, deliveredBytes: 5 * MSS, lostBytes: 0, inFlightBytes: 8 * MSS }, MSS);
  t.equal(fill(reduction, 8 * MSS), 2, 'never above the threshold');
});

test('the first retransmission does not wait', async (t) => {
  const reduction = new RateReduction(0, 2 * MSS);
  t.equal(reduction.windowBytes, 0);
  reduction.onAck({ ackedBytes: 0, deliveredBytes: 0, lostBytes: MSS, inFlightBytes: 20 * MSS }, MSS);
  t.equal(reduction.windowBytes, 21 * MSS);
  reduction.onSent(MSS);
  reduction.onAck({ ackedBytes: 0, deliveredBytes: 0, lostBytes: MSS, inFlightBytes: 20 * MSS }, MSS);
  t.equal(reduction.windowBytes, 20 * MSS, 'the second one does');
});

test('any recovery: what is sent stays below what arrives and a segment for each ACK that is safe', async (t) => {
  const acks = fc.array(fc.record({ acked: fc.nat(3), delivered: fc.nat(3), lost: fc.nat(3) }), { maxLength: 60 });
  fc.assert(
    fc.property(acks, fc.integer({ min: 2, max: 50 }), fc.integer({ min: 2, max: 50 }), (all, flight, threshold) => {
      const reduction = new RateReduction(flight * MSS, Math.min(threshold, flight) * MSS);
      let inFlight = flight;
      let [sent, allowed] = [0, 1];
      for (const { acked, delivered, lost } of all) {
        const arrived = Math.min(inFlight, acked + delivered);
        inFlight -= arrived;
        const gone = Math.min(inFlight, lost);
        inFlight -= gone;
        const ack = { ackedBytes: acked * MSS, deliveredBytes: arrived * MSS, lostBytes: gone * MSS };
        reduction.onAck({ ...ack, inFlightBytes: inFlight * MSS }, MSS);
        const count = fill(reduction, inFlight * MSS);
        sent += count;
        inFlight += count;
        allowed += arrived + (acked > 0 && gone === 0 ? 1 : 0);
        // A whole segment goes out even if there is room for a part of it only.
        if (sent > allowed + 1) return false;
      }
      return true;
    }),
  );
  t.pass();
});
