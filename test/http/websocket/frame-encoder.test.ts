/** Frames of the server: what is encoded for many, and what is gathered for one connection. */

import { test } from 'tap';
import { WebSocketCounts } from '../../../http/web-socket-counts.ts';
import { encodeFrame } from '../../../http/websocket/frame-encoder.ts';
import {
  flushFor,
  flushGathered,
  gatheredFor,
  gatherFor,
  writeFrame,
  writeShared,
} from '../../../http/websocket/frame-output.ts';
import type { Stream } from '../../../simplenet/index.ts';
import { BINARY, serverFrames, TEXT } from '../../support/web-socket-frames.ts';

/** A stream that takes everything, and counts the writes. */
function sink(): {
  readonly stream: Stream;
  readonly writes: Buffer[];
  readonly counts: WebSocketCounts;
  room: number;
} {
  const writes: Buffer[] = [];
  const state = {
    writes,
    counts: new WebSocketCounts(),
    room: Number.POSITIVE_INFINITY,
    stream: null as unknown as Stream,
  };
  const write = (bytes: Uint8Array, length = bytes.length) => {
    writes.push(Buffer.from(bytes.subarray(0, length)));
    state.room -= length;
    return state.room >= 0;
  };
  const stream = {
    write,
    writeOwned: write,
    get queuedBytes() {
      return Math.max(0, -state.room);
    },
  };
  state.stream = stream as unknown as Stream;
  return state;
}

const texts = [
  '',
  'a',
  'x'.repeat(41),
  'x'.repeat(42),
  'x'.repeat(125),
  'x'.repeat(126),
  'ä'.repeat(62),
  'ä'.repeat(63),
];
const longTexts = [
  'ä'.repeat(5_461),
  'ä'.repeat(5_462),
  'x'.repeat(20_000),
  'x'.repeat(65_535),
  'x'.repeat(65_536),
  '😀'.repeat(20_000),
];

test('a text in one frame, whatever its length', async (t) => {
  for (const text of [...texts, ...longTexts]) {
    const shared = serverFrames(encodeFrame(TEXT, text));
    t.same([shared.frames.length, shared.rest.length, shared.frames[0]?.payload.toString()], [1, 0, text]);
    const { stream, writes, counts } = sink();
    t.ok(writeFrame(stream, counts, TEXT, text));
    const own = serverFrames(Buffer.concat(writes));
    t.same([own.frames.length, own.rest.length, own.frames[0]?.payload.toString()], [1, 0, text]);
    t.equal(own.frames[0]?.opcode, TEXT);
    t.equal(writes.length, 1);
    t.equal(counts.sentBytes, writes[0]?.length);
  }
});

test('bytes in one frame, and in one write unless they are many', async (t) => {
  for (const length of [0, 1, 125, 126, 16_384, 16_385, 65_535, 65_536, 1_000_000]) {
    const bytes = Buffer.alloc(length, length & 0xff);
    t.ok(serverFrames(encodeFrame(BINARY, bytes)).frames[0]?.payload.equals(bytes));
    const { stream, writes, counts } = sink();
    writeFrame(stream, counts, BINARY, bytes);
    const { frames } = serverFrames(Buffer.concat(writes));
    t.ok(frames[0]?.payload.equals(bytes), `${length} bytes`);
    t.equal(writes.length, length > 16_384 ? 2 : 1);
    t.equal(counts.sentBytes, Buffer.concat(writes).length);
  }
});

test('what is sent while input is read leaves in one write, in order', async (t) => {
  const { stream, writes, counts } = sink();
  const other = sink();
  gatherFor(stream);
  for (let i = 0; i < 10; i++) writeFrame(stream, counts, TEXT, `${i}`);
  writeFrame(other.stream, other.counts, TEXT, 'at once');
  t.equal(writes.length, 0);
  t.equal(gatheredFor(stream), 30);
  t.equal(gatheredFor(other.stream), 0);
  t.equal(other.writes.length, 1);
  t.ok(flushGathered());
  t.equal(writes.length, 1);
  t.equal(counts.sentBytes, 30);
  t.same(
    serverFrames(writes[0] as Buffer).frames.map(({ payload }) => payload.toString()),
    [...'0123456789'],
  );
  t.ok(flushGathered()); // nothing is gathered
});

test('what cannot be gathered comes after what is gathered', async (t) => {
  const { stream, writes, counts } = sink();
  gatherFor(stream);
  t.ok(flushFor(stream) === undefined);
  writeFrame(stream, counts, TEXT, 'first');
  writeShared(stream, counts, encodeFrame(TEXT, 'second'));
  writeFrame(stream, counts, TEXT, 'third');
  writeFrame(stream, counts, BINARY, Buffer.alloc(20_000));
  writeFrame(stream, counts, TEXT, 'fourth');
  flushFor(stream);
  for (let i = 0; i < 8; i++) writeFrame(stream, counts, BINARY, Buffer.alloc(16_000, i));
  t.ok(flushGathered());
  t.equal(counts.sentBytes, Buffer.concat(writes).length);
  const { frames } = serverFrames(Buffer.concat(writes));
  t.same(
    frames.map(({ payload }) => (payload.length < 10 ? payload.toString() : payload.length)),
    ['first', 'second', 'third', 20_000, 'fourth', ...Array(8).fill(16_000)],
  );
});

test('false means that the stream has queued something', async (t) => {
  const state = sink();
  state.room = 10;
  t.ok(writeFrame(state.stream, state.counts, TEXT, 'x'));
  t.notOk(writeFrame(state.stream, state.counts, TEXT, 'x'.repeat(10)));
  gatherFor(state.stream);
  t.notOk(writeFrame(state.stream, state.counts, TEXT, 'y'));
  t.notOk(flushGathered());
  state.room = 100;
  gatherFor(state.stream);
  t.ok(flushGathered());
});
