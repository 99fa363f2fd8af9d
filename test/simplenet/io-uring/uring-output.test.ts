/**
 * The output of one stream, with a ring that only records its sends.
 *
 * Next: uring-stream.test.ts
 */

import { test } from 'tap';
import type { IoUring } from '../../../simplenet/io-uring/io-uring.ts';
import { type Piece, SendMemory } from '../../../simplenet/io-uring/send-memory.ts';
import { UringOutput } from '../../../simplenet/io-uring/uring-output.ts';
import { EFAULT, MSG_MORE } from '../../../simplenet/kernel/abi.ts';
import { libc } from '../../../simplenet/kernel/libc.ts';

interface Send {
  readonly length: number;
  readonly flags: number;
}

/** Remembers which pieces it has given out, to read what a send points to. */
class Memory extends SendMemory {
  readonly pieces: Piece[] = [];
  readonly freed: Piece[] = [];

  override take(byteLength: number): Piece {
    const piece = super.take(byteLength);
    this.pieces.push(piece);
    return piece;
  }

  override giveBack(piece: Piece): void {
    this.freed.push(piece);
    super.giveBack(piece);
  }
}

function setup() {
  const sends: Send[] = [];
  const ring = {
    send: (_fd: number, _tag: number, _address: number, length: number, flags: number) => sends.push({ length, flags }),
  } as unknown as IoUring;
  const memory = new Memory(libc);
  const output = new UringOutput(memory);
  const send = (maxBytes = Number.POSITIVE_INFINITY) => output.send(ring, 3, 1, maxBytes, 0);
  return { output, memory, sends, send };
}

const bytes = Buffer.alloc(70_000, 'x');

test('bytes gathered while a send is in the kernel go with the next one', async (t) => {
  const { output, sends, send } = setup();
  t.ok(output.gather(bytes, 100, false));
  t.equal(output.prepare(), 100);
  t.equal(send(), 100);
  t.ok(output.isInKernel);
  t.equal(output.prepare(), 0, 'one send at a time');
  t.ok(output.gather(bytes, 30, false));
  t.ok(output.gather(bytes, 3, false));
  t.ok(output.sent(100), 'all that was offered');
  t.equal(output.prepare(), 33);
  send();
  t.ok(output.sent(33));
  t.ok(output.isEmpty);
  t.strictSame(sends, [
    { length: 100, flags: 0 },
    { length: 33, flags: 0 },
  ]);
});

test('a short send leaves the rest in its place, and MSG_MORE says that more follows', async (t) => {
  const { output, sends, send } = setup();
  output.gather(bytes, 1_000, false);
  output.prepare();
  t.equal(send(600), 600);
  t.notOk(output.sent(400));
  t.equal(output.prepare(), 600);
  send();
  t.ok(output.sent(600));
  output.gather(bytes, 10, true);
  output.prepare();
  send();
  t.strictSame(sends, [
    { length: 600, flags: MSG_MORE },
    { length: 600, flags: 0 },
    { length: 10, flags: MSG_MORE },
  ]);
});

test('128 KiB are gathered, and not a byte more', async (t) => {
  const { output } = setup();
  t.notOk(output.gather(bytes, 61_441, false), 'one write has a limit of its own');
  t.ok(output.gather(bytes, 61_440, false));
  t.ok(output.gather(bytes, 61_440, false));
  t.ok(output.gather(bytes, 8_191, false));
  t.notOk(output.gather(bytes, 2, false));
  t.ok(output.gather(bytes, 1, false));
  t.notOk(output.gather(bytes, 1, false));
  t.equal(output.queuedBytes, 0, 'for the program they are sent');
});

test('queued bytes are sent after gathered ones, and nothing is gathered while bytes are queued', async (t) => {
  const { output, send } = setup();
  output.gather(bytes, 5, false);
  output.push(bytes, 20_000, true);
  t.notOk(output.gather(bytes, 1, false));
  t.equal(output.pushedBytes, 20_000);
  t.equal(output.queuedBytes, 20_005);
  t.ok(output.mustBeSent);
  t.equal(output.prepare(), 5);
  send();
  output.sent(5);
  t.equal(output.nextBytes, 20_000);
  t.equal(output.prepare(), 20_000);
  t.notOk(output.mustBeSent, 'the program was told that it waits');
  t.equal(output.queuedBytes, 20_000);
});

/** The output of a stream that gets an event which another stream has had before. */
function withEvent() {
  const event = Buffer.from('event!');
  const world = setup();
  world.memory.share(event);
  return { ...world, event };
}

test('an event for many streams is sent from where it lies', async (t) => {
  const { output, memory, sends, send, event } = withEvent();
  t.notOk(setup().output.gatherShared(event), 'the first stream copies it');
  t.ok(output.gatherShared(event));
  t.ok(output.mustBeSent, 'it leaves even if the stream is closed');
  t.equal(output.prepare(), 6);
  send();
  t.ok(output.gatherShared(event), 'the next one waits behind it');
  t.notOk(output.gatherShared(event), 'and a third one is copied, to leave with that');
  t.ok(output.sent(6));
  t.equal(output.prepare(), 6);
  send();
  t.ok(output.sent(6));
  t.ok(output.isEmpty);
  t.strictSame(memory.pieces, [], 'nothing was copied');
  t.strictSame(sends, [
    { length: 6, flags: 0 },
    { length: 6, flags: 0 },
  ]);
  output.push(bytes, 10, false);
  t.notOk(output.gatherShared(event), 'it does not overtake what is queued');
});

test('what is gathered behind an event leaves in the same send', async (t) => {
  const { output, memory, sends, send, event } = withEvent();
  output.gatherShared(event);
  output.gather(Buffer.from('more'), 4, false);
  t.equal(output.prepare(), 10);
  send();
  output.gatherShared(event);
  output.gather(Buffer.from('again'), 5, false);
  output.sent(10);
  t.equal(output.prepare(), 11);
  send();
  output.sent(11);
  t.ok(output.isEmpty);
  const textOf = (at: number, length: number) =>
    Buffer.from((memory.pieces[at] as Piece).bytes).toString('latin1', 0, length);
  t.same([textOf(0, 10), textOf(1, 11)], ['event!more', 'event!again']);
  t.equal(sends.length, 2);
});

test('a write that finds nothing else pushed is copied into a piece, and counts as queued', async (t) => {
  const { output, memory, sends, send } = setup();
  for (const round of [1, 2]) {
    t.notOk(output.gather(bytes, 65_536, false));
    output.push(bytes, 65_536, false);
    t.same([output.queuedBytes, output.pushedBytes, output.nextBytes], [65_536, 65_536, 65_536]);
    t.notOk(output.mustBeSent, 'the program does not count it as sent');
    t.notOk(output.gather(bytes, 1, false));
    output.push(bytes, 10, false);
    t.equal(output.queuedBytes, 65_546);
    t.equal(memory.pieces.length, round, 'what is behind it gets no piece');
    t.equal(output.prepare(), 65_536);
    t.equal(send(), 65_536);
    t.equal(sends.at(-1)?.flags, MSG_MORE);
    t.ok(output.sent(65_536));
    t.equal(output.prepare(), 10, 'what is behind it waits in the queue');
    send();
    output.sent(10);
    output.countsAsQueued = false;
    t.equal(memory.freed.filter((piece) => piece === memory.pieces[0]).length, round, 'its memory is used again');
  }
  const long = Buffer.alloc(131_073, 'x');
  for (const [length, pieces] of [
    [131_072, 1],
    [131_073, 0],
  ] as const) {
    const { output, memory } = setup();
    output.push(long, length, false);
    t.equal(memory.pieces.length, pieces, `${length} bytes`);
    t.equal(output.queuedBytes, length);
  }
});

test('behind gathered bytes, too, and they leave first', async (t) => {
  const { output, memory, sends, send } = setup();
  output.gather(bytes, 100, false);
  output.push(bytes, 65_000, false);
  output.push(bytes, 20_000, false);
  t.equal(memory.pieces.length, 2, 'the third write waits in the queue');
  t.same([output.queuedBytes, output.pushedBytes], [85_100, 85_000]);
  for (const length of [100, 65_000, 20_000]) {
    t.equal(output.prepare(), length);
    t.equal(output.mustBeSent, length === 100);
    t.equal(send(), length);
    t.ok(output.sent(length));
  }
  t.ok(output.isEmpty);
  t.same(
    sends.map(({ flags }) => flags),
    [MSG_MORE, MSG_MORE, 0],
  );
  t.ok(memory.pieces.every((piece) => memory.freed.includes(piece)));
});

test('the last piece is sent without MSG_MORE, and the pieces hold what was written', async (t) => {
  const { output, memory, sends, send } = setup();
  output.gather(Buffer.from('first'), 5, false);
  output.push(Buffer.from('second'), 6, false);
  for (const length of [5, 6]) {
    t.equal(output.prepare(), length);
    send();
    output.sent(length);
  }
  t.strictSame(sends, [
    { length: 5, flags: MSG_MORE },
    { length: 6, flags: 0 },
  ]);
  t.same(
    memory.pieces.map(({ bytes }, i) => Buffer.from(bytes).toString('latin1', 0, 5 + i)),
    ['first', 'second'],
  );
});

test('of a closed stream, what was gathered is sent, and nothing behind it', async (t) => {
  const { output, memory, sends, send } = setup();
  output.gather(bytes, 100, false);
  output.push(bytes, 65_000, false);
  output.dropQueue();
  t.ok(output.mustBeSent);
  t.equal(output.pushedBytes, 0);
  t.equal(memory.freed.length, 1, 'the memory of the other bytes is free at once');
  output.prepare();
  send();
  output.sent(100);
  t.ok(output.isEmpty);
  t.strictSame(sends, [{ length: 100, flags: 0 }]);
});

test('dropped bytes keep their memory until their send has completed', async (t) => {
  const { output, memory, send } = setup();
  output.gather(bytes, 100, false);
  output.prepare();
  send();
  output.gather(bytes, 2_000, false);
  output.push(bytes, 10, false);
  output.drop();
  t.ok(output.isDropped);
  t.strictSame(memory.freed, [], 'the kernel may still read');
  output.sent(40);
  t.strictSame(memory.freed, memory.pieces);
  t.ok(output.isEmpty);
  t.equal(output.queuedBytes, 0);
});

test('a lost ring keeps the memory that the kernel may read', async (t) => {
  const { output, memory, send } = setup();
  output.gather(bytes, 100, false);
  output.prepare();
  send();
  output.push(bytes, 65_000, false);
  output.lose();
  t.ok(output.isEmpty);
  t.equal(output.pushedBytes, 0);
  t.notOk(output.isInKernel);
  t.strictSame(memory.freed, []);
});

test('bytes that the program gave away and took back cannot be sent', async (t) => {
  const { output } = setup();
  const given = new Uint8Array(20_000);
  output.push(given, given.length, true);
  structuredClone(given, { transfer: [given.buffer] });
  t.equal(output.prepare(), -EFAULT);
  t.ok(output.isEmpty);
});

test('where nothing was written, or no byte, there is nothing to send', async (t) => {
  const { output } = setup();
  t.equal(output.nextBytes, 0);
  t.equal(output.prepare(), 0);
  output.push(bytes, 0, false);
  t.equal(output.prepare(), 0);
  t.equal(output.nextBytes, 0);
  t.ok(output.isEmpty);
});
