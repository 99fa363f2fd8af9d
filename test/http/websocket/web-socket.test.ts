/** A WebSocket on a real server, on both loops: messages, closes, faults, pings, limits, and what the program is told. */

import { AsyncLocalStorage } from 'node:async_hooks';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import {
  HttpError,
  Router,
  type ServeOptions,
  type Server,
  type ServerWebSocket,
  serve,
  type WebSocketCallbacks,
  type WebSocketOptions,
  webSocket,
} from '../../../http/index.ts';
import { portOf } from '../../../simplenet/kernel/socket-address.ts';
import { backends, missingBackend } from '../../support/backends.ts';
import { RawClient } from '../../support/raw-client.ts';
import { until } from '../../support/waiting.ts';
import { upgradeRequest, WebSocketClient } from '../../support/web-socket-client.ts';
import { BINARY, CLOSE, CONTINUATION, clientFrame, PING, PONG, TEXT } from '../../support/web-socket-frames.ts';

interface Site {
  readonly server: Server;
  /** What onError was told. */
  readonly reported: unknown[];
  /** The arguments of `close`. */
  readonly closes: [number, string][];
  readonly sockets: ServerWebSocket<unknown>[];
}

function site(
  t: Test,
  callbacks: WebSocketCallbacks<unknown>,
  options: WebSocketOptions = {},
  serveOptions: ServeOptions = {},
): Site {
  const reported: unknown[] = [];
  const closes: [number, string][] = [];
  const sockets: ServerWebSocket<unknown>[] = [];
  const handler = webSocket(
    {
      ...callbacks,
      open(ws, request) {
        sockets.push(ws);
        return callbacks.open?.(ws, request);
      },
      close(ws, code, reason) {
        closes.push([code, reason]);
        return callbacks.close?.(ws, code, reason);
      },
    },
    options,
  );
  const router = new Router().get('/', handler);
  const server = serve(router, { onError: (error) => void reported.push(error), ...serveOptions });
  t.teardown(() => server.close({ graceMs: 0, idleGraceMs: 1 }));
  return { server, reported, closes, sockets };
}

const echo: WebSocketCallbacks<unknown> = { message: (ws, data) => ws.send(data) };

for (const backend of backends) {
  const skip = missingBackend[backend];
  const on = { backend };

  test(`an echo of text, bytes and fragments (${backend})`, { skip }, async (t) => {
    const { server, closes } = site(t, echo, {}, on);
    const client = await WebSocketClient.open(t, server, '/', {}, clientFrame(TEXT, 'behind the head'));
    t.match(client.head, /\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/);
    t.notMatch(client.head, /Sec-WebSocket-(?:Extensions|Protocol)/);
    client.send(TEXT, 'grüße').send(BINARY, Buffer.from([0, 255]));
    client.send(TEXT, 'in ', { isFinal: false }).send(PING, '!').send(CONTINUATION, 'two');
    client.send(TEXT, 'x'.repeat(100_000));
    const frames = await client.untilFrames(6);
    t.same(
      frames.map(({ opcode, payload }) => [opcode, payload.toString()]),
      [
        [TEXT, 'behind the head'],
        [TEXT, 'grüße'],
        [BINARY, Buffer.from([0, 255]).toString()],
        [PONG, '!'],
        [TEXT, 'in two'],
        [TEXT, 'x'.repeat(100_000)],
      ],
    );
    client.close(4_000, 'bye');
    t.same(await client.untilClosed(), { code: 4_000, reason: '' });
    client.raw.socket.end();
    await until(() => closes.length === 1);
    t.same(closes, [[4_000, 'bye']]);
  });

  test(`byte by byte (${backend})`, { skip }, async (t) => {
    const { server } = site(t, echo, {}, on);
    const client = await WebSocketClient.open(t, server);
    client.raw.socket.setNoDelay(true);
    for (const byte of Buffer.concat([clientFrame(TEXT, 'grüße'), clientFrame(PING, 'p'), clientFrame(TEXT, '')])) {
      client.raw.write(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await client.untilFrames(3);
    t.same(client.texts, ['grüße', 'p', '']);
  });

  test(`backpressure: false, drain, and all in order (${backend})`, { skip }, async (t) => {
    let drains = 0;
    let sent = 0;
    const fill = (ws: ServerWebSocket<unknown>): void => {
      while (sent < 200) {
        sent++;
        if (!ws.send(`${sent}`.padStart(60_000, '.'))) return;
      }
    };
    const callbacks: WebSocketCallbacks<unknown> = {
      open: fill,
      drain(ws) {
        drains++;
        fill(ws);
      },
    };
    const { server, sockets } = site(t, callbacks, { maxQueuedBytes: 16 * 1_024 ** 2 }, on);
    const client = await WebSocketClient.open(t, server);
    const frameBytes = 4 + 60_000;
    await client.until(() => client.raw.receivedBytes >= client.head.length + 200 * frameBytes, 'all messages');
    t.same(
      client.texts.map((text) => Number(text.replace(/^\.+/, ''))),
      Array.from({ length: 200 }, (_, i) => i + 1),
    );
    t.ok(drains > 0);
    // On io_uring the client can have the bytes before the server hears that they have left.
    await until(() => sockets[0]?.queuedBytes === 0);
  });

  test(`a client that reads nothing: dropped, or cut (${backend})`, { skip }, async (t) => {
    for (const whenFull of ['drop', 'close'] as const) {
      const maxQueuedBytes = 100_000;
      const { server, sockets, closes } = site(t, {}, { maxQueuedBytes, whenFull }, on);
      const client = await WebSocketClient.open(t, server);
      client.raw.socket.pause();
      await until(() => sockets.length === 1);
      const ws = sockets[0] as ServerWebSocket<unknown>;
      const message = Buffer.alloc(40_000);
      let most = 0;
      for (let i = 0; i < 2_000 && closes.length === 0; i++) {
        ws.send(message);
        most = Math.max(most, ws.queuedBytes);
        if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      t.ok(most > 0 && most <= maxQueuedBytes + 40_004 * 10, `${most} bytes`);
      if (whenFull === 'drop') t.same(closes, []);
      else t.same(closes, [[1_006, 'the client reads too slowly']]);
      client.raw.destroy();
      await until(() => closes.length === 1);
    }
  });

  test(`a server that stops says 1001 and waits for the client (${backend})`, { skip }, async (t) => {
    const { server, closes } = site(t, {}, {}, on);
    const client = await WebSocketClient.open(t, server);
    const closing = server.close();
    await client.untilFrames(1);
    t.same(client.closed, { code: 1_001, reason: 'the server stops' });
    client.close(1_001);
    await client.untilClosed();
    client.raw.socket.end();
    await closing;
    t.same(closes, [[1_001, '']]);
  });
}

test('the end of the grace cuts a client that does not answer', async (t) => {
  const { server, closes } = site(t, {});
  const client = await WebSocketClient.open(t, server);
  await server.close({ graceMs: 50 });
  t.same(await client.untilClosed(), { code: 1_001, reason: 'the server stops' });
  t.equal(closes.length, 1);
});

test('a connection that is opened while the server stops gets 1001 as well', async (t) => {
  let goOn = () => {};
  const waiting = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  let isAsked = false;
  const { server } = site(t, {
    async upgrade() {
      isAsked = true;
      await waiting;
      return undefined;
    },
  });
  const raw = new RawClient(portOf(server.address)).write(upgradeRequest('/'));
  t.teardown(() => raw.destroy());
  await until(() => isAsked);
  const closing = server.close();
  await new Promise((resolve) => setImmediate(resolve));
  goOn();
  await raw.until(() => raw.text.includes('the server stops'), '1001');
  raw.destroy();
  await closing;
});

test('request.closing and request.signal still work beside it', async (t) => {
  const { server } = site(t, {
    open(ws, request) {
      request.closing.addEventListener('abort', () => ws.send('closing'));
    },
  });
  const client = await WebSocketClient.open(t, server);
  const closing = server.close();
  await client.until(() => client.closed !== null, 'the close frame');
  client.close(1_001);
  client.raw.socket.end();
  await closing;
  t.ok(true);
});

test('request.closing that is first read later', async (t) => {
  let read: () => AbortSignal = () => AbortSignal.abort();
  const { server } = site(t, {
    open(_ws, request) {
      read = () => request.closing;
    },
  });
  const client = await WebSocketClient.open(t, server);
  const signal = read();
  t.notOk(signal.aborted);
  const closing = server.close();
  await client.until(() => client.closed !== null, 'the close frame');
  t.ok(signal.aborted);
  client.raw.destroy();
  await closing;
});

interface Fault {
  readonly name: string;
  readonly bytes: Buffer;
  readonly code: number;
  readonly reason: RegExp;
}

const faults: readonly Fault[] = [
  { name: 'no mask', bytes: clientFrame(TEXT, 'a', { mask: null }), code: 1_002, reason: /without a mask/ },
  { name: 'a reserved bit', bytes: clientFrame(TEXT, 'a', { reserved: 4 }), code: 1_002, reason: /reserved bit/ },
  { name: 'not UTF-8', bytes: clientFrame(TEXT, Buffer.from([0xff])), code: 1_007, reason: /UTF-8/ },
  { name: 'too long', bytes: clientFrame(TEXT, 'x'.repeat(1_001)), code: 1_009, reason: /above 1000 bytes/ },
  { name: 'a close frame of one byte', bytes: clientFrame(CLOSE, 'x'), code: 1_002, reason: /one byte/ },
  { name: 'the code 1005', bytes: clientFrame(CLOSE, Buffer.from([3, 237])), code: 1_002, reason: /1005/ },
  {
    name: 'a reason that is not UTF-8',
    bytes: clientFrame(CLOSE, Buffer.from([3, 232, 255])),
    code: 1_007,
    reason: /UTF-8/,
  },
];

for (const { name, bytes, code, reason } of faults) {
  test(`a fault of the client: ${name}`, async (t) => {
    const { server, closes, reported } = site(t, echo, { maxMessageBytes: 1_000 });
    const client = await WebSocketClient.open(t, server);
    client.send(TEXT, 'before');
    client.raw.write(bytes);
    client.send(TEXT, 'after');
    const closed = await client.untilClosed();
    t.equal(closed?.code, code);
    t.match(closed?.reason, reason);
    t.same(client.texts, ['before']);
    client.raw.write(Buffer.alloc(100_000)); // read and dropped
    client.raw.socket.end();
    await until(() => closes.length === 1);
    t.equal(closes[0]?.[0], code);
    t.same(reported, []);
  });
}

test('a client that floods after its fault is not read for ever', async (t) => {
  const { server, closes } = site(t, echo);
  const client = await WebSocketClient.open(t, server);
  client.send(TEXT, 'a', { mask: null });
  await client.untilClosed();
  client.raw.write(Buffer.alloc(3 * 1_024 ** 2));
  await until(() => closes.length === 1); // within LINGER_MS
  t.equal(closes[0]?.[0], 1_002);
});

test('closing by the program', async (t) => {
  const messages: unknown[] = [];
  const { server, sockets, closes } = site(t, { message: (_ws, data) => void messages.push(data) });
  const client = await WebSocketClient.open(t, server);
  await until(() => sockets.length === 1);
  const ws = sockets[0] as ServerWebSocket<unknown>;
  t.throws(() => ws.close(1_005), /1005 is not a code/);
  t.throws(() => ws.close('x' as unknown as number), /'x' is not a code/);
  t.throws(() => ws.close(1_000, 'x'.repeat(124)), /at most 123 bytes/);
  t.throws(() => ws.close(1_000, 1 as unknown as string), /must be a string/);
  t.ok(ws.isOpen);
  ws.send('last');
  ws.close(3_000, 'x'.repeat(123));
  t.notOk(ws.isOpen);
  ws.close(3_001);
  t.equal(ws.send('too late'), false);
  t.equal(ws.ping(), false);
  ws.subscribe('nothing');
  t.same(ws.topics, []);
  client.send(TEXT, 'ignored').send(PING, 'ignored').send(PONG);
  await client.untilFrames(2);
  t.same(client.closed, { code: 3_000, reason: 'x'.repeat(123) });
  client.close(3_000, 'ok');
  await client.untilClosed();
  t.same(client.texts, ['last']);
  client.raw.socket.end();
  await until(() => closes.length === 1);
  t.same(closes, [[3_000, 'ok']]);
  t.same(messages, []);
  ws.terminate(); // it is closed already
});

test('a client without a close frame is 1006, one without a code 1005', async (t) => {
  const { server, closes } = site(t, {});
  const fin = await WebSocketClient.open(t, server);
  fin.raw.socket.end();
  await until(() => closes.length === 1);
  const reset = await WebSocketClient.open(t, server);
  reset.raw.reset();
  await until(() => closes.length === 2);
  const empty = await WebSocketClient.open(t, server);
  empty.send(CLOSE);
  t.same(await empty.untilClosed(), { code: 1_005, reason: '' });
  empty.raw.socket.end();
  await until(() => closes.length === 3);
  t.same(
    closes.map(([code]) => code),
    [1_006, 1_006, 1_005],
  );
  t.match(closes[1]?.[1], /ECONNRESET/);
});

test('terminate cuts', async (t) => {
  const { server, closes } = site(t, { message: (ws) => ws.terminate() });
  const client = await WebSocketClient.open(t, server);
  client.send(TEXT, 'cut me');
  t.equal(await client.untilClosed(), null);
  await until(() => closes.length === 1);
  t.same(closes, [[1_006, 'terminated']]);
});

test('ping and pong by the program', async (t) => {
  const pongs: string[] = [];
  const { server } = site(t, {
    open(ws) {
      t.throws(() => ws.ping('x'.repeat(126)), /at most 125 bytes, not 126/);
      ws.ping('x'.repeat(125));
      ws.ping();
    },
    pong: (_ws, data) => void pongs.push(data.toString()),
  });
  const client = await WebSocketClient.open(t, server);
  const frames = await client.untilFrames(2);
  t.same(
    frames.map(({ opcode, payload }) => [opcode, payload.length]),
    [
      [PING, 125],
      [PING, 0],
    ],
  );
  client.send(PONG, 'here');
  await until(() => pongs.length === 1);
  t.same(pongs, ['here']);
});

test('a silent client is pinged, and cut if it does not answer', async (t) => {
  const { server, closes } = site(t, {}, { idleTimeoutMs: 200 });
  const alive = await WebSocketClient.open(t, server);
  for (let i = 1; i < 5; i++) {
    await alive.untilFrames(i);
    alive.send(PONG);
  }
  t.same(closes, []);
  t.equal(await alive.untilClosed(), null);
  await until(() => closes.length === 1);
  t.same(closes, [[1_006, 'nothing came for 200 ms']]);
});

test('without an idle timeout nobody is pinged', async (t) => {
  const { server } = site(t, echo, { idleTimeoutMs: Number.POSITIVE_INFINITY });
  const client = await WebSocketClient.open(t, server);
  client.send(TEXT, 'still here');
  await client.untilFrames(1);
  t.same(client.texts, ['still here']);
});

test('data comes from upgrade, which may be late, refuse or return a Response', async (t) => {
  const handler = webSocket(
    {
      async upgrade(request) {
        const who = request.query.get('who');
        if (who === null) throw new HttpError(401, 'who are you?');
        if (who === 'eve') return new Response('not you', { status: 418 });
        return { who };
      },
      open: (ws) => ws.send(`hello ${ws.data.who} from ${ws.remoteAddress}, ${ws.protocol}`),
    },
    { subprotocols: ['v2', 'v1'] },
  );
  const server = serve(new Router().get('/', handler));
  t.teardown(() => server.close({ graceMs: 0, idleGraceMs: 1 }));
  const client = await WebSocketClient.open(t, server, '/?who=bob', { 'Sec-WebSocket-Protocol': 'v1, v2' });
  await client.untilFrames(1);
  t.same(client.texts, ['hello bob from 127.0.0.1, v2']);
  t.match(client.head, /\r\nSec-WebSocket-Protocol: v2\r\n/);
  for (const [target, status] of [
    ['/', 401],
    ['/?who=eve', 418],
  ] as const) {
    const raw = new RawClient(portOf(server.address)).write(upgradeRequest(target));
    await raw.until(() => raw.text.includes('you'), 'an answer');
    t.match(raw.text, new RegExp(`^HTTP/1.1 ${status} `));
    raw.destroy();
  }
});

test('a refused handshake says why, and the connection goes on', async (t) => {
  const { server } = site(t, echo);
  const raw = new RawClient(portOf(server.address));
  t.teardown(() => raw.destroy());
  raw.write(upgradeRequest('/', { 'Sec-WebSocket-Version': '8' }));
  await raw.until(() => raw.answers === 1, 'an answer');
  t.match(raw.text, /^HTTP\/1.1 426 [\s\S]*Sec-WebSocket-Version: 13\r\n/);
  raw.write(upgradeRequest('/', { Origin: 'https://evil.example' }));
  await raw.until(() => raw.text.includes('evil.example may not'), 'an answer');
  t.match(raw.text, /HTTP\/1.1 403 /);
  raw.write(upgradeRequest('/', { Origin: 'http://x' }));
  await raw.until(() => raw.text.includes('101 Switching'), 'a WebSocket');
});

test('origins', async (t) => {
  const asked: string[] = [];
  for (const [origins, good, bad] of [
    ['*', 'https://any.example', null],
    [['https://a.example'], 'https://a.example', 'https://b.example'],
    [(origin: string) => asked.push(origin) === 1, 'https://c.example', 'https://d.example'],
  ] as const) {
    const { server } = site(t, {}, { origins });
    await WebSocketClient.open(t, server, '/', { Origin: good });
    if (bad !== null) await t.rejects(WebSocketClient.open(t, server, '/', { Origin: bad }), /403/);
  }
  t.same(asked, ['https://c.example', 'https://d.example']);
  const { server, reported } = site(t, {}, { origins: (async () => true) as unknown as () => boolean });
  await t.rejects(WebSocketClient.open(t, server, '/', { Origin: 'https://a.example' }), /500/);
  t.match(reported[0], /must return true or false/);
});

test('errors of callbacks close with 1011 and are reported', async (t) => {
  const cases: readonly (readonly [string, WebSocketCallbacks<unknown>])[] = [
    [
      'message',
      {
        message: () => {
          throw new Error('in message');
        },
      },
    ],
    [
      'async message',
      {
        message: async () => {
          throw new Error('in async message');
        },
      },
    ],
    [
      'open',
      {
        open: (ws) => {
          ws.subscribe('what open has subscribed');
          throw new Error('in open');
        },
      },
    ],
    [
      'async open',
      {
        open: async () => {
          throw new Error('in async open');
        },
      },
    ],
  ];
  for (const [name, callbacks] of cases) {
    const { server, reported, closes } = site(t, callbacks);
    const client = await WebSocketClient.open(t, server);
    client.send(TEXT, 'go');
    t.same(await client.untilClosed(), { code: 1_011, reason: '' }, name);
    client.raw.socket.end();
    await until(() => closes.length === 1);
    t.same(closes, [[1_011, '']]);
    t.match(
      (reported as Error[]).map(({ message }) => message),
      [`in ${name}`],
    );
  }
  const last = site(t, {
    close: () => {
      throw new Error('in close');
    },
  });
  (await WebSocketClient.open(t, last.server)).raw.reset();
  await until(() => last.reported.length === 1);
});

test('callbacks run with the stores of their request, and leak none', async (t) => {
  const storage = new AsyncLocalStorage<string>();
  const seen: (string | undefined)[] = [];
  const handler = webSocket({
    open: (ws) => ws.send('open'),
    message(_ws, data) {
      seen.push(storage.getStore());
      storage.enterWith(`message ${data}`);
    },
    close: () => void seen.push('closed'),
  });
  const router = new Router();
  router.use((request, _response, next) => storage.run(request.search, next));
  router.get('/', handler);
  const server = serve(router);
  t.teardown(() => server.close({ graceMs: 0, idleGraceMs: 1 }));
  const one = await WebSocketClient.open(t, server, '/?one');
  const two = await WebSocketClient.open(t, server, '/?two');
  await one.send(TEXT, '1').send(PING).untilFrames(2);
  await two.send(TEXT, '2').send(PING).untilFrames(2);
  t.same(seen, ['?one', '?two']);
  t.equal(storage.getStore(), undefined);
});

test('topics: subscribe, publish, unsubscribe and the end', async (t) => {
  const { ...state } = { published: [] as number[] };
  const chat = webSocket({
    open(ws) {
      ws.subscribe('room');
      ws.subscribe('room');
      ws.subscribe('other');
      t.throws(() => ws.subscribe(1 as unknown as string), /a topic must be a string/);
      t.same(ws.topics, ['room', 'other']);
    },
    message(ws, data) {
      if (data === 'leave') ws.unsubscribe('room');
      else state.published.push(ws.publish('room', data));
      ws.unsubscribe('never subscribed');
    },
  });
  const server = serve(new Router().get('/', chat));
  t.teardown(() => server.close({ graceMs: 0, idleGraceMs: 1 }));
  t.equal(chat.publish('room', 'nobody'), 0);
  const clients = await Promise.all([1, 2, 3].map(() => WebSocketClient.open(t, server)));
  const [first, second, third] = clients as [WebSocketClient, WebSocketClient, WebSocketClient];
  await until(() => chat.subscribers('room') === 3);
  first.send(TEXT, 'from the first');
  await second.untilFrames(1);
  await third.untilFrames(1);
  t.same(state.published, [2]);
  t.equal(chat.publish('room', Buffer.from('from the server')), 3);
  t.equal(chat.publish('room', new Uint8Array(Buffer.from('as bytes')).buffer), 3);
  t.throws(() => chat.publish('room', 1 as unknown as string), /a message must be/);
  await first.untilFrames(2);
  t.same(first.texts, ['from the server', 'as bytes']);
  await second.untilFrames(3);
  t.same(second.texts, ['from the first', 'from the server', 'as bytes']);
  t.same(
    second.frames.map(({ opcode }) => opcode),
    [TEXT, BINARY, BINARY],
  );
  third.send(TEXT, 'leave');
  await until(() => chat.subscribers('room') === 2);
  second.raw.reset();
  await until(() => chat.subscribers('room') === 1);
  t.equal(chat.subscribers('other'), 2);
  t.equal(chat.subscribers('no such topic'), 0);
});

test('messages of every type, and no other', async (t) => {
  const { server } = site(t, {
    open(ws) {
      ws.unsubscribe('nothing');
      ws.send('text');
      ws.send(new Uint8Array([65, 66]));
      ws.send(new Uint8Array([67, 68]).buffer);
      t.throws(
        () => ws.send({} as unknown as string),
        /a message must be a string, a Uint8Array or an ArrayBuffer, not an object/,
      );
    },
  });
  const client = await WebSocketClient.open(t, server);
  await client.untilFrames(3);
  t.same(client.texts, ['text', 'AB', 'CD']);
});

test('many messages in one read are answered in one send', async (t) => {
  const { server } = site(t, echo);
  const client = await WebSocketClient.open(t, server);
  const pieces: number[] = [];
  client.raw.socket.on('data', (bytes: Buffer) => pieces.push(bytes.length));
  client.raw.write(Buffer.concat(Array.from({ length: 50 }, (_, i) => clientFrame(TEXT, `${i}`))));
  await client.untilFrames(50);
  t.equal(pieces.length, 1);
});

test('a flood of pings without reading is bounded', async (t) => {
  const { server, sockets } = site(t, {}, { maxQueuedBytes: 10_000 });
  const client = await WebSocketClient.open(t, server);
  client.raw.socket.pause();
  const pings = Buffer.concat(Array.from({ length: 5_000 }, () => clientFrame(PING, 'x'.repeat(125))));
  for (let i = 0; i < 20; i++) client.raw.write(pings);
  client.raw.write(clientFrame(CLOSE));
  await until(() => sockets[0]?.isOpen === false);
  t.ok((sockets[0] as ServerWebSocket<unknown>).queuedBytes < 100_000);
});

test('what is published does not reach a connection that closes, and not for long one that does not read', async (t) => {
  const sockets: ServerWebSocket[] = [];
  const closes: number[] = [];
  const news = webSocket(
    {
      open(ws) {
        sockets.push(ws);
        ws.subscribe('news');
      },
      close: (_ws, code) => void closes.push(code),
    },
    { maxQueuedBytes: 100_000 },
  );
  const server = serve(new Router().get('/', news));
  t.teardown(() => server.close({ graceMs: 0, idleGraceMs: 1 }));
  const [slow, closing] = [await WebSocketClient.open(t, server), await WebSocketClient.open(t, server)];
  slow.raw.socket.pause();
  await until(() => sockets.length === 2);
  sockets[1]?.close(4_000);
  const message = Buffer.alloc(40_000);
  let most = 0;
  for (let i = 0; i < 5_000 && closes.length === 0; i++) {
    news.publish('news', message);
    most = Math.max(most, sockets[0]?.queuedBytes ?? 0);
    if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  t.same(closes, [1_006]);
  t.ok(most <= 100_000 + 40_004 * 10, `${most} bytes`);
  await closing.untilFrames(1);
  t.same(closing.texts, []);
});

test('over a Unix socket the address is its path', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-ws-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'ws');
  let address: string | null = null;
  const site = new Router().get(
    '/',
    webSocket({
      open(ws) {
        address = ws.remoteAddress;
      },
    }),
  );
  const server = serve(site, { path });
  t.teardown(() => server.close({ graceMs: 0, idleGraceMs: 1 }));
  const client = connect(path).on('error', () => {});
  client.write(upgradeRequest('/'));
  await until(() => address !== null);
  t.equal(address, '');
  client.destroy();
});
