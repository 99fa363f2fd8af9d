/** Initial sequence numbers: the clock, and a hash that depends on everything. */

import { createHmac } from 'node:crypto';
import { test } from 'tap';
import {
  COOKIE,
  initialSequence,
  keyedHash,
  timestampOffset,
} from '../../../../simplenet/tcpip/tcp/initial-sequence.ts';
import { difference } from '../../../../simplenet/tcpip/tcp/sequence.ts';

const secret = Buffer.alloc(16, 7);
const connection = { localAddress: 0x0a09_0002, localPort: 80, remoteAddress: 0x0a09_0001, remotePort: 40_000 };

test('the hash is HMAC-SHA-256 of the four numbers', async (t) => {
  const message = Buffer.from('000a0900020a09000100509c400000000000000000', 'hex');
  const expected = createHmac('sha256', secret).update(message).digest().readUInt32BE(0);
  t.equal(initialSequence(secret, connection, 0), expected);
});

test('the clock ticks each 4 us and goes round at 2^32', async (t) => {
  const at = (now: number) => initialSequence(secret, connection, now);
  t.equal(difference(at(1), at(0)), 250);
  t.equal(difference(at(0.0039), at(0)), 0);
  t.equal(difference(at(0.004), at(0)), 1);
  t.equal(at(2 ** 32 / 250), at(0), 'after 4 hours and 46 minutes');
});

test('another connection, secret or purpose has other numbers', async (t) => {
  const numbers = new Set([
    initialSequence(secret, connection, 0),
    initialSequence(Buffer.alloc(16, 8), connection, 0),
    initialSequence(secret, { ...connection, localAddress: 1 }, 0),
    initialSequence(secret, { ...connection, localPort: 1 }, 0),
    initialSequence(secret, { ...connection, remoteAddress: 1 }, 0),
    initialSequence(secret, { ...connection, remotePort: 1 }, 0),
    timestampOffset(secret, connection),
    keyedHash(secret, COOKIE, connection),
    keyedHash(secret, COOKIE, connection, 1),
    keyedHash(secret, COOKIE, connection, 0, 1),
  ]);
  t.equal(numbers.size, 10);
});
