/** SYN cookies: what they keep, for how long, and that nobody else makes them. */

import fc from 'fast-check';
import { test } from 'tap';
import { difference } from '../../../../simplenet/tcpip/tcp/sequence.ts';
import {
  decodeCookie,
  decodeCookieTimestamp,
  encodeCookie,
  encodeCookieTimestamp,
} from '../../../../simplenet/tcpip/tcp/syn-cookies.ts';

const secret = Buffer.alloc(16, 7);
const connection = { localAddress: 0x0a09_0002, localPort: 80, remoteAddress: 0x0a09_0001, remotePort: 40_000 };
const PEER = 0x8000_0001;
const MINUTE_MS = 60_000;

test('a cookie keeps the MSS, or the next smaller one of eight', async (t) => {
  const kept = (mss: number | null) => {
    const cookie = encodeCookie(secret, connection, PEER, mss, 0);
    return decodeCookie(secret, connection, PEER, cookie, 0);
  };
  t.same([536, 960, 1220, 1300, 1400, 1440, 1460, 8960].map(kept), [536, 960, 1220, 1300, 1400, 1440, 1460, 8960]);
  t.same([null, 0, 535, 959, 1459, 1461, 8959, 65_535].map(kept), [536, 536, 536, 536, 1440, 1460, 1460, 8960]);
});

test('it is valid in its own minute and in the next one', async (t) => {
  for (const minute of [0, 31, 32, 1_000_000, 2 ** 31]) {
    const sentAt = minute * MINUTE_MS;
    const cookie = encodeCookie(secret, connection, PEER, 1460, sentAt);
    const at = (now: number) => decodeCookie(secret, connection, PEER, cookie, now);
    t.equal(at(sentAt), 1460);
    t.equal(at(sentAt + 2 * MINUTE_MS - 1), 1460);
    t.equal(at(sentAt + 2 * MINUTE_MS), null, 'two minutes later');
    t.equal(at(sentAt + 32 * MINUTE_MS), null, 'when the visible bits are the same again');
    t.equal(at(sentAt - 1), null, 'it is not from the future');
  }
});

test('another connection, another SYN, another secret or another bit makes it worthless', async (t) => {
  const cookie = encodeCookie(secret, connection, PEER, 1460, 0);
  t.equal(decodeCookie(secret, { ...connection, remotePort: 40_001 }, PEER, cookie, 0), null);
  t.equal(decodeCookie(secret, connection, PEER + 1, cookie, 0), null);
  t.equal(decodeCookie(Buffer.alloc(16, 8), connection, PEER, cookie, 0), null);
  for (let bit = 0; bit < 32; bit++) {
    t.equal(decodeCookie(secret, connection, PEER, (cookie ^ (1 << bit)) >>> 0, 0), null, `bit ${bit}`);
  }
});

test('guesses fail, even those that know the minute and all MSS', async (t) => {
  let found = 0;
  for (let guess = 0; guess < 2_000; guess++) {
    const cookie = ((guess & 7) << 24) | ((guess * 2_654_435_761) & 0xff_ffff);
    if (decodeCookie(secret, connection, PEER, cookie >>> 0, 0) !== null) found++;
  }
  t.equal(found, 0);
});

const clocks = fc.integer({ min: 0, max: 0xffff_ffff });
const options = fc.record({ windowScale: fc.option(fc.nat(14)), sackPermitted: fc.boolean() });

test('the timestamp keeps the options, and is not after the clock', async (t) => {
  t.equal(encodeCookieTimestamp(0x1000_003f, { windowScale: 7, sackPermitted: true }), 0x1000_0017);
  t.equal(encodeCookieTimestamp(0x1000_0016, { windowScale: 7, sackPermitted: true }), 0x0fff_ffd7);
  t.equal(encodeCookieTimestamp(0, { windowScale: null, sackPermitted: false }), 0xffff_ffcf);
  fc.assert(
    fc.property(clocks, options, (clock, syn) => {
      const timestamp = encodeCookieTimestamp(clock, syn);
      const kept = decodeCookieTimestamp(timestamp);
      const late = difference(clock, timestamp);
      if (kept?.windowScale !== syn.windowScale || kept.sackPermitted !== syn.sackPermitted) return false;
      return late >= 0 && late < 64;
    }),
  );
  t.equal(decodeCookieTimestamp(0x20), null, 'a bit that we never set');
  t.same(decodeCookieTimestamp(0x1f), { windowScale: null, sackPermitted: true });
});
