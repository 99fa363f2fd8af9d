/**
 * Our frames beside `ws`, in both directions: what comes of the same bytes, whole or split anywhere, and whether it reads what we write. The frames are random, and some sequences
 * are damaged. `TAP_TIMEOUT=0 FRAMES=3000000 SEED=2` tries more of them.
 *
 * Where the two deviate, `isKnownDifference` says how.
 */

import type { EventEmitter } from 'node:events';
import { setImmediate as nextRound } from 'node:timers/promises';
import { type Test, test } from 'tap';
import { parseClose, WebSocketFault } from '../../http/websocket/close-code.ts';
import { encodeFrame } from '../../http/websocket/frame-encoder.ts';
import { MessageReader } from '../../http/websocket/message-reader.ts';
import { Random } from '../simulation/random.ts';
import { BINARY, CLOSE, CONTINUATION, clientFrame, PING, PONG, TEXT } from '../support/web-socket-frames.ts';
import { importPeer, missingPeer } from './peers.ts';

type Receiver = EventEmitter & { write(bytes: Buffer): boolean; destroy(): void };

interface Peer {
  readonly Receiver: new (options: object) => Receiver;
}

const skip = missingPeer('ws');
const frames = Number(process.env.FRAMES ?? 20_000);
const seed = Number(process.env.SEED ?? 1);

const MAX_MESSAGE_BYTES = 100_000;

/** More than this is split into fewer pieces. */
const MAX_SHORT_BYTES = 5_000;

/** What has come: a message, a control frame, or the code of a fault. */
interface Reading {
  readonly events: string[];
  fault: number | null;
}

const eventOf = (kind: string, payload: Buffer | string) =>
  `${kind}:${Buffer.from(payload as string).toString('latin1')}`;

function readOurs(pieces: readonly Buffer[]): Reading {
  const reading: Reading = { events: [], fault: null };
  const reader = MessageReader.lend(MAX_MESSAGE_BYTES, false);
  for (const piece of pieces) {
    for (let at = 0; at < piece.length && reading.fault === null; ) {
      at = reader.read(piece, at, piece.length);
      if (at < 0) reading.fault = -at;
      else if (reader.kind === TEXT) reading.events.push(eventOf('text', reader.text));
      else if (reader.kind === BINARY) reading.events.push(eventOf('binary', reader.payload));
      else if (reader.kind === PING) reading.events.push(eventOf('ping', reader.payload));
      else if (reader.kind === PONG) reading.events.push(eventOf('pong', reader.payload));
      else if (reader.kind === CLOSE) {
        const closure = parseClose(reader.payload);
        if (closure instanceof WebSocketFault) reading.fault = closure.code;
        else {
          reading.events.push(eventOf(`close ${closure.code}`, closure.reason));
          return reading; // what follows a close frame does not count
        }
      }
    }
  }
  return reading;
}

const STATUS_CODE = /status-code/;

async function readTheirs(peer: Peer, pieces: readonly Buffer[], isServer: boolean): Promise<Reading> {
  const reading: Reading = { events: [], fault: null };
  const receiver = new peer.Receiver({ isServer, maxPayload: MAX_MESSAGE_BYTES, allowSynchronousEvents: true });
  receiver.on('message', (data: Buffer, isBinary: boolean) => {
    reading.events.push(eventOf(isBinary ? 'binary' : 'text', data));
  });
  receiver.on('ping', (data: Buffer) => reading.events.push(eventOf('ping', data)));
  receiver.on('pong', (data: Buffer) => reading.events.push(eventOf('pong', data)));
  receiver.on('conclude', (code: number, reason: Buffer) => reading.events.push(eventOf(`close ${code}`, reason)));
  receiver.on('error', (error: Error & Record<symbol, number>) => {
    const symbol = Object.getOwnPropertySymbols(error).find(({ description }) => STATUS_CODE.test(description ?? ''));
    if (symbol !== undefined) reading.fault = error[symbol] as number; // without a code: it has ended with a close frame
  });
  for (const piece of pieces) receiver.write(piece);
  await nextRound();
  receiver.destroy();
  return reading;
}

/** Copies, because both readers take the mask off in place. */
function split(random: Random, bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  const lengths = [1, 3, 20, 1_000, bytes.length];
  const longest = random.pick(bytes.length > MAX_SHORT_BYTES ? lengths.slice(-2) : lengths);
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + 1 + random.below(longest));
    pieces.push(Buffer.from(bytes.subarray(at, end)));
    at = end;
  }
  return pieces;
}

const CHARACTERS = ['a', 'Z', ' ', '\0', '\u007f', 'ä', '\u07ff', '€', '\ud7ff', '\uffff', '😀', '\u{10ffff}'];

function textOf(random: Random): Buffer {
  const length = random.below(random.pick([3, 40, 130, 800]));
  const alphabet = random.chance(0.5) ? CHARACTERS.slice(0, 4) : CHARACTERS;
  let text = '';
  for (let i = 0; i < length; i++) text += random.pick(alphabet);
  return Buffer.from(text);
}

function bytesOf(random: Random): Buffer {
  const length = random.below(random.chance(0.01) ? 70_000 : random.pick([2, 10, 127, 300]));
  return Buffer.alloc(length, String.fromCharCode(33 + random.below(90)));
}

const randomMask = (random: Random): [number, number, number, number] => [
  random.below(256),
  random.below(256),
  random.below(256),
  random.below(256),
];

function controlFrame(random: Random): Buffer {
  const payload = Buffer.alloc(random.below(126), 'p');
  return clientFrame(random.pick([PING, PONG]), payload, { mask: randomMask(random) });
}

/** The frames of a message, perhaps with control frames between them. */
function messageFrames(random: Random): Buffer[] {
  const isText = random.chance(0.5);
  const payload = isText ? textOf(random) : bytesOf(random);
  const count = random.chance(0.6) ? 1 : 1 + random.below(5);
  const found: Buffer[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    const isFinal = i === count - 1;
    const end = isFinal ? payload.length : at + random.below(payload.length - at + 1);
    const opcode = i > 0 ? CONTINUATION : isText ? TEXT : BINARY;
    found.push(clientFrame(opcode, payload.subarray(at, end), { isFinal, mask: randomMask(random) }));
    if (!isFinal && random.chance(0.3)) found.push(controlFrame(random));
    at = end;
  }
  return found;
}

function closeFrame(random: Random): Buffer {
  const code = random.pick([
    1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000,
  ]);
  const head = Buffer.alloc(2);
  head.writeUInt16BE(code);
  const reason = random.pick(['', 'bye', '€', Buffer.from([0xff])]);
  return clientFrame(CLOSE, random.pick([Buffer.concat([head, Buffer.from(reason as string)]), '', 'x']));
}

function damage(random: Random, bytes: Buffer): void {
  for (let count = 1 + random.below(2); count > 0; count--) {
    const at = random.below(bytes.length);
    bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
  }
}

/**
 * Of damaged bytes:
 * - ws checks a text at the end of its message. Ours fails with 1007 at the first byte that is wrong; ws goes on meanwhile, and may find another fault, or nothing before the end.
 * - ws reads a length that is written in more bytes than it needs (RFC 6455 section 5.2 forbids it). Ours fails with 1002.
 * - ws refuses a length above 2^53 with 1009, as one that is too long; ours with 1002 if its highest bit is set, which the RFC forbids.
 * - ws fails with the length of a frame first, ours with what comes first.
 */
function isKnownDifference(ours: Reading, theirs: Reading, hasLongLength: boolean): boolean {
  const isPrefix = ours.events.every((event, i) => event === theirs.events[i]);
  if (!isPrefix || ours.fault === null) return false;
  return ours.fault === 1007 || (ours.fault === 1002 && hasLongLength);
}

/** Whether any frame of these may have a length in 16 or 64 bits: damage to the headers may only make the reader see one. */
function mayHaveLongLength(bytes: Buffer): boolean {
  return bytes.some((byte) => (byte & 0x7f) >= 126);
}

function isSame(ours: Reading, theirs: Reading): boolean {
  return ours.fault === theirs.fault && ours.events.join('\n') === theirs.events.join('\n');
}

function describe(reading: Reading): string {
  return `${reading.events.length} events, fault ${reading.fault}, last ${reading.events.at(-1)?.slice(0, 40) ?? 'none'}`;
}

async function compare(t: Test, peer: Peer, isDamaged: boolean): Promise<void> {
  const random = new Random(seed);
  let count = 0;
  let known = 0;
  let faults = 0;
  while (count < frames) {
    const sequence: Buffer[] = [];
    for (let left = 1 + random.below(30); left > 0; left--) {
      sequence.push(...(random.chance(0.2) ? [controlFrame(random)] : messageFrames(random)));
    }
    if (random.chance(0.2)) sequence.push(closeFrame(random));
    count += sequence.length;
    // ws looks at a header when two bytes of it have come. Behind damaged bytes there is always more.
    const bytes = Buffer.concat(isDamaged ? [...sequence, Buffer.alloc(20)] : sequence);
    if (isDamaged) damage(random, bytes);
    const pieces = split(random, bytes);
    const theirs = await readTheirs(
      peer,
      pieces.map((piece) => Buffer.from(piece)),
      true,
    );
    const ours = readOurs(pieces);
    if (ours.fault !== null) faults++;
    if (isSame(ours, theirs)) continue;
    if (isDamaged && isKnownDifference(ours, theirs, mayHaveLongLength(bytes))) known++;
    else {
      t.fail(`after ${count} frames of seed ${seed}: ours ${describe(ours)}; theirs ${describe(theirs)}`);
      return;
    }
  }
  t.pass(`${count} frames, ${faults} sequences with a fault, ${known} known differences`);
}

test('what comes of the frames of a client', { skip }, async (t) => {
  await compare(t, await importPeer<Peer>('ws-oracle.mjs'), false);
});

test('what comes of damaged frames', { skip }, async (t) => {
  await compare(t, await importPeer<Peer>('ws-oracle.mjs'), true);
});

test('ws reads the frames of a server', { skip }, async (t) => {
  const peer = await importPeer<Peer>('ws-oracle.mjs');
  const random = new Random(seed);
  for (let count = 0; count < frames; ) {
    const expected: string[] = [];
    const sequence: Buffer[] = [];
    for (let left = 1 + random.below(30); left > 0; left--, count++) {
      const isText = random.chance(0.5);
      const payload = isText ? textOf(random) : bytesOf(random);
      if (random.chance(0.1)) {
        const short = payload.subarray(0, 125);
        sequence.push(encodeFrame(PING, short));
        expected.push(eventOf('ping', short));
        continue;
      }
      sequence.push(encodeFrame(isText ? TEXT : BINARY, isText ? payload.toString() : payload));
      expected.push(eventOf(isText ? 'text' : 'binary', payload));
    }
    const theirs = await readTheirs(peer, split(random, Buffer.concat(sequence)), false);
    if (theirs.fault !== null || theirs.events.join('\n') !== expected.join('\n')) {
      return t.fail(`after ${count} frames of seed ${seed}: ${describe(theirs)}`);
    }
  }
  return t.pass(`${frames} frames`);
});
