/**
 * The seam for extensions, with one that turns every bit: at once or after a while, for single messages and for those of many. The order is kept, whatever
 * it takes.
 */

import { type Test, test } from 'tap';
import { Router, type ServerWebSocket, serve, type WebSocketCallbacks } from '../../../http/index.ts';
import { WebSocketFault } from '../../../http/websocket/close-code.ts';
import type { ExtensionOffer, MessageExtension, MessageTransform } from '../../../http/websocket/message-transform.ts';
import { webSocketWith } from '../../../http/websocket/web-socket-handler.ts';
import { type WebSocketOptions, webSocketSettings } from '../../../http/websocket/web-socket-options.ts';
import { quiet, until } from '../../support/waiting.ts';
import { WebSocketClient } from '../../support/web-socket-client.ts';
import { BINARY, CLOSE, CONTINUATION, clientFrame, PING, PONG, TEXT } from '../../support/web-socket-frames.ts';

function turned(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.map((byte) => byte ^ 0xff));
}

/** Messages that begin with these letters have a fate of their own. */
const PLAIN = 'p';
const SLOW = 's';
const BAD = 'b';
const CRASH = 'c';

interface Turning extends MessageExtension {
  readonly offers: (readonly ExtensionOffer[])[];
  closed: number;
  shared: number;
  takesShared: boolean;
  /** Lets the slow messages go on. */
  release(): void;
}

function turning(): Turning {
  let waiting: (() => void)[] = [];
  const slowly = (result: () => Buffer | null) =>
    new Promise<Buffer | null>((resolve, reject) => {
      waiting.push(() => {
        try {
          resolve(result());
        } catch (error) {
          reject(error);
        }
      });
    });
  const fate = (text: Buffer, bytes: Buffer) => {
    if (String.fromCharCode(text.at(-1) ?? 0) === BAD) throw new WebSocketFault(1_007, 'damaged');
    if (String.fromCharCode(text.at(-1) ?? 0) === CRASH) throw new Error('a mistake');
    return bytes;
  };
  const isSlow = (text: Buffer) => String.fromCharCode(text[0] ?? 0) === SLOW;
  const extension: Turning = {
    offers: [],
    closed: 0,
    shared: 0,
    takesShared: true,
    release() {
      const now = waiting;
      waiting = [];
      for (const goOn of now) goOn();
    },
    negotiate(offers) {
      extension.offers.push(offers);
      if (!offers.some(({ name }) => name === 'turn')) return null;
      const transform: MessageTransform = {
        decode(payload) {
          const text = turned(payload);
          const result = () => fate(text, text);
          return isSlow(text) ? (slowly(result) as Promise<Buffer>) : result();
        },
        encode(payload) {
          if (String.fromCharCode(payload[0] ?? 0) === PLAIN) return null;
          const copy = Buffer.from(payload);
          const result = () => fate(copy, turned(copy));
          return isSlow(copy) ? slowly(result) : result();
        },
        takesShared: () => extension.takesShared,
        close: () => void extension.closed++,
      };
      return { answer: 'turn; x=1', createTransform: () => transform };
    },
    encodeShared(payload) {
      extension.shared++;
      return String.fromCharCode(payload[0] ?? 0) === PLAIN ? null : { bytes: turned(payload) };
    },
  };
  return extension;
}

interface Site {
  readonly extension: Turning;
  readonly sockets: ServerWebSocket<unknown>[];
  readonly reported: unknown[];
  readonly closes: [number, string][];
  publish(data: string | Buffer): number;
  open(fields?: Readonly<Record<string, string>>): Promise<WebSocketClient>;
}

const OFFER = { 'Sec-WebSocket-Extensions': 'turn; a=1' };

function site(t: Test, callbacks: WebSocketCallbacks<unknown>, options: WebSocketOptions = {}): Site {
  const extension = turning();
  const sockets: ServerWebSocket<unknown>[] = [];
  const reported: unknown[] = [];
  const closes: [number, string][] = [];
  const handler = webSocketWith<unknown, Readonly<Record<string, string>>>(
    {
      ...callbacks,
      open(ws) {
        sockets.push(ws);
        ws.subscribe('all');
      },
      close: (_ws, code, reason) => void closes.push([code, reason]),
    },
    webSocketSettings(options),
    extension,
  );
  const server = serve(new Router().get('/', handler), { onError: (error) => void reported.push(error) });
  t.teardown(() => server.close({ graceMs: 0, idleGraceMs: 1 }));
  return {
    extension,
    sockets,
    reported,
    closes,
    publish: (data) => handler.publish('all', data),
    open: (fields = OFFER) => WebSocketClient.open(t, server, '/', fields),
  };
}

const echo: WebSocketCallbacks<unknown> = { message: (ws, data) => ws.send(data) };

/** What came: turned back, with the sign of each frame before it. */
function received(client: WebSocketClient): string[] {
  return client.frames.map(({ opcode, reserved, payload }) => {
    const text = (reserved === 4 ? turned(payload) : payload).toString();
    return opcode === CLOSE ? 'close' : `${opcode}${reserved === 4 ? '*' : ''} ${text}`;
  });
}

function turnedFrame(opcode: number, text: string): Buffer {
  return clientFrame(opcode, turned(Buffer.from(text)), { reserved: 4 });
}

test('without an offer that is met nothing is transformed', async (t) => {
  const { open, extension, publish } = site(t, echo);
  for (const fields of [{}, { 'Sec-WebSocket-Extensions': 'other' }]) {
    const client = await open(fields);
    t.notMatch(client.head, /Sec-WebSocket-Extensions/);
    client.send(TEXT, 'x');
    await client.untilFrames(1);
    t.same(received(client), ['1 x']);
  }
  publish('y');
  t.equal(extension.shared, 0);
  t.same(extension.offers, [[], [{ name: 'other', parameters: [] }]]);
});

test('messages are transformed both ways, at once', async (t) => {
  const { open, extension, closes } = site(t, echo);
  const client = await open();
  t.match(client.head, /\r\nSec-WebSocket-Extensions: turn; x=1\r\n/);
  client.raw.write(turnedFrame(TEXT, 'grüße'));
  client.raw.write(turnedFrame(BINARY, 'bytes'));
  client.send(TEXT, turned(Buffer.from('in ')), { reserved: 4, isFinal: false });
  client.send(CONTINUATION, turned(Buffer.from('two')));
  client.send(TEXT, 'plain');
  await client.untilFrames(4);
  t.same(received(client), ['1* grüße', '2* bytes', '1* in two', '1 plain']);
  client.raw.write(clientFrame(TEXT, Buffer.from([0]), { reserved: 4 })); // turned it is 0xff: not UTF-8
  t.same(await client.untilClosed(), { code: 1_007, reason: 'a text message that is not UTF-8' });
  client.raw.socket.end();
  await until(() => closes.length === 1);
  t.equal(extension.closed, 1);
});

test('a slow message holds up what follows it, both ways', async (t) => {
  const { open, extension, sockets } = site(t, echo);
  const client = await open();
  client.raw.write(
    Buffer.concat([
      turnedFrame(TEXT, 'slow 1'),
      clientFrame(PING, 'later'),
      turnedFrame(BINARY, 'slow 2'),
      clientFrame(TEXT, 'plain'),
      turnedFrame(TEXT, 'quick'),
    ]),
  );
  while (received(client).length < 5) {
    extension.release();
    await new Promise((resolve) => setImmediate(resolve));
  }
  // The pong may come between two messages.
  t.same(
    received(client).filter((each) => each !== `${PONG} later`),
    ['1* slow 1', '2* slow 2', '1 plain', '1* quick'],
  );
  t.equal(sockets[0]?.queuedBytes, 0);
});

test('what is sent meanwhile waits, then drain and close', async (t) => {
  const drains: number[] = [];
  const { open, extension, sockets, publish, closes } = site(t, { drain: (ws) => void drains.push(ws.queuedBytes) });
  const client = await open();
  await until(() => sockets.length === 1);
  const ws = sockets[0] as ServerWebSocket<unknown>;
  t.equal(ws.send('slow'), false);
  const bytes = Buffer.from('xyz');
  t.equal(ws.send(bytes), false);
  bytes.fill(0);
  t.equal(ws.send('plain'), false);
  publish('shared');
  ws.ping('overtakes');
  t.ok(ws.queuedBytes > 10);
  await client.untilFrames(1);
  t.same(received(client), [`${PING} overtakes`]);
  extension.release();
  await client.untilFrames(5);
  t.same(received(client).slice(1), ['1* slow', '2* xyz', '1 plain', '1* shared']);
  await until(() => drains.length === 1);
  t.same(drains, [0]);
  ws.send('slow again');
  ws.close(4_000);
  t.equal(ws.isOpen, false);
  extension.release();
  await client.untilFrames(7);
  t.same(received(client).slice(5), ['1* slow again', 'close']);
  client.close(4_000);
  await client.untilClosed();
  client.raw.socket.end();
  await until(() => closes.length === 1);
  t.equal(extension.closed, 1);
});

test('a client that closes first gets one close frame', async (t) => {
  const { open, extension, sockets } = site(t, {});
  const client = await open();
  await until(() => sockets.length === 1);
  sockets[0]?.send('slow');
  sockets[0]?.close(4_000);
  client.close(4_001).send(TEXT, 'late').close(4_002);
  await quiet();
  extension.release();
  t.equal((await client.untilClosed())?.code, 4_000);
  t.same(received(client), ['1* slow', 'close']);
});

test('a message for many is transformed once, and only for those that can take it', async (t) => {
  const { open, extension, publish } = site(t, {});
  const clients = await Promise.all([open(), open(), open({})]);
  t.equal(publish('one'), 3);
  t.equal(publish(Buffer.from('two')), 3);
  t.equal(publish('plain'), 3);
  extension.takesShared = false;
  t.equal(publish('three'), 3);
  for (const client of clients) await client.untilFrames(4);
  const [first, second, third] = clients.map(received);
  t.same(first, ['1* one', '2* two', '1 plain', '1 three']);
  t.same(second, first);
  t.same(third, ['1 one', '2 two', '1 plain', '1 three']);
  t.equal(extension.shared, 4);
});

test('a message that cannot be transformed ends the connection', async (t) => {
  for (const [text, code, reason, reports] of [
    ['quick b', 1_007, 'damaged', 0],
    ['slow b', 1_007, 'damaged', 0],
    ['quick c', 1_011, '', 1],
    ['slow c', 1_011, '', 1],
  ] as const) {
    for (const direction of ['in', 'out'] as const) {
      const { open, extension, sockets, reported } = site(t, {});
      const client = await open();
      await until(() => sockets.length === 1);
      if (direction === 'in') client.raw.write(turnedFrame(TEXT, text));
      else if (text.startsWith('slow')) sockets[0]?.send(text);
      else continue; // thrown to the caller of send
      while (client.closed === null) {
        extension.release();
        await new Promise((resolve) => setImmediate(resolve));
      }
      t.same(client.closed, { code, reason }, `${text}, ${direction}`);
      t.equal(reported.length, reports);
    }
  }
});

test('a connection that ends meanwhile', async (t) => {
  const messages: unknown[] = [];
  const { open, extension, sockets, closes } = site(t, { message: (_ws, data) => void messages.push(data) });
  for (const text of ['slow', 'slow b']) {
    const client = await open();
    client.raw.write(turnedFrame(TEXT, text));
    await until(() => sockets.length === 1);
    sockets[0]?.send('slow');
    sockets[0]?.send('slow too');
    sockets[0]?.send('slow b');
    await new Promise((resolve) => setTimeout(resolve, 20));
    sockets[0]?.terminate();
    await until(() => closes.length === 1);
    extension.release();
    await new Promise((resolve) => setImmediate(resolve));
    extension.release();
    await new Promise((resolve) => setImmediate(resolve));
    sockets.length = 0;
    closes.length = 0;
  }
  // Closing: what is decoded then is not delivered any more.
  const client = await open();
  client.raw.write(Buffer.concat([turnedFrame(TEXT, 'slow'), clientFrame(CLOSE)]));
  await until(() => sockets.length === 1);
  await new Promise((resolve) => setTimeout(resolve, 20));
  sockets[0]?.close();
  extension.release();
  await client.untilClosed();
  t.same(messages, []);
  t.equal(extension.closed, 3);
});

test('what waits counts against the limit', async (t) => {
  const { open, sockets, closes } = site(t, {}, { maxQueuedBytes: 1_000 });
  await open();
  await until(() => sockets.length === 1);
  const ws = sockets[0] as ServerWebSocket<unknown>;
  ws.send(`slow${'x'.repeat(496)}`);
  ws.send('x'.repeat(496));
  t.equal(ws.queuedBytes, 996);
  t.ok(ws.isOpen);
  ws.send('xxx');
  await until(() => closes.length === 1);
  t.same(closes, [[1_006, 'the client reads too slowly']]);
});
