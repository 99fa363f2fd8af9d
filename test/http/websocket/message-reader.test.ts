/** Messages from frames in pieces of every size: text, bytes, control frames between, and memory that follows what has come. */

import { test } from 'tap';
import { MessageReader } from '../../../http/websocket/message-reader.ts';
import { BINARY, CLOSE, CONTINUATION, clientFrame, PING, PONG, TEXT } from '../../support/web-socket-frames.ts';

type Message = readonly [kind: number, content: string | Buffer];

interface ReadResult {
  readonly messages: Message[];
  readonly code: number;
  readonly fault: string;
}

function readAll(input: Buffer, pieceBytes: number, max = 1_000_000, takesRsv1 = false): ReadResult {
  const reader = MessageReader.lend(max, takesRsv1);
  const messages: Message[] = [];
  for (let from = 0; from < input.length; from += pieceBytes) {
    const piece = Buffer.from(input.subarray(from, from + pieceBytes));
    for (let at = 0; at < piece.length; ) {
      at = reader.read(piece, at, piece.length);
      if (at < 0) {
        reader.giveBack();
        return { messages, code: -at, fault: reader.fault };
      }
      const { kind } = reader;
      if (kind === TEXT && !reader.isTransformed) messages.push([kind, reader.text]);
      else if (kind !== 0) messages.push([kind, Buffer.from(reader.payload)]);
    }
  }
  const { isIdle } = reader;
  reader.giveBack();
  return { messages, code: isIdle ? 0 : -1, fault: '' };
}

const SIZES = [1, 2, 3, 7, 16, 100, 1_000, 1_000_000];

const umlauts = 'grüße 😀 '.repeat(400);

test('messages are the same in pieces of any size', async (t) => {
  const input = Buffer.concat([
    clientFrame(TEXT, 'hello'),
    clientFrame(TEXT, ''),
    clientFrame(TEXT, umlauts),
    clientFrame(BINARY, Buffer.alloc(3_000, 7)),
    clientFrame(TEXT, Buffer.from('ä').subarray(0, 1), { isFinal: false }),
    clientFrame(PING, 'are you there'),
    clientFrame(CONTINUATION, Buffer.from('ä').subarray(1), { isFinal: false }),
    clientFrame(CONTINUATION, '', { isFinal: false }),
    clientFrame(CONTINUATION, 'b'),
    clientFrame(BINARY, 'x', { isFinal: false }),
    clientFrame(CONTINUATION, ''),
    clientFrame(PONG, ''),
    clientFrame(CLOSE, Buffer.from([0x03, 0xe8])),
  ]);
  const expected: Message[] = [
    [TEXT, 'hello'],
    [TEXT, ''],
    [TEXT, umlauts],
    [BINARY, Buffer.alloc(3_000, 7)],
    [PING, Buffer.from('are you there')],
    [TEXT, 'äb'],
    [BINARY, Buffer.from('x')],
    [PONG, Buffer.alloc(0)],
    [CLOSE, Buffer.from([0x03, 0xe8])],
  ];
  for (const size of SIZES)
    t.same(readAll(input, size), { messages: expected, code: 0, fault: '' }, `pieces of ${size}`);
});

test('a text that is not UTF-8 is refused at its first wrong byte', async (t) => {
  const wrong = Buffer.concat([Buffer.from('x'.repeat(40)), Buffer.from([0xff]), Buffer.from('y'.repeat(1_000))]);
  for (const size of SIZES) t.match(readAll(clientFrame(TEXT, wrong), size), { code: 1007, fault: /UTF-8/ });
  // 8 bytes of header, 40 of text and the wrong one: the rest has not come.
  t.equal(readAll(clientFrame(TEXT, wrong).subarray(0, 49), 49).code, 1007);
  t.equal(readAll(clientFrame(TEXT, wrong).subarray(0, 48), 48).code, -1);
  // A character that is not complete at the end of the message.
  for (const size of SIZES) t.equal(readAll(clientFrame(TEXT, Buffer.from([0x41, 0xe2, 0x82])), size).code, 1007);
  const halves = [
    clientFrame(TEXT, Buffer.from([0xe2, 0x82]), { isFinal: false }),
    clientFrame(CONTINUATION, Buffer.from('x')),
  ];
  t.equal(readAll(Buffer.concat(halves), 1_000).code, 1007);
});

test('faults of frames are passed on', async (t) => {
  t.match(readAll(clientFrame(TEXT, 'a', { mask: null }), 100), { code: 1002, fault: /mask/ });
  t.match(readAll(clientFrame(TEXT, 'a'.repeat(11)), 1, 10), { code: 1009, fault: /above 10 bytes/ });
});

test('a transformed message is not looked into', async (t) => {
  const input = Buffer.concat([
    clientFrame(TEXT, Buffer.from([0xff, 0xfe]), { reserved: 4, isFinal: false }),
    clientFrame(CONTINUATION, Buffer.from([0xfd])),
    clientFrame(BINARY, 'ab', { reserved: 4 }),
  ]);
  for (const size of SIZES) {
    t.same(readAll(input, size, 1_000, true).messages, [
      [TEXT, Buffer.from([0xff, 0xfe, 0xfd])],
      [BINARY, Buffer.from('ab')],
    ]);
  }
});

test('bytes of a message belong to the program', async (t) => {
  const reader = MessageReader.lend(1_000, false);
  const bytes = Buffer.concat([clientFrame(BINARY, 'first'), clientFrame(BINARY, 'other')]);
  const next = reader.read(bytes, 0, bytes.length);
  const { payload } = reader;
  reader.read(bytes, next, bytes.length);
  bytes.fill(0);
  t.equal(payload.toString(), 'first');
  reader.giveBack();
});

test('a message in many fragments is copied a few times, and keeps no more than twice its size', async (t) => {
  const parts = [clientFrame(BINARY, 'a', { isFinal: false })];
  for (let i = 0; i < 4_999; i++) parts.push(clientFrame(CONTINUATION, 'b', { isFinal: i === 4_998 }));
  const reader = MessageReader.lend(1_000_000, false);
  const bytes = Buffer.concat(parts);
  for (let at = 0; at < bytes.length; ) at = reader.read(bytes, at, bytes.length);
  t.equal(reader.payload.length, 5_000);
  t.ok(reader.payload.buffer.byteLength <= 10_000);
  reader.giveBack();
});

test('a declared length reserves no memory before a quarter of it has come', async (t) => {
  const reader = MessageReader.lend(64 * 1_024 * 1_024, false);
  const before = process.memoryUsage().arrayBuffers;
  const bytes = clientFrame(BINARY, Buffer.alloc(1_000), { declared: 60_000_000n });
  for (let at = 0; at < bytes.length; ) at = reader.read(bytes, at, bytes.length);
  t.ok(process.memoryUsage().arrayBuffers - before < 1_000_000);
  t.notOk(reader.isIdle);
  reader.giveBack();
});

test('readers are used again, without anything of the last connection', async (t) => {
  const readers = Array.from({ length: 20 }, () => MessageReader.lend(1_000, false));
  const half = clientFrame(TEXT, 'secret').subarray(0, 9);
  for (const reader of readers) reader.read(Buffer.from(half), 0, half.length);
  for (const reader of readers) reader.giveBack();
  for (let i = 0; i < 20; i++)
    t.same(readAll(clientFrame(TEXT, 'new'), 1), { messages: [[TEXT, 'new']], code: 0, fault: '' });
});
