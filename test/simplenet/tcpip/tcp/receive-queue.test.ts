/** ReceiveQueue: any order of arrival gives the same bytes, and the SACK blocks are those of RFC 2018 and RFC 2883. */

import fc from 'fast-check';
import { test } from 'tap';
import { ReceiveQueue } from '../../../../simplenet/tcpip/tcp/receive-queue.ts';
import { add, difference } from '../../../../simplenet/tcpip/tcp/sequence.ts';

const limits = { maxBytes: 65_536, maxRanges: 16 };

/** Sends segments in one frame, whose memory is used again and again, as the stack does. */
class Peer {
  readonly queue: ReceiveQueue;
  readonly #frame = Buffer.alloc(100_000);
  constructor(firstSequence: number, queueLimits = limits) {
    this.queue = new ReceiveQueue(firstSequence, queueLimits);
  }
  send(sequence: number, bytes: string | Uint8Array): number {
    const payload = Buffer.from(bytes as string);
    this.queue.keep();
    this.#frame.fill('#');
    payload.copy(this.#frame, 54);
    return this.queue.receive(sequence, this.#frame, 54, 54 + payload.length);
  }
  /** A segment of `length` bytes, and the SACK blocks of the ACK for it. */
  sacksAfter(sequence: number, length = 500): [number, ...number[]] {
    this.send(sequence, Buffer.alloc(length));
    return [this.queue.nextSequence, ...this.queue.takeSackBlocks(4)];
  }
}

function readAll(queue: ReceiveQueue): string {
  const parts: Buffer[] = [];
  for (let bytes = queue.readable; bytes !== null; bytes = queue.readable) {
    parts.push(Buffer.from(bytes));
    queue.consume(bytes.length);
  }
  return Buffer.concat(parts).toString('latin1');
}

test('bytes in order are read where they lie', async (t) => {
  const queue = new ReceiveQueue(100, limits);
  const frame = Buffer.from('headhello');
  t.equal(queue.readable, null);
  t.equal(queue.receive(100, frame, 4, 9), 5);
  t.equal(queue.nextSequence, 105);
  t.equal(queue.readable?.buffer, frame.buffer);
  t.equal(queue.readable?.toString(), 'hello');
  queue.consume(2);
  t.equal(queue.readable?.toString(), 'llo');
  t.equal(queue.readableBytes, 3);
  queue.consume(3);
  t.equal(queue.readable, null);
  t.equal(queue.windowBytes, 65_536);
  queue.keep();
  t.equal(queue.readable, null);
});

test('what is not read at once is kept, and the frame may be used again', async (t) => {
  const peer = new Peer(0);
  peer.send(0, 'abc');
  peer.queue.consume(1);
  peer.send(3, 'def');
  peer.send(6, 'ghi');
  t.equal(peer.queue.readableBytes, 8);
  t.equal(peer.queue.windowBytes, 65_536 - 8);
  t.equal(readAll(peer.queue), 'bcdefghi');
  t.equal(peer.queue.windowBytes, 65_536);
});

test('bytes that are here already, or outside the window, are left out', async (t) => {
  const peer = new Peer(1_000, { maxBytes: 10, maxRanges: 4 });
  t.equal(peer.send(1_000, 'abcd'), 4);
  t.equal(peer.send(998, 'zzzzzzef'), 2, 'two bytes are new');
  t.equal(peer.send(1_000, 'zzzz'), 0, 'all are old');
  t.equal(peer.send(1_006, ''), 0);
  t.equal(peer.send(1_009, 'jk'), 0, 'only the j is inside');
  t.equal(peer.send(1_010, 'k'), 0);
  t.equal(peer.queue.outOfOrderBytes, 1);
  t.equal(peer.send(1_006, 'ghiZZZ'), 4, 'to the edge of the window, and the first j stays');
  t.equal(peer.queue.windowBytes, 0);
  t.equal(peer.send(1_010, 'k'), 0, 'a full window takes nothing');
  t.equal(readAll(peer.queue), 'abcdefghij');
  peer.queue.maxBytes = 11;
  t.equal(peer.send(1_010, 'klmnopqrstuvwxyz'), 11, 'a larger buffer');
  peer.queue.maxBytes = 5;
  t.equal(peer.queue.windowBytes, 0, 'a smaller one');
});

test('segments out of order, across 2^32', async (t) => {
  const peer = new Peer(0xffff_fffe);
  t.equal(peer.send(add(0xffff_fffe, 6), 'gh'), 0);
  t.equal(peer.send(add(0xffff_fffe, 2), 'cd'), 0);
  t.same(peer.queue.takeSackBlocks(4), [0, 2, 4, 6]);
  t.equal(peer.send(0xffff_fffe, 'ab'), 4);
  t.equal(peer.queue.nextSequence, 2);
  t.equal(peer.send(2, 'efXX'), 4);
  t.equal(readAll(peer.queue), 'abcdefgh');
  t.equal(peer.queue.outOfOrderBytes, 0);
});

test('bytes that came first stay', async (t) => {
  const peer = new Peer(0);
  peer.send(4, 'E');
  peer.send(8, 'IJ');
  peer.send(2, 'xxxxxxxxxxxx');
  peer.send(0, 'yyyyyyyyyyyyyyyy');
  t.equal(readAll(peer.queue), 'yyxxExxxIJxxxxyy');
});

test('RFC 2018 section 4: the examples', async (t) => {
  const lost1 = new Peer(5_000);
  t.same(lost1.sacksAfter(5_500), [5_000, 5_500, 6_000]);
  t.same(lost1.sacksAfter(6_000), [5_000, 5_500, 6_500]);
  t.same(lost1.sacksAfter(6_500), [5_000, 5_500, 7_000]);
  const lost2468 = new Peer(5_000);
  t.same(lost2468.sacksAfter(5_000), [5_500]);
  t.same(lost2468.sacksAfter(6_000), [5_500, 6_000, 6_500]);
  t.same(lost2468.sacksAfter(7_000), [5_500, 7_000, 7_500, 6_000, 6_500]);
  t.same(lost2468.sacksAfter(8_000), [5_500, 8_000, 8_500, 7_000, 7_500, 6_000, 6_500]);
  t.same(lost2468.sacksAfter(6_500), [5_500, 6_000, 7_500, 8_000, 8_500], 'the fourth arrives');
  t.same(lost2468.sacksAfter(5_500), [7_500, 8_000, 8_500], 'and the second');
});

test('RFC 2883 section 4: the examples', async (t) => {
  const lostAck = new Peer(3_000);
  t.same(lostAck.sacksAfter(3_000), [3_500]);
  t.same(lostAck.sacksAfter(3_500), [4_000]);
  t.equal(lostAck.queue.hasSackBlocks, false);
  lostAck.send(3_000, Buffer.alloc(500));
  t.equal(lostAck.queue.hasSackBlocks, true);
  t.same(lostAck.queue.takeSackBlocks(4), [3_000, 3_500]);
  t.same(lostAck.queue.takeSackBlocks(4), [], 'a duplicate is reported once');
  const withGap = new Peer(3_500);
  withGap.sacksAfter(3_500);
  t.same(withGap.sacksAfter(4_500), [4_000, 4_500, 5_000]);
  t.same(withGap.sacksAfter(3_000), [4_000, 3_000, 3_500, 4_500, 5_000]);
  t.same(withGap.sacksAfter(5_000), [4_000, 4_500, 5_500]);
  t.same(withGap.sacksAfter(5_000), [4_000, 5_000, 5_500, 4_500, 5_500], 'a duplicate behind the gap');
  t.same(withGap.sacksAfter(4_750, 1_000), [4_000, 4_750, 5_500, 4_500, 5_750], 'partly a duplicate');
  t.same(withGap.sacksAfter(3_750, 500), [4_250, 3_750, 4_000, 4_500, 5_750]);
  withGap.send(4_300, Buffer.alloc(1));
  t.equal(withGap.sacksAfter(4_250, 3_000)[1], 4_300, 'only the first of two pieces');
});

test('no more blocks than were asked for, and a block that is gone makes room for another range', async (t) => {
  const peer = new Peer(0);
  for (const sequence of [10, 20, 30, 40, 50, 60]) peer.send(sequence, 'x');
  t.same(peer.queue.takeSackBlocks(4), [60, 61, 50, 51, 40, 41, 30, 31]);
  t.same(peer.queue.takeSackBlocks(3), [60, 61, 50, 51, 40, 41]);
  peer.send(41, 'x'.repeat(9));
  t.same(peer.queue.takeSackBlocks(4), [40, 51, 60, 61, 30, 31, 10, 11]);
  peer.send(0, 'x'.repeat(10));
  t.same(peer.queue.takeSackBlocks(4), [40, 51, 60, 61, 30, 31, 20, 21]);
});

test('so many ranges and no more, but a segment in order is always taken', async (t) => {
  const peer = new Peer(0, { maxBytes: 100, maxRanges: 2 });
  peer.send(2, 'c');
  peer.send(4, 'e');
  t.equal(peer.queue.outOfOrderBytes, 2, 'two ranges');
  peer.send(6, 'g');
  t.equal(peer.queue.outOfOrderBytes, 2, 'not a third one');
  peer.send(5, 'f');
  t.equal(peer.queue.outOfOrderBytes, 3, 'a range may grow');
  t.equal(peer.send(0, 'a'), 1, 'in order');
  t.equal(peer.send(1, 'bcd'), 5);
  peer.send(7, 'h');
  t.equal(peer.queue.outOfOrderBytes, 1, 'there is room again');
  t.equal(readAll(peer.queue), 'abcdef');
});

test('clear forgets all bytes, and the stream goes on', async (t) => {
  const peer = new Peer(0);
  peer.send(0, 'abc');
  peer.send(3, 'def');
  peer.send(8, 'i');
  peer.send(8, 'i');
  peer.queue.clear();
  t.same([peer.queue.readableBytes, peer.queue.outOfOrderBytes, peer.queue.hasSackBlocks], [0, 0, false]);
  t.equal(peer.queue.readable, null);
  t.equal(peer.send(6, 'gh'), 2);
  t.equal(readAll(peer.queue), 'gh');
});

test('a peer that sends single bytes does not make each cost an object', async (t) => {
  const BYTES = 20_000;
  const queue = new ReceiveQueue(0, { maxBytes: 65_536, maxRanges: 256 });
  const frame = Buffer.alloc(1, 'x');
  // Every other byte of a block, then those between: ranges are joined all the time. The first byte comes last.
  for (let block = 0; block < BYTES; block += 400) {
    for (let at = block + 2; at < block + 400; at += 2) queue.receive(at, frame, 0, 1);
    for (let at = Math.max(1, block - 1); at < block + 400; at += 2) queue.receive(at, frame, 0, 1);
    if (block > 0) queue.receive(block, frame, 0, 1);
  }
  t.equal(queue.outOfOrderBytes, BYTES - 1);
  queue.receive(0, frame, 0, 1);
  t.equal(queue.readableBytes, BYTES);
  let pieces = 0;
  for (let bytes = queue.readable; bytes !== null; bytes = queue.readable) {
    queue.consume(bytes.length);
    pieces++;
  }
  t.ok(pieces < 40, `${pieces} pieces`);
});

test('long ranges are joined without copying', async (t) => {
  const peer = new Peer(0);
  const text = Buffer.from(Array.from({ length: 60_000 }, (_, i) => i * 7));
  peer.send(20_001, text.subarray(20_001, 40_000));
  peer.send(40_001, text.subarray(40_001));
  peer.send(40_000, text.subarray(40_000, 40_001));
  peer.send(0, text.subarray(0, 20_000));
  peer.send(20_000, text.subarray(20_000, 20_001));
  t.equal(readAll(peer.queue), text.toString('latin1'));
});

const stream = Buffer.from(Array.from({ length: 3_000 }, (_, i) => (i * 31) ^ (i >> 5)));
const piece = fc.tuple(fc.nat(stream.length), fc.constantFrom(1, 2, 3, 50, 300, 1_448));

/** What a queue must hold, byte by byte. */
function isRight(queue: ReceiveQueue, first: number, here: Uint8Array, consumed: number): boolean {
  let next = 0;
  while (here[next] === 1) next++;
  const behind = here.subarray(next).reduce((sum, byte) => sum + byte, 0);
  if (queue.nextSequence !== add(first, next) || queue.readableBytes !== next - consumed) return false;
  return queue.outOfOrderBytes === behind;
}

test('any order of arrival gives the same bytes', async (t) => {
  const run = fc.record({
    first: fc.integer({ min: 0xffff_f000, max: 0xffff_ffff }),
    pieces: fc.array(piece, { maxLength: 60 }),
    reads: fc.array(fc.nat(3), { minLength: 1, maxLength: 5 }),
  });
  fc.assert(
    fc.property(run, ({ first, pieces, reads }) => {
      const peer = new Peer(first, { maxBytes: 8_000, maxRanges: 100 });
      const { queue } = peer;
      const here = new Uint8Array(stream.length + 1);
      let consumed = 0;
      const read = (share: number): boolean => {
        const bytes = queue.readable;
        if (bytes === null) return true;
        const length = Math.ceil((bytes.length * share) / 3);
        const isEqual = bytes.subarray(0, length).equals(stream.subarray(consumed, consumed + length));
        queue.consume(length);
        consumed += length;
        return isEqual;
      };
      const whole: (readonly [number, number])[] = [...pieces];
      for (let at = 0; at < stream.length; at += 1_448) whole.push([at, 1_448]);
      for (const [i, [at, length]] of whole.entries()) {
        const bytes = stream.subarray(at, at + length);
        peer.send(add(first, at), bytes);
        here.fill(1, at, at + bytes.length);
        if (!read(reads[i % reads.length] as number)) return false;
        if (!isRight(queue, first, here, consumed)) return false;
        const blocks = queue.takeSackBlocks(4);
        for (let block = 0; block < blocks.length; block += 2) {
          const from = difference(blocks[block] as number, first);
          if (here.subarray(from, difference(blocks[block + 1] as number, first)).includes(0)) return false;
        }
      }
      while (queue.readable !== null) if (!read(3)) return false;
      return consumed === stream.length;
    }),
    { numRuns: 300 },
  );
  t.pass();
});
