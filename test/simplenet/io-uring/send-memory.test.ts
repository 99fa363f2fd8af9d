/**
 * Memory for bytes to be sent: which pieces there are, and when they are reused.
 *
 * Next: uring-output.test.ts
 */

import { test } from 'tap';
import { MAX_PIECE_BYTES, type Piece, SendMemory } from '../../../simplenet/io-uring/send-memory.ts';
import { libc } from '../../../simplenet/kernel/libc.ts';

test('a piece has room for the requested length, and less than twice as much', async (t) => {
  const memory = new SendMemory(libc);
  for (const [asked, room] of [
    [1, 1_024],
    [1_024, 1_024],
    [1_025, 2_048],
    [2_048, 2_048],
    [2_049, 4_096],
    [MAX_PIECE_BYTES, MAX_PIECE_BYTES],
  ] as const) {
    const piece = memory.take(asked);
    t.equal(piece.bytes.length, room, `${asked} bytes`);
    t.equal(piece.address, libc.addressOf(piece.bytes, 0, room));
    t.equal(piece.byteLength, 0);
  }
});

test('bytes are added as long as there is room, and copied', async (t) => {
  const memory = new SendMemory(libc);
  const piece = memory.take(1_000);
  const source = Buffer.alloc(1_000, 'a');
  t.ok(memory.append(piece, source, 1_000));
  source.fill('b');
  t.notOk(memory.append(piece, source, 25), 'one more than there is room for');
  t.ok(memory.append(piece, source, 23), 'another length of the same bytes');
  t.ok(memory.append(piece, Buffer.from('c'), 1));
  t.notOk(memory.append(piece, source, 1));
  t.equal(Buffer.from(piece.bytes).toString(), `${'a'.repeat(1_000)}${'b'.repeat(23)}c`);
  t.equal(piece.byteLength, 1_024);
});

test('owned bytes are not copied', async (t) => {
  const memory = new SendMemory(libc);
  const bytes = Buffer.alloc(2_000, 'x');
  const piece = memory.own(bytes, 100, 1_500);
  t.equal(piece.bytes, bytes);
  t.equal(piece.byteLength, 1_400);
  t.notOk(memory.append(piece, Buffer.from('more'), 4), 'there is room behind it, which is not ours');
  memory.giveBack(piece);
  t.not(memory.take(2_000), piece);
});

test('bytes that a program gives away again are shared', async (t) => {
  const memory = new SendMemory(libc);
  const event = Buffer.from('an event for all');
  t.equal(memory.share(event), null, 'nobody knows yet that they come again');
  const pieces = [memory.share(event), memory.share(event)] as [Piece, Piece];
  for (const piece of pieces) {
    t.equal(piece.bytes, event);
    t.equal(piece.address, libc.addressOf(event, 0, event.length));
    t.equal(piece.byteLength, event.length);
    t.ok(piece.isFromProgram);
    memory.giveBack(piece);
  }
  t.not(pieces[0], pieces[1], 'each stream has sent its own part of them');
  try {
    structuredClone(event.buffer, { transfer: [event.buffer] });
  } catch {} // Node 20 copies instead
  t.equal(event.length, 16, 'a program cannot take them away while the kernel reads them');
  t.equal(memory.share(Buffer.from('another')), null);
  t.equal(memory.share(event), null);
});

test('a piece that was given back is taken again, the last one first, and 4 MiB of a size are kept', async (t) => {
  const memory = new SendMemory(libc);
  const KEPT = 32; // of the largest
  const takeAll = () => Array.from({ length: KEPT + 1 }, () => memory.take(MAX_PIECE_BYTES));
  const pieces = takeAll();
  for (const piece of pieces) {
    memory.append(piece, Buffer.from('used'), 4);
    memory.giveBack(piece);
    t.equal(piece.byteLength, 0);
  }
  const again = takeAll();
  t.same(
    again.map((piece) => pieces.indexOf(piece)),
    [...Array(KEPT).keys()].reverse().concat(-1),
  );
  const small: Piece = memory.take(1);
  t.equal(small.bytes.length, 1_024, 'each size has its own');
});
