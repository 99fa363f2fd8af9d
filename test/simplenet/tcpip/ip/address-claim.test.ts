/** The announcement of our address and its defence: how often, by RFC 5227. */

import t from 'tap';
import { AddressClaim } from '../../../../simplenet/tcpip/ip/address-claim.ts';

t.test('two announcements, two seconds apart', async (t) => {
  let sent = 0;
  const claim = new AddressClaim(() => sent++);
  t.equal(claim.deadlineAt, Number.POSITIVE_INFINITY);
  claim.onDeadline(0);
  t.equal(sent, 0, 'none unless asked');
  claim.announce(100);
  t.same([sent, claim.deadlineAt], [1, 2_100]);
  claim.onDeadline(2_099);
  t.equal(sent, 1);
  claim.onDeadline(2_100);
  t.same([sent, claim.deadlineAt], [2, Number.POSITIVE_INFINITY]);
});

t.test('one defence in ten seconds, however often the other host insists', async (t) => {
  let sent = 0;
  const claim = new AddressClaim(() => sent++);
  t.equal(claim.defend(0), true);
  t.equal(claim.defend(1), false);
  t.equal(claim.defend(9_999), false);
  t.equal(claim.defend(10_000), true);
  t.equal(sent, 2);
});
