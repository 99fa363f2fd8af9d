/** Frames in pieces of every size, and each fault with its code, at the byte that shows it. */

import { test } from 'tap';
import { FrameDecoder } from '../../../http/websocket/frame-decoder.ts';
import {
  BINARY,
  CLOSE,
  CONTINUATION,
  clientFrame,
  type FrameOptions,
  PING,
  PONG,
  TEXT,
} from '../../support/web-socket-frames.ts';

interface Frame {
  readonly opcode: number;
  readonly isFinal: boolean;
  readonly isTransformed: boolean;
  payload: string;
}

interface Decoded {
  readonly frames: Frame[];
  /** 0, or the code of the fault. */
  readonly code: number;
  readonly fault: string;
  /** How many bytes had come when the fault was found. */
  readonly bytes: number;
  readonly isIdle: boolean;
}

interface Setting {
  readonly max?: number;
  readonly takesRsv1?: boolean;
}

function decode(
  input: Buffer,
  pieceBytes = input.length,
  { max = 1_000_000, takesRsv1 = false }: Setting = {},
): Decoded {
  const decoder = new FrameDecoder();
  decoder.reset(max, takesRsv1);
  const frames: Frame[] = [];
  let isInFrame = false;
  for (let from = 0; from < input.length; from += pieceBytes) {
    const piece = Buffer.from(input.subarray(from, from + pieceBytes));
    for (let at = 0; at < piece.length; ) {
      at = decoder.read(piece, at, piece.length);
      if (at < 0) return { frames, code: -at, fault: decoder.fault, bytes: from + piece.length, isIdle: false };
      if (!decoder.hasPiece) continue;
      const { opcode, isFinal, isTransformed } = decoder;
      if (!isInFrame) frames.push({ opcode, isFinal, isTransformed, payload: '' });
      (frames.at(-1) as Frame).payload += piece.toString('latin1', decoder.start, decoder.end);
      isInFrame = !decoder.isFrameEnd;
    }
  }
  return { frames, code: 0, fault: '', bytes: input.length, isIdle: decoder.isIdle };
}

const conversation = [
  clientFrame(TEXT, 'hello'),
  clientFrame(BINARY, ''),
  clientFrame(TEXT, 'x'.repeat(125)),
  clientFrame(TEXT, 'y'.repeat(126)),
  clientFrame(BINARY, 'a', { isFinal: false }),
  clientFrame(PING, 'between'),
  clientFrame(CONTINUATION, '', { isFinal: false }),
  clientFrame(PONG),
  clientFrame(CONTINUATION, 'z'.repeat(300)),
  clientFrame(TEXT, 'w'.repeat(65_535)),
  clientFrame(BINARY, 'v'.repeat(65_536)),
  clientFrame(CLOSE, Buffer.from([0x03, 0xe8])),
];

test('a conversation, in pieces of many sizes', async (t) => {
  const input = Buffer.concat(conversation);
  const whole = decode(input);
  t.equal(whole.code, 0);
  t.ok(whole.isIdle);
  t.same(
    whole.frames.map(({ opcode, isFinal, payload }) => [opcode, isFinal, payload.length]),
    [
      [TEXT, true, 5],
      [BINARY, true, 0],
      [TEXT, true, 125],
      [TEXT, true, 126],
      [BINARY, false, 1],
      [PING, true, 7],
      [BINARY, false, 0],
      [PONG, true, 0],
      [BINARY, true, 300],
      [TEXT, true, 65_535],
      [BINARY, true, 65_536],
      [CLOSE, true, 2],
    ],
  );
  for (const size of [1, 2, 3, 5, 13, 14, 15, 64, 1_000, 65_536])
    t.same(decode(input, size).frames, whole.frames, `${size}`);
});

test('each frame, cut in two at each byte of its header', async (t) => {
  for (const frame of conversation) {
    const isContinuation = (frame[0] as number) % 16 === CONTINUATION;
    if (isContinuation) continue;
    for (let cut = 1; cut < Math.min(frame.length, 20); cut++) {
      const decoder = new FrameDecoder();
      decoder.reset(1_000_000, false);
      const first = Buffer.from(frame.subarray(0, cut));
      for (let at = 0; at < cut; ) at = decoder.read(first, at, cut);
      t.notOk(decoder.isIdle);
      const second = Buffer.from(frame.subarray(cut));
      t.equal(decoder.read(second, 0, second.length), second.length);
      t.ok(decoder.hasPiece && decoder.isFrameEnd);
    }
  }
});

interface Fault extends Setting {
  readonly name: string;
  readonly frames: readonly Buffer[];
  readonly code?: number;
  readonly says: RegExp;
  /** The byte of the last frame that shows it. */
  readonly byte: number;
}

function frame(opcode: number, payload: string, options: FrameOptions): Buffer {
  return clientFrame(opcode, payload, options);
}

const faults: readonly Fault[] = [
  { name: 'no mask', frames: [frame(TEXT, 'a', { mask: null })], says: /without a mask/, byte: 2 },
  ...[1, 2, 4].map((reserved) => ({
    name: `reserved bit ${reserved}`,
    frames: [frame(TEXT, 'a', { reserved })],
    says: /reserved bit/,
    byte: 1,
  })),
  {
    name: 'RSV2 beside an extension',
    frames: [frame(TEXT, 'a', { reserved: 2 })],
    takesRsv1: true,
    says: /bit/,
    byte: 1,
  },
  { name: 'RSV1 on a ping', frames: [frame(PING, 'a', { reserved: 4 })], takesRsv1: true, says: /bit/, byte: 1 },
  {
    name: 'RSV1 on a continuation',
    frames: [frame(TEXT, 'a', { reserved: 4, isFinal: false }), frame(CONTINUATION, 'a', { reserved: 4 })],
    takesRsv1: true,
    says: /bit/,
    byte: 1,
  },
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map((opcode) => ({
    name: `opcode ${opcode}`,
    frames: [frame(opcode, 'a', {})],
    says: /is not defined/,
    byte: 1,
  })),
  ...[CLOSE, PING, PONG].map((opcode) => ({
    name: `control frame ${opcode} in fragments`,
    frames: [frame(opcode, '', { isFinal: false })],
    says: /control frame in fragments/,
    byte: 1,
  })),
  ...[CLOSE, PING, PONG].map((opcode) => ({
    name: `control frame ${opcode} of 126 bytes`,
    frames: [frame(opcode, 'a'.repeat(126), {})],
    says: /control frame above 125/,
    byte: 2,
  })),
  { name: 'a continuation first', frames: [frame(CONTINUATION, 'a', {})], says: /of no message/, byte: 1 },
  {
    name: 'a continuation after the end',
    frames: [frame(TEXT, 'a', { isFinal: false }), frame(CONTINUATION, 'b', {}), frame(CONTINUATION, 'c', {})],
    says: /of no message/,
    byte: 1,
  },
  {
    name: 'a message inside another one',
    frames: [frame(TEXT, 'a', { isFinal: false }), frame(BINARY, 'b', {})],
    says: /inside another one/,
    byte: 1,
  },
  { name: '125 in 16 bits', frames: [frame(TEXT, 'a'.repeat(125), { lengthBytes: 2 })], says: /more bytes/, byte: 4 },
  {
    name: '65535 in 64 bits',
    frames: [frame(TEXT, 'a'.repeat(65_535), { lengthBytes: 8 })],
    says: /more bytes/,
    byte: 10,
  },
  { name: '2^63 bytes', frames: [frame(BINARY, '', { declared: 1n << 63n })], says: /highest bit/, byte: 3 },
  {
    name: '2^63 - 1 bytes',
    frames: [frame(BINARY, '', { declared: (1n << 63n) - 1n })],
    code: 1009,
    says: /above/,
    byte: 10,
  },
  {
    name: 'one byte too many',
    frames: [frame(BINARY, 'a'.repeat(101), {})],
    max: 100,
    code: 1009,
    says: /above 100 bytes/,
    byte: 2,
  },
  {
    name: 'fragments that are too long together',
    frames: [frame(BINARY, 'a'.repeat(60), { isFinal: false }), frame(CONTINUATION, 'a'.repeat(41), {})],
    max: 100,
    code: 1009,
    says: /above 100 bytes/,
    byte: 2,
  },
];

for (const { name, frames, code = 1002, says, byte, ...setting } of faults) {
  test(`fault: ${name}`, async (t) => {
    const before = frames.slice(0, -1).reduce((sum, { length }) => sum + length, 0);
    const input = Buffer.concat(frames);
    for (const size of [1, input.length]) {
      const decoded = decode(input, size, setting);
      t.equal(decoded.code, code);
      t.match(decoded.fault, says);
      if (size === 1) t.equal(decoded.bytes, before + byte);
    }
  });
}

test('the longest message, also in fragments with control frames between', async (t) => {
  t.equal(decode(clientFrame(BINARY, 'a'.repeat(100)), 7, { max: 100 }).code, 0);
  const parts = [
    clientFrame(BINARY, 'a'.repeat(60), { isFinal: false }),
    clientFrame(PING, 'b'.repeat(125)),
    clientFrame(CONTINUATION, 'a'.repeat(40)),
    clientFrame(BINARY, 'a'.repeat(100)),
  ];
  t.equal(decode(Buffer.concat(parts), 9, { max: 100 }).code, 0);
});

test('RSV1 belongs to an extension, for a whole message', async (t) => {
  const input = Buffer.concat([
    clientFrame(TEXT, 'a', { reserved: 4, isFinal: false }),
    clientFrame(CONTINUATION, 'b'),
    clientFrame(TEXT, 'c'),
  ]);
  const { frames } = decode(input, 3, { takesRsv1: true });
  t.same(
    frames.map(({ isTransformed }) => isTransformed),
    [true, true, false],
  );
  // What cannot be compressed is a little longer than it was.
  t.equal(decode(clientFrame(BINARY, 'a'.repeat(165), { reserved: 4 }), 9, { max: 100, takesRsv1: true }).code, 0);
  t.equal(decode(clientFrame(BINARY, 'a'.repeat(166), { reserved: 4 }), 9, { max: 100, takesRsv1: true }).code, 1009);
});
