/** PendingInput: bytes that wait, in their order, at a cost that stays linear. */

import { test } from 'tap';
import { PendingInput } from '../../../http/request/pending-input.ts';
import { Random } from '../../simulation/random.ts';

const NO_LIMIT = Number.POSITIVE_INFINITY;
const SEED = Number(process.env.SEED ?? 1);

const textOf = (pending: PendingInput) => pending.bytes.toString('latin1', pending.start, pending.end);

test('it keeps a copy', async (t) => {
  const bytes = Buffer.from('abc');
  const pending = new PendingInput(bytes, NO_LIMIT);
  bytes.fill('!');
  t.equal(textOf(pending), 'abc');
  t.equal(pending.byteLength, 3);
  const more = Buffer.from('de');
  pending.append(more);
  more.fill('!');
  t.equal(textOf(pending), 'abcde');
});

test('at its size, and one byte more', async (t) => {
  for (const size of [511, 512, 513]) {
    const pending = new PendingInput(Buffer.alloc(size, 'x'), NO_LIMIT);
    pending.append(Buffer.from('y'));
    pending.append(Buffer.from('z'));
    t.equal(textOf(pending), `${'x'.repeat(size)}yz`, String(size));
  }
});

test('nothing is something that can be appended, and begun with', async (t) => {
  const pending = new PendingInput(Buffer.alloc(0), NO_LIMIT);
  t.equal(pending.byteLength, 0);
  pending.append(Buffer.alloc(0));
  pending.append(Buffer.from('a'));
  t.equal(textOf(pending), 'a');
});

test('what is used makes room', async (t) => {
  const pending = new PendingInput(Buffer.alloc(512, 'x'), NO_LIMIT);
  for (let i = 0; i < 10_000; i++) {
    pending.start += 100;
    pending.append(Buffer.alloc(100, String(i % 10)));
  }
  t.equal(pending.byteLength, 512);
  t.ok(pending.bytes.length <= 2_048, `${pending.bytes.length} bytes for 512 that wait`);
  t.ok(textOf(pending).endsWith('9'.repeat(100)));
});

test('byte by byte it moves each byte a constant number of times', async (t) => {
  const pending = new PendingInput(Buffer.alloc(0), NO_LIMIT);
  const count = 100_000;
  let moved = 0;
  let { bytes } = pending;
  for (let i = 0; i < count; i++) {
    pending.append(Buffer.of(i & 255));
    if (pending.bytes !== bytes) moved += pending.byteLength;
    bytes = pending.bytes;
  }
  t.equal(pending.byteLength, count);
  t.ok(moved < 3 * count, `${moved} bytes moved for ${count}`);
  t.ok(pending.bytes.length <= 4 * count, `${pending.bytes.length} bytes for ${count}`);
});

test(`whatever is appended and used, it is a queue (seed ${SEED})`, async (t) => {
  const random = new Random(SEED);
  let expected = '';
  const pending = new PendingInput(Buffer.alloc(0), NO_LIMIT);
  for (let i = 0; i < 5_000; i++) {
    const more = String.fromCharCode(random.below(256)).repeat(random.below(300));
    pending.append(Buffer.from(more, 'latin1'));
    expected += more;
    const used = random.below(Math.min(400, expected.length + 1));
    pending.start += used;
    expected = expected.slice(used);
    if (textOf(pending) !== expected) t.equal(textOf(pending), expected, `step ${i}`);
  }
  t.equal(pending.byteLength, expected.length);
});

test('room is made in advance up to the limit, and beyond it for what has come', async (t) => {
  const limit = 65_536;
  for (const first of [limit - 1, limit, limit + 1]) {
    const pending = new PendingInput(Buffer.alloc(first), limit);
    t.equal(pending.capacity, Math.max(first, 512), `${first} bytes`);
    pending.append(Buffer.alloc(10));
    t.equal(pending.capacity, Math.max(first + 10, limit), `${first} bytes and 10 more`);
  }
  const small = new PendingInput(Buffer.alloc(1), limit);
  for (let i = 1; i < limit; i++) small.append(Buffer.of(0));
  t.equal(small.capacity, limit);
  small.append(Buffer.of(0));
  t.equal(small.capacity, limit + 1);
});

test('a promised length is reserved once a quarter of it has come, and only where all of it is kept', async (t) => {
  t.equal(new PendingInput(Buffer.alloc(25_000), NO_LIMIT, 100_000).capacity, 100_000);
  t.equal(new PendingInput(Buffer.alloc(24_999), NO_LIMIT, 100_000).capacity, 24_999);
  const pending = new PendingInput(Buffer.alloc(25_000), 30_000);
  t.equal(pending.capacity, 25_000);
  pending.expectAll(100_000);
  pending.append(Buffer.alloc(1));
  t.equal(pending.capacity, 100_000);
  t.equal(pending.byteLength, 25_001);
});
