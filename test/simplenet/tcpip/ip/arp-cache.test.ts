/** The ARP cache: each arrow of its states, each rule against poisoning, and each bound at n and n + 1. */

import t from 'tap';
import { ArpCache, NO_ROOM, UNREACHABLE, UNRESOLVED } from '../../../../simplenet/tcpip/ip/arp-cache.ts';
import { defaultIpLimits, type IpLimits } from '../../../../simplenet/tcpip/ip/ip-limits.ts';
import { FAILED, INCOMPLETE, PROBING, REACHABLE, STALE } from '../../../../simplenet/tcpip/ip/neighbour.ts';

const EVERYONE = 0xffff_ffff_ffff;
const MAC = 0x0200_0000_0001;
const OTHER_MAC = 0x0200_0000_0666;
const HOST = 0x0a090001;

const CLAIM = true;
const UNASKED = false;

/** A cache, and what it has done: `ask ADDRESS TO`, `release FRAME TO`, `fail FRAME`, `drop FRAME`. */
function createCache(limits: Partial<IpLimits> = {}) {
  const events: string[] = [];
  const name = (address: number) => (address === EVERYONE ? 'everyone' : address.toString(16));
  const cache = new ArpCache(
    { ...defaultIpLimits, ...limits },
    {
      ask: (address, to) => void events.push(`ask ${name(address)} ${name(to)}`),
      release: (frame, to) => void events.push(`release ${frame} ${name(to)}`),
      fail: (frame, now) => void events.push(`fail ${frame} ${now}`),
      drop: (frame) => void events.push(`drop ${frame}`),
    },
  );
  return { cache, events, taken: () => events.splice(0) };
}

/** A cache that knows HOST since 0. */
function createKnowing(limits: Partial<IpLimits> = {}) {
  const created = createCache(limits);
  created.cache.lookUp(HOST, 0);
  created.cache.learn(HOST, MAC, UNASKED, 0);
  created.taken();
  return created;
}

t.test('a neighbour is asked for, packets wait in order, and the answer releases them', async (t) => {
  const { cache, taken } = createCache();
  t.equal(cache.lookUp(HOST, 0), UNRESOLVED);
  t.ok(cache.hold(HOST, Buffer.from('one')));
  t.equal(cache.lookUp(HOST, 5), UNRESOLVED);
  t.ok(cache.hold(HOST, Buffer.from('two')));
  t.same(taken(), ['ask a090001 everyone'], 'one request for both');
  t.equal(cache.waitingBytes, 6);
  cache.learn(HOST, MAC, UNASKED, 10);
  t.same(taken(), ['release one 20000000001', 'release two 20000000001']);
  t.equal(cache.waitingBytes, 0);
  t.equal(cache.lookUp(HOST, 11), MAC);
  t.equal(cache.stateOf(HOST), REACHABLE);
  t.same(taken(), []);
  cache.onDeadline(5_000);
  t.equal(cache.deadlineAt, Number.POSITIVE_INFINITY, 'no alarm is left');
});

t.test(
  'a silent neighbour is asked three times, a second apart, and then counts as unreachable for three',
  async (t) => {
    const { cache, taken } = createCache();
    cache.lookUp(HOST, 0);
    cache.hold(HOST, Buffer.from('lost'));
    t.equal(cache.deadlineAt, 1_000);
    cache.onDeadline(999);
    t.same(taken(), ['ask a090001 everyone'], 'no request before its time');
    cache.onDeadline(1_000);
    cache.onDeadline(2_000);
    t.same(taken(), ['ask a090001 everyone', 'ask a090001 everyone']);
    t.equal(cache.lookUp(HOST, 2_999), UNRESOLVED);
    cache.onDeadline(3_000);
    t.same(taken(), ['fail lost 3000']);
    t.equal(cache.stateOf(HOST), FAILED);
    t.equal(cache.waitingBytes, 0);
    t.equal(cache.lookUp(HOST, 3_001), UNREACHABLE);
    t.equal(cache.deadlineAt, 6_000);
    cache.onDeadline(5_999);
    t.equal(cache.stateOf(HOST), FAILED);
    cache.onDeadline(6_000);
    t.same([cache.stateOf(HOST), cache.size, cache.deadlineAt], [null, 0, Number.POSITIVE_INFINITY]);
    t.equal(cache.lookUp(HOST, 6_001), UNRESOLVED, 'it is asked for again');
    t.same(taken(), ['ask a090001 everyone']);
  },
);

t.test('a failed neighbour that shows up is sent to at once', async (t) => {
  const { cache, taken } = createCache();
  cache.lookUp(HOST, 0);
  for (const now of [1_000, 2_000, 3_000]) cache.onDeadline(now);
  taken();
  cache.learn(HOST, MAC, UNASKED, 3_500);
  t.equal(cache.stateOf(HOST), STALE);
  t.equal(cache.lookUp(HOST, 3_600), MAC);
  t.same(taken(), ['ask a090001 20000000001'], 'and asked whether it is true');
});

t.test('an old entry is used, and asked for where it was', async (t) => {
  const { cache, taken } = createKnowing();
  t.equal(cache.lookUp(HOST, 59_999), MAC);
  t.same(taken(), []);
  t.equal(cache.lookUp(HOST, 60_000), MAC);
  t.equal(cache.stateOf(HOST), PROBING);
  t.equal(cache.lookUp(HOST, 60_001), MAC);
  t.same(taken(), ['ask a090001 20000000001'], 'once');
  cache.learn(HOST, MAC, UNASKED, 60_002);
  t.equal(cache.stateOf(HOST), REACHABLE);
  t.equal(cache.lookUp(HOST, 120_001), MAC);
  t.same(taken(), []);
});

t.test('if it is silent there, everyone is asked, and packets wait from then on', async (t) => {
  const { cache, taken } = createKnowing();
  cache.lookUp(HOST, 60_000);
  for (const now of [61_000, 62_000]) cache.onDeadline(now);
  t.same(taken(), Array(3).fill('ask a090001 20000000001'));
  t.equal(cache.lookUp(HOST, 62_500), MAC);
  cache.onDeadline(63_000);
  t.equal(cache.stateOf(HOST), INCOMPLETE);
  t.equal(cache.lookUp(HOST, 63_001), UNRESOLVED);
  t.same(taken(), ['ask a090001 everyone']);
  cache.learn(HOST, OTHER_MAC, UNASKED, 63_002);
  t.equal(cache.lookUp(HOST, 63_003), OTHER_MAC, 'it has moved');
});

t.test('nothing is learned from a packet that nobody asked for', async (t) => {
  const { cache, taken } = createCache();
  cache.learn(HOST, MAC, UNASKED, 0);
  t.equal(cache.size, 0);
  t.equal(cache.lookUp(HOST, 1), UNRESOLVED);
  t.same(taken(), ['ask a090001 everyone']);
});

t.test('a request for our address is a claim, and its first use checks it', async (t) => {
  const { cache, taken } = createCache();
  cache.learn(HOST, MAC, CLAIM, 0);
  t.equal(cache.stateOf(HOST), STALE);
  t.same(taken(), []);
  t.equal(cache.lookUp(HOST, 1), MAC);
  t.same(taken(), ['ask a090001 20000000001']);
  cache.learn(HOST, MAC, UNASKED, 2);
  t.equal(cache.stateOf(HOST), REACHABLE);
});

t.test('a later claim replaces one that was never checked', async (t) => {
  const { cache } = createCache();
  cache.learn(HOST, OTHER_MAC, CLAIM, 0);
  cache.learn(HOST, MAC, UNASKED, 1);
  t.equal(cache.lookUp(HOST, 2), MAC);
});

t.test('poisoning: a live neighbour keeps its address', async (t) => {
  const { cache, taken } = createKnowing();
  cache.learn(HOST, OTHER_MAC, CLAIM, 10);
  t.equal(cache.stateOf(HOST), STALE);
  cache.learn(HOST, OTHER_MAC, CLAIM, 11);
  cache.learn(HOST, OTHER_MAC, UNASKED, 12);
  t.equal(cache.lookUp(HOST, 13), MAC);
  cache.learn(HOST, OTHER_MAC, UNASKED, 14);
  t.equal(cache.stateOf(HOST), PROBING, 'an answer from elsewhere is no answer');
  cache.learn(HOST, MAC, UNASKED, 15);
  t.equal(cache.lookUp(HOST, 16), MAC);
  t.same(taken(), ['ask a090001 20000000001']);
});

t.test('what a neighbour repeats changes nothing', async (t) => {
  const { cache, taken } = createKnowing();
  cache.learn(HOST, MAC, UNASKED, 50_000);
  t.equal(cache.stateOf(HOST), REACHABLE);
  cache.lookUp(HOST, 60_000);
  t.equal(cache.stateOf(HOST), PROBING, 'it has not become younger by that');
  t.same(taken(), ['ask a090001 20000000001']);
});

t.test('packets that wait for one neighbour: the oldest makes room', async (t) => {
  const { cache, taken } = createCache({ arpQueuedPackets: 2 });
  cache.lookUp(HOST, 0);
  for (const frame of ['one', 'two']) t.ok(cache.hold(HOST, Buffer.from(frame)));
  t.same(taken(), ['ask a090001 everyone'], 'two fit');
  t.ok(cache.hold(HOST, Buffer.from('three')));
  t.same(taken(), ['drop one'], 'the third does not');
  t.equal(cache.waitingBytes, 8);
  cache.learn(HOST, MAC, UNASKED, 1);
  t.same(taken(), ['release two 20000000001', 'release three 20000000001']);
});

t.test('bytes that wait for all neighbours', async (t) => {
  const { cache, taken } = createCache({ arpQueuedBytes: 10 });
  cache.lookUp(1, 0);
  cache.lookUp(2, 0);
  taken();
  t.equal(cache.hold(1, Buffer.from('123456')), true);
  t.equal(cache.hold(2, Buffer.from('1234')), true, 'ten bytes fit');
  t.equal(cache.hold(2, Buffer.from('1')), false, 'eleven do not');
  cache.learn(1, MAC, UNASKED, 1);
  t.equal(cache.hold(2, Buffer.from('123456')), true, 'those that have left make room');
  t.equal(cache.waitingBytes, 10);
});

t.test(
  'neighbours: claims and failures make room first, then old requests, then old entries, never one in use',
  async (t) => {
    const { cache, taken } = createCache({ arpEntries: 4 });
    cache.lookUp(1, 0); // becomes FAILED
    for (const now of [1_000, 2_000, 3_000]) cache.onDeadline(now);
    cache.lookUp(2, 3_000); // INCOMPLETE
    cache.hold(2, Buffer.from('two'));
    cache.lookUp(3, 3_000);
    cache.learn(3, MAC, UNASKED, 3_000); // becomes STALE: it has answered
    cache.learn(3, OTHER_MAC, UNASKED, 3_001);
    cache.lookUp(4, 3_000);
    cache.learn(4, MAC, UNASKED, 3_000); // REACHABLE
    t.equal(cache.size, 4, 'four fit');
    taken();

    cache.learn(5, MAC, CLAIM, 3_010);
    t.same([cache.size, cache.stateOf(1), cache.stateOf(5)], [4, null, STALE], 'a claim replaces a failure');
    cache.learn(6, MAC, CLAIM, 3_011);
    t.same([cache.size, cache.stateOf(5), cache.stateOf(6)], [4, null, STALE], 'or another claim');
    t.equal(cache.lookUp(7, 3_012), UNRESOLVED);
    t.same([cache.size, cache.stateOf(6)], [4, null], 'a request of ours replaces a claim');
    cache.learn(8, MAC, CLAIM, 3_013);
    t.equal(cache.stateOf(8), null, 'a claim replaces nothing else');
    taken();
    t.equal(cache.lookUp(9, 3_014), UNRESOLVED);
    t.same(taken(), ['drop two', 'ask 9 everyone'], 'but a request replaces the oldest request');
    t.equal(cache.waitingBytes, 0);
    for (const address of [7, 9]) cache.learn(address, MAC, UNASKED, 3_015);
    t.equal(cache.lookUp(10, 3_016), UNRESOLVED);
    t.same([cache.size, cache.stateOf(3)], [4, null], 'and then an old entry');
    cache.learn(10, MAC, UNASKED, 3_017);
    t.equal(cache.lookUp(11, 3_018), NO_ROOM, 'all four are in use');
    t.equal(cache.size, 4);
    t.equal(cache.lookUp(4, 3_019), MAC);
  },
);

t.test('a flood of claims and of packets to nobody leaves the neighbours in use', async (t) => {
  const { cache } = createKnowing({ arpEntries: 64 });
  for (let i = 0; i < 20_000; i++) {
    cache.learn(0x0a0a_0000 + i, OTHER_MAC, CLAIM, i / 20);
    if (cache.lookUp(0x0a0b_0000 + i, i / 20) === UNRESOLVED) cache.hold(0x0a0b_0000 + i, Buffer.alloc(1_500));
  }
  t.equal(cache.size, 64);
  t.ok(cache.waitingBytes <= 64 * 1_500);
  t.equal(cache.lookUp(HOST, 1_000), MAC);
});
