/** The cases of conformance-cases.ts on both loops, in one write, frame by frame and byte by byte; and compression, the sections 12 and 13. */

import { connect } from 'node:net';
import { constants, createDeflateRaw, createInflateRaw } from 'node:zlib';
import { type Test, test } from 'tap';
import { type Server, serve, type WebSocketOptions, webSocket } from '../../../http/index.ts';
import { portOf } from '../../../simplenet/kernel/socket-address.ts';
import { backends, missingBackend } from '../../support/backends.ts';
import { upgradeRequest } from '../../support/web-socket-client.ts';
import {
  BINARY,
  CLOSE,
  clientFrame,
  closeOf,
  PONG,
  type ServerFrame,
  serverFrames,
  TEXT,
} from '../../support/web-socket-frames.ts';
import { type ConformanceCase, conformanceCases, eventOf, MAX_MESSAGE_BYTES } from './conformance-cases.ts';

type Backend = (typeof backends)[number];

/** More than this is not sent byte by byte. */
const MAX_DRIP_BYTES = 300;
/** Connections at a time. */
const LANES = 8;
/** Messages of each size with each offer: the second one refers to the first. In conformance.long.ts there are more. */
const MESSAGES = Number(process.env.MESSAGES ?? 2);

function echoOn(t: Test, backend: Backend, options: WebSocketOptions = {}): Server {
  const limits = { maxMessageBytes: MAX_MESSAGE_BYTES, maxQueuedBytes: 4 * MAX_MESSAGE_BYTES };
  const echo = webSocket({ message: (ws, data) => ws.send(data) }, { ...limits, ...options });
  const server = serve(echo, { backend });
  t.teardown(() => server.close({ graceMs: 0, idleGraceMs: 1 }));
  return server;
}

/** Sends the pieces, each in a write of its own, and returns the head and the frames that have come at the end. */
async function converse(
  server: Server,
  pieces: readonly Buffer[],
  fields: Readonly<Record<string, string>> = {},
): Promise<{ readonly head: string; readonly frames: ServerFrame[] }> {
  const received: Buffer[] = [];
  const socket = connect({ port: portOf(server.address), host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  socket.on('data', (bytes) => received.push(bytes));
  const ended = new Promise<void>((resolve, reject) => socket.on('end', resolve).on('error', reject));
  socket.write(upgradeRequest('/', fields));
  for (const piece of pieces) {
    socket.write(piece);
    if (piece.length === 1) await new Promise((resolve) => setImmediate(resolve));
  }
  await ended;
  socket.destroy();
  const bytes = Buffer.concat(received);
  const headBytes = bytes.indexOf('\r\n\r\n') + 4;
  const { frames, rest } = serverFrames(bytes.subarray(headBytes));
  if (rest.length > 0) throw new Error('a frame that is not complete');
  return { head: bytes.toString('latin1', 0, headBytes), frames };
}

function describeFrame({ opcode, reserved, payload }: ServerFrame): string {
  if (reserved !== 0) return `reserved bits ${reserved}`;
  if (opcode === CLOSE) return `close ${closeOf(payload).code}`;
  const kinds: Readonly<Record<number, string>> = { [TEXT]: 'text', [BINARY]: 'binary', [PONG]: 'pong' };
  return eventOf(kinds[opcode] ?? `opcode ${opcode}`, payload);
}

const ways: Readonly<Record<string, (sends: readonly Buffer[]) => readonly Buffer[]>> = {
  'in one write': (sends) => [Buffer.concat(sends)],
  'frame by frame': (sends) => sends,
  'byte by byte': (sends) => [...Buffer.concat(sends)].map((byte) => Buffer.from([byte])),
};

async function runCases(t: Test, server: Server, way: string, cases: readonly ConformanceCase[]): Promise<void> {
  const split = ways[way] as (typeof ways)[string];
  const left = [...cases];
  const work = async (): Promise<void> => {
    for (let each = left.pop(); each !== undefined; each = left.pop()) {
      const { frames } = await converse(server, split(each.sends));
      const events = frames.map(describeFrame);
      if (events.join('\n') !== each.events.join('\n')) t.same(events, each.events, `${each.name}, ${way}`);
    }
  };
  await Promise.all(Array.from({ length: LANES }, work));
  t.pass(`${cases.length} cases ${way}`);
}

for (const backend of backends) {
  test(`conformance (${backend})`, { skip: missingBackend[backend] }, async (t) => {
    const server = echoOn(t, backend);
    const short = conformanceCases.filter(({ sends }) => Buffer.concat(sends).length <= MAX_DRIP_BYTES);
    await runCases(t, server, 'in one write', conformanceCases);
    await runCases(
      t,
      server,
      'frame by frame',
      conformanceCases.filter(({ sends }) => sends.length < 1_000),
    );
    await runCases(t, server, 'byte by byte', short);
  });
}

/** 13: what a client may offer, and what the server answers with its windows of 15 bits. */
const offers: readonly (readonly [offer: string, answer: string])[] = [
  ['permessage-deflate', 'permessage-deflate'],
  ['permessage-deflate; client_no_context_takeover', 'permessage-deflate; client_no_context_takeover'],
  [
    'permessage-deflate; client_no_context_takeover; server_no_context_takeover',
    'permessage-deflate; server_no_context_takeover; client_no_context_takeover',
  ],
  [
    'permessage-deflate; client_max_window_bits=9; server_max_window_bits=9',
    'permessage-deflate; server_max_window_bits=9; client_max_window_bits=9',
  ],
  [
    'permessage-deflate; client_max_window_bits; server_max_window_bits=15',
    'permessage-deflate; server_max_window_bits=15',
  ],
  [
    'permessage-deflate; client_no_context_takeover; client_max_window_bits=9; server_no_context_takeover; server_max_window_bits=9',
    'permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9; client_max_window_bits=9',
  ],
  [
    'permessage-deflate; no_such_parameter, permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=10',
    'permessage-deflate; server_max_window_bits=10',
  ],
];

type Engine = ReturnType<typeof createDeflateRaw> | ReturnType<typeof createInflateRaw>;

/** Puts messages through an engine, one after the other. */
async function through(create: () => Engine, messages: readonly Buffer[], keepsContext: boolean): Promise<Buffer[]> {
  const results: Buffer[] = [];
  let engine: Engine | null = null;
  for (const message of messages) {
    engine ??= create();
    const found: Buffer[] = [];
    const take = (bytes: Buffer) => void found.push(bytes);
    engine.on('data', take);
    await new Promise<void>((resolve) => (engine as Engine).write(message, () => resolve()));
    engine.off('data', take);
    results.push(Buffer.concat(found));
    if (keepsContext) continue;
    engine.close();
    engine = null;
  }
  engine?.close();
  return results;
}

const flush = constants.Z_SYNC_FLUSH;
const TAIL = Buffer.from([0, 0, 0xff, 0xff]);

/** JSON that repeats itself, as many messages do. */
function messageOf(length: number, i: number): Buffer {
  let json = '';
  for (let row = i; json.length < length; row++) json += `{"id":${row},"user":"user ${row % 17}","text":"hello"}`;
  return Buffer.from(json.slice(0, length));
}

const sizes = [16, 64, 256, 1_024, 4_096, 8_192, 16_384, 32_768, 65_536, 131_072];

/** 12: messages of each size, one after the other. */
const messages = sizes.flatMap((size) => Array.from({ length: MESSAGES }, (_, i) => messageOf(size, i)));

for (const backend of backends) {
  test(`compression (${backend})`, { skip: missingBackend[backend] }, async (t) => {
    const server = echoOn(t, backend, { compression: { minBytes: 0, windowBits: 15, clientWindowBits: 15 } });
    for (const [offer, answer] of offers) {
      const bits = (side: string) => Number(new RegExp(`${side}_max_window_bits=(\\d+)`).exec(answer)?.[1] ?? 15);
      const keeps = (side: string) => !answer.includes(`${side}_no_context_takeover`);
      const deflate = () => createDeflateRaw({ flush, windowBits: bits('client') });
      const inflate = () => createInflateRaw({ flush, windowBits: bits('server') });
      const deflated = await through(deflate, messages, keeps('client'));
      const sends = deflated.map((payload, i) =>
        clientFrame(i % 2 === 0 ? TEXT : BINARY, payload.subarray(0, -TAIL.length), { reserved: 4 }),
      );
      sends.push(clientFrame(CLOSE, Buffer.from([3, 232])));
      const { head, frames } = await converse(server, sends, { 'Sec-WebSocket-Extensions': offer });
      t.match(head, `\r\nSec-WebSocket-Extensions: ${answer}\r\n`);
      t.equal(frames.pop()?.opcode, CLOSE);
      const payloads = frames.map(({ reserved, payload }) => (reserved === 4 ? Buffer.concat([payload, TAIL]) : null));
      const compressed = payloads.filter((payload) => payload !== null);
      t.ok(compressed.length > messages.length / 2, `${compressed.length} compressed`);
      const inflated = await through(inflate, compressed, keeps('server'));
      const echoes = frames.map(({ reserved, payload }) => (reserved === 4 ? inflated.shift() : payload));
      t.ok(
        echoes.length === messages.length && echoes.every((echo, i) => echo?.equals(messages[i] as Buffer)),
        `each message comes back: ${offer}`,
      );
      t.ok(frames.every(({ opcode }, i) => opcode === (i % 2 === 0 ? TEXT : BINARY)));
    }
  });

  test(`faults of compressed messages (${backend})`, { skip: missingBackend[backend] }, async (t) => {
    const server = echoOn(t, backend, { compression: { minBytes: 0, syncBytes: 1_000 }, maxMessageBytes: 100_000 });
    const last = async (...sends: Buffer[]): Promise<string> => {
      const { frames } = await converse(server, [Buffer.concat(sends)], {
        'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits',
      });
      return frames.map(describeFrame).join(', ');
    };
    const deflated = async (message: Buffer) =>
      ((await through(() => createDeflateRaw({ flush }), [message], false))[0] as Buffer).subarray(0, -TAIL.length);
    const sent = (payload: Buffer | string, reserved = 4) => clientFrame(TEXT, payload, { reserved });
    t.equal(await last(sent(Buffer.from('ffffff', 'hex'))), 'close 1007', 'not DEFLATE');
    t.equal(await last(sent(await deflated(Buffer.from([0x61, 0xff])))), 'close 1007', 'not UTF-8');
    t.equal(await last(sent(await deflated(Buffer.alloc(100_001)))), 'close 1009', 'a bomb');
    t.equal(await last(sent(await deflated(Buffer.alloc(50_000_000)))), 'close 1009', 'a large bomb');
    t.equal(await last(sent('', 2)), 'close 1002', 'another reserved bit');
    t.equal(await last(clientFrame(0x9, '', { reserved: 4 })), 'close 1002', 'a compressed ping');
    const first = clientFrame(TEXT, await deflated(Buffer.from('hello')), { reserved: 4, isFinal: false });
    t.equal(await last(first, clientFrame(0, '', { reserved: 4 })), 'close 1002', 'RSV1 in a continuation');
    t.equal(
      await last(first, clientFrame(0x9, 'p'), clientFrame(0, ''), clientFrame(CLOSE)),
      `${eventOf('pong', 'p')}, ${eventOf('text', 'hello')}, close 1005`,
      'in fragments',
    );
    t.equal(
      await last(clientFrame(TEXT, 'as it is'), clientFrame(CLOSE)),
      `${eventOf('text', 'as it is')}, close 1005`,
      'a message without RSV1',
    );
  });
}
