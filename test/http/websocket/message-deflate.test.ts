/**
 * Messages that are compressed and decompressed here, beside the streaming contexts of zlib, which keep their whole state from message to message. What is agreed on, the sizes and
 * the kinds of messages are random; `MESSAGES=1000000 SEED=7` tries more of them.
 */

import { constants, createDeflateRaw, createInflateRaw, deflateRawSync, type Zlib } from 'node:zlib';
import { test } from 'tap';
import { WebSocketFault } from '../../../http/websocket/close-code.ts';
import type { DeflateTerms } from '../../../http/websocket/deflate-agreement.ts';
import { DeflatedOnce, MessageDeflate } from '../../../http/websocket/message-deflate.ts';
import { Random } from '../../simulation/random.ts';

const messages = Number(process.env.MESSAGES ?? 1_500);
const seed = Number(process.env.SEED ?? 1);

const TAIL = Buffer.from([0, 0, 0xff, 0xff]);
const MAX_BYTES = 1 << 20;
const FULL: DeflateTerms = { serverBits: 15, clientBits: 15, serverKeepsContext: true, clientKeepsContext: true };
const settings = {
  minBytes: 0,
  level: 6,
  syncBytes: 2_000,
  inPool: (job: (leave: () => void) => void) => job(() => {}),
};

const open = (terms: Partial<DeflateTerms> = {}, more: Partial<typeof settings> = {}) =>
  new MessageDeflate({ ...FULL, ...terms }, { ...settings, ...more }, () => {});

/** Words that come again, and now and then bytes that cannot be compressed. */
function messageOf(random: Random): Buffer {
  const length = random.below(random.pick([10, 200, 3_000, 40_000]));
  if (random.chance(0.1)) return Buffer.from(Array.from({ length: Math.min(length, 5_000) }, () => random.below(256)));
  const words = ['chat', 'message', 'hello', 'world', 'id', String(random.below(1_000)), '{"user":"', '"}'];
  let text = '';
  while (text.length < length) text += random.pick(words) + random.pick([' ', ',', '\n']);
  return Buffer.from(text.slice(0, length));
}

/** A compressor or decompressor that keeps its state. It returns what came out of the bytes. */
class Streaming {
  readonly #engine: Zlib & NodeJS.ReadWriteStream;

  constructor(engine: unknown) {
    this.#engine = engine as Zlib & NodeJS.ReadWriteStream;
  }

  async pass(bytes: Buffer): Promise<Buffer> {
    const found: Buffer[] = [];
    const take = (piece: Buffer) => void found.push(piece);
    this.#engine.on('data', take);
    await new Promise<void>((resolve) => this.#engine.write(bytes, () => resolve()));
    this.#engine.off('data', take);
    return Buffer.concat(found);
  }

  close(): void {
    this.#engine.close();
  }
}

test('a reader with the agreed window understands what is sent', async (t) => {
  const random = new Random(seed);
  let compressed = 0;
  for (let left = messages; left > 0; ) {
    const serverBits = 9 + random.below(7);
    const serverKeepsContext = random.chance(0.7);
    const deflate = open({ serverBits, serverKeepsContext }, { level: 1 + random.below(9) });
    const newReader = () => new Streaming(createInflateRaw({ windowBits: serverBits, flush: constants.Z_SYNC_FLUSH }));
    let reader = newReader();
    for (let count = 1 + random.below(60); count > 0 && left > 0; count--, left--) {
      const message = messageOf(random);
      let payload: Buffer | null;
      if (random.chance(0.2)) {
        const shared = DeflatedOnce.from(message, random.pick([serverBits, 15]), 6);
        payload = shared !== null && deflate.takesShared(shared) ? shared.bytes : null;
      } else payload = await deflate.encode(message);
      if (payload === null) continue;
      compressed++;
      const read = await reader.pass(Buffer.concat([payload, TAIL]));
      if (!read.equals(message)) return t.fail(`seed ${seed}: ${serverBits} bits, ${message.length} bytes`);
      if (serverKeepsContext) continue;
      reader.close();
      reader = newReader();
    }
    reader.close();
  }
  return t.ok(compressed > messages / 2, `${compressed} of ${messages} compressed`);
});

test('what a client with the agreed window has compressed is understood', async (t) => {
  const random = new Random(seed + 1);
  for (let left = messages; left > 0; ) {
    const clientBits = 9 + random.below(7);
    const clientKeepsContext = random.chance(0.7);
    const deflate = open({ clientBits, clientKeepsContext });
    const newClient = () =>
      new Streaming(
        createDeflateRaw({ windowBits: clientBits, flush: constants.Z_SYNC_FLUSH, level: random.below(10) }),
      );
    let client = newClient();
    for (let count = 1 + random.below(60); count > 0 && left > 0; count--, left--) {
      const message = messageOf(random);
      if (message.length === 0) continue;
      const payload = (await client.pass(message)).subarray(0, -TAIL.length);
      const read = await deflate.decode(Buffer.from(payload), MAX_BYTES);
      if (!read.equals(message)) return t.fail(`seed ${seed}: ${clientBits} bits, ${message.length} bytes`);
      if (clientKeepsContext) continue;
      client.close();
      client = newClient();
    }
    client.close();
  }
  return t.pass(`${messages} messages`);
});

/** The examples of RFC 7692 section 7.2.3. */
const examples: readonly (readonly [what: string, payload: string, message: string])[] = [
  ['7.2.3.1 one block', 'f248cdc9c90700', 'Hello'],
  ['7.2.3.3 no compression', '000500faff48656c6c6f00', 'Hello'],
  ['7.2.3.4 a final block', 'f348cdc9c9070000', 'Hello'],
  ['7.2.3.5 two blocks', 'f24805000000ffffcac9c90700', 'Hello'],
  ['7.2.3.6 an empty message', '00', ''],
];

test('the examples of the RFC', async (t) => {
  for (const [what, payload, message] of examples) {
    t.equal(String(await open().decode(Buffer.from(payload, 'hex'), MAX_BYTES)), message, what);
  }
  const deflate = open();
  t.equal(String(await deflate.decode(Buffer.from('f248cdc9c90700', 'hex'), MAX_BYTES)), 'Hello');
  t.equal(String(await deflate.decode(Buffer.from('f200110000', 'hex'), MAX_BYTES)), 'Hello', '7.2.3.2');
  t.equal(String(await open().decode(Buffer.alloc(0), MAX_BYTES)), '', 'nothing');
  await t.rejects(async () => open().decode(Buffer.from('f200110000', 'hex'), MAX_BYTES), { code: 1007 }, 'no context');
});

test('a message of several final blocks, 16 and one more', async (t) => {
  const final = deflateRawSync('ab');
  for (const syncBytes of [0, 2_000]) {
    const decode = async (count: number) =>
      String(await open({}, { syncBytes }).decode(Buffer.concat(Array(count).fill(final)), MAX_BYTES));
    t.equal(await decode(16), 'ab'.repeat(16));
    await t.rejects(decode(17), new WebSocketFault(1007, 'a compressed message has more than 16 final blocks'));
  }
});

test('a later stream of a message may use what the earlier ones have brought', async (t) => {
  const first = deflateRawSync('hello hello');
  const second = deflateRawSync('hello hello', { dictionary: Buffer.from('hello hello') });
  t.equal(String(await open().decode(Buffer.concat([first, second]), MAX_BYTES)), 'hello hello'.repeat(2));
});

test('a bomb ends at the limit, here and in the pool', async (t) => {
  const limit = 100_000;
  const payload = (length: number) => deflateRawSync(Buffer.alloc(length)).subarray(0, -1);
  for (const syncBytes of [0, 2_000, 16_384]) {
    const decode = async (length: number, max = limit) =>
      (await open({}, { syncBytes }).decode(payload(length), max)).length;
    t.equal(await decode(limit), limit);
    await t.rejects(decode(limit + 1), { code: 1009 });
    await t.rejects(decode(50 * limit), { code: 1009 });
    await t.rejects(decode(1, 0), { code: 1009 }, 'a limit of 0');
    t.equal(await decode(0, 0), 0);
  }
  const twice = Buffer.concat([deflateRawSync(Buffer.alloc(60)), deflateRawSync(Buffer.alloc(41))]);
  await t.rejects(async () => open().decode(twice, 100), { code: 1009 }, 'in two streams');
  t.equal((await open().decode(twice, 101)).length, 101);
});

test('damaged messages are refused', async (t) => {
  for (const syncBytes of [0, 2_000]) {
    const decode = async (hex: string) => open({}, { syncBytes }).decode(Buffer.from(hex, 'hex'), MAX_BYTES);
    await t.rejects(decode('ffffffff'), { code: 1007, message: /cannot be decompressed/ });
    await t.rejects(decode('000500faf048656c6c6f00'), { code: 1007 }, 'a length that contradicts itself');
  }
});

test('what gets no shorter, and what is small, is sent as it is', async (t) => {
  const random = new Random(seed);
  const noise = Buffer.from(Array.from({ length: 3_000 }, () => random.below(256)));
  for (const syncBytes of [0, 5_000]) {
    const deflate = open({}, { syncBytes });
    t.equal(await deflate.encode(Buffer.from('x')), null);
    t.equal(await deflate.encode(noise), null);
    t.equal(deflate.heldBytes, 0, 'and is no part of the context');
  }
  t.equal(DeflatedOnce.from(Buffer.from('x'), 15, 6), null);
  const text = Buffer.from('x'.repeat(100));
  t.equal(await open({}, { minBytes: 101 }).encode(text), null);
  t.not(await open({}, { minBytes: 100 }).encode(text), null);
});

test('a shared message needs a window that is long enough', async (t) => {
  const shared = DeflatedOnce.from(Buffer.from('abc'.repeat(1_000)), 15, 6) as DeflatedOnce;
  t.notOk(open({ serverBits: 11 }).takesShared(shared));
  t.ok(open({ serverBits: 12 }).takesShared(shared));
  t.ok(open({ serverBits: 12, serverKeepsContext: false }).takesShared(shared));
  t.notOk(open().takesShared({ bytes: shared.bytes }), 'of another extension');
  t.equal(shared.endFor(512), shared.endFor(512), 'one copy for all');
  t.equal(shared.endFor(512).buffer.byteLength <= 8_192, true, 'which does not hold the message');
});

test('an idle connection holds what it has sent and received, up to two windows each', async (t) => {
  const deflate = open({ serverBits: 12, clientBits: 12 });
  t.equal(deflate.heldBytes, 0);
  const text = Buffer.from('some text that comes again, '.repeat(4));
  await deflate.encode(text);
  t.ok(deflate.heldBytes <= 2 * text.length + 256, `${deflate.heldBytes}`);
  for (let i = 0; i < 1_000; i++) {
    await deflate.encode(text);
    await deflate.decode(deflateRawSync(text, { finishFlush: constants.Z_SYNC_FLUSH }), MAX_BYTES);
  }
  t.equal(deflate.heldBytes, 4 * 4_096);
  const none = open({ serverKeepsContext: false, clientKeepsContext: false });
  await none.encode(text);
  t.equal(none.heldBytes, 0);
});
