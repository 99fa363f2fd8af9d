/** The WebSocket of the Fetch Server API: the standard interface, over the machinery of webSocket. */

import { type Test, test } from 'tap';
import { type ConnectContext, serve } from '../../../http/index.ts';
import { ContextWebSocket, type SocketCloseEvent } from '../../../http/websocket/context-web-socket.ts';
import { portOf } from '../../../simplenet/kernel/socket-address.ts';
import { marked } from '../../support/context-client.ts';
import { RawClient } from '../../support/raw-client.ts';
import { until } from '../../support/waiting.ts';
import { upgradeRequest, WebSocketClient } from '../../support/web-socket-client.ts';
import { BINARY, TEXT } from '../../support/web-socket-frames.ts';

type Connect = (ctx: ConnectContext) => unknown;

function site(t: Test, connect: Connect) {
  const reported: unknown[] = [];
  const app = marked({ connect: connect as (ctx: ConnectContext) => undefined });
  const server = serve(app, { onError: (error) => void reported.push(error) });
  t.teardown(() => server.close({ graceMs: 0, idleGraceMs: 1 }));
  return { server, reported };
}

test('open, messages of every type, and close', async (t) => {
  const log: unknown[] = [];
  let socket: ContextWebSocket | null = null;
  const { server } = site(t, (ctx) => {
    const ws = ctx.upgradeWebSocket({ protocol: ['v2', 'v1'] });
    socket = ws;
    t.equal(ws.readyState, ws.CONNECTING);
    t.throws(() => ws.send('too early'), { name: 'InvalidStateError' });
    ws.onopen = ({ type }) => {
      log.push(type, ws.readyState, ws.protocol, ws.extensions, ws.bufferedAmount);
      ws.send('text');
      ws.send(new Uint8Array([65]).buffer);
      ws.send(new DataView(new Uint8Array([66, 67]).buffer, 1));
      ws.send(new Blob(['blob']));
      ws.send('after the blob');
      const bytes = new Uint8Array([68]);
      ws.send(bytes);
      bytes[0] = 0;
      t.equal(ws.bufferedAmount, 4 + 14 + 1);
    };
    ws.onmessage = ({ data }) => log.push(data);
    ws.addEventListener('message', () => {
      ws.binaryType = 'arraybuffer';
    });
    ws.onclose = (event) => log.push(event.type, event.code, event.reason, event.wasClean, ws.readyState);
  });
  const client = await WebSocketClient.open(t, server, '/a?b', { 'Sec-WebSocket-Protocol': 'v1' });
  const frames = await client.untilFrames(6);
  t.same(
    frames.map(({ opcode, payload }) => [opcode, payload.toString()]),
    [
      [TEXT, 'text'],
      [BINARY, 'A'],
      [BINARY, 'C'],
      [BINARY, 'blob'],
      [TEXT, 'after the blob'],
      [BINARY, 'D'],
    ],
  );
  const ws = socket as unknown as ContextWebSocket;
  t.equal(ws.url, 'ws://x/a?b');
  t.equal(ws.bufferedAmount, 0);
  client.send(TEXT, 'one').send(BINARY, 'two');
  await until(() => log.length === 7);
  ws.binaryType = 'blob';
  client.send(BINARY, 'three');
  await until(() => log.length === 8);
  t.same(log.slice(0, 6), ['open', 1, 'v1', '', 0, 'one']);
  t.same(Buffer.from(log[6] as ArrayBuffer), Buffer.from('two'));
  t.equal(await (log[7] as Blob).text(), 'three');
  client.close(4_000, 'bye');
  await client.untilClosed();
  client.raw.socket.end();
  await until(() => log.length === 13);
  t.same(log.slice(8), ['close', 4_000, 'bye', true, ContextWebSocket.CLOSED]);
  ws.send('nobody is there');
  ws.close();
  t.equal(ws.protocol, '');
});

test('closing by the program, also before it is open, and after a Blob', async (t) => {
  const { server } = site(t, (ctx) => {
    const ws = ctx.upgradeWebSocket({ protocol: 'v1' });
    t.throws(() => ws.close(1_001), { name: 'InvalidAccessError' });
    t.throws(() => ws.close(5_000), { name: 'InvalidAccessError' });
    t.throws(() => ws.close(1_000, 'x'.repeat(124)), { name: 'SyntaxError' });
    if (ctx.request.url.endsWith('early')) ws.close();
    else {
      ws.onopen = () => {
        ws.send(new Blob(['last']));
        ws.close(3_000, 'done');
        t.equal(ws.readyState, ContextWebSocket.CLOSING);
        ws.send('ignored');
      };
    }
    ws.onmessage = () => t.fail('a message after close');
  });
  const client = await WebSocketClient.open(t, server);
  client.send(TEXT, 'x');
  await client.until(() => client.closed !== null, 'the close frame');
  t.same(client.closed, { code: 3_000, reason: 'done' });
  t.same(client.texts, ['last']);
  const early = await WebSocketClient.open(t, server, '/early');
  await early.until(() => early.closed !== null, 'the close frame');
  t.equal(early.closed?.code, 1_000);
});

test('a handshake with a fault is answered, and the socket fails', async (t) => {
  const log: string[] = [];
  const { server, reported } = site(t, (ctx) => {
    const ws = ctx.upgradeWebSocket();
    const listener = (event: Event) => log.push(event.type);
    ws.onerror = listener;
    t.equal(ws.onerror, listener);
    t.equal(ws.onopen, null);
    t.equal(ws.bufferedAmount, 0);
    ws.onopen = listener;
    ws.onopen = null;
    ws.onopen = 1 as unknown as null;
    t.equal(ws.onmessage, null);
    t.equal(ws.onclose, null);
    ws.onclose = (event: SocketCloseEvent) => log.push(`${event.type} ${event.code} ${event.wasClean}`);
  });
  const raw = new RawClient(portOf(server.address)).write(upgradeRequest('/', { 'Sec-WebSocket-Key': 'x' }));
  await raw.until(() => raw.answers === 1, 'an answer');
  t.match(raw.text, /^HTTP\/1.1 400 /);
  await until(() => log.length === 2);
  t.same(log, ['error', 'close 1006 false']);
  raw.destroy();
  t.same(reported, []);
});

test('only once, and only for a client that has asked', async (t) => {
  const { server } = site(t, (ctx) => {
    if (ctx.connectProtocol === 'other') {
      t.throws(() => ctx.upgradeWebSocket(), { name: 'InvalidStateError' });
      return new Response(null, { status: 501 });
    }
    const socket = ctx.upgradeWebSocket();
    t.throws(() => ctx.upgradeWebSocket(), { name: 'InvalidStateError' });
    socket.onopen = null;
    socket.addEventListener('open', () => socket.send('once'));
    return undefined;
  });
  const client = await WebSocketClient.open(t, server);
  await client.untilFrames(1);
  t.same(client.texts, ['once']);
  const raw = new RawClient(portOf(server.address)).write(upgradeRequest('/', { Upgrade: 'other' }));
  await raw.until(() => raw.answers === 1, 'an answer');
  t.match(raw.text, /^HTTP\/1.1 501 /);
  raw.destroy();
});

test('a program that fails after it cuts the connection', async (t) => {
  const { server, reported } = site(t, async (ctx) => {
    ctx.upgradeWebSocket();
    await new Promise((resolve) => setImmediate(resolve));
    throw new Error('too bad');
  });
  const client = await WebSocketClient.open(t, server);
  t.equal(await client.untilClosed(), null);
  await until(() => reported.length === 1);
});

test('a client that has left meanwhile', async (t) => {
  let goOn = () => {};
  const log: string[] = [];
  let isAsked = false;
  const { server } = site(t, async (ctx) => {
    isAsked = true;
    await new Promise<void>((resolve) => {
      goOn = resolve;
    });
    try {
      ctx.upgradeWebSocket();
    } catch (error) {
      log.push((error as { readonly code: string }).code);
    }
  });
  const raw = new RawClient(portOf(server.address)).write(upgradeRequest('/'));
  await until(() => isAsked);
  raw.reset();
  await until(() => raw.isClosed);
  await new Promise((resolve) => setTimeout(resolve, 20));
  goOn();
  await until(() => log.length === 1);
  t.same(log, ['ERR_HTTP_CONNECTION_RESET']);
});

for (const type of ['open', 'message', 'close'] as const) {
  for (const kind of ['attribute', 'function', 'object', 'async function'] as const) {
    test(`a listener of ${type} that fails, as ${kind}, is reported and ends no process`, async (t) => {
      const fail = () => {
        throw new Error(`in ${type}`);
      };
      const codes: number[] = [];
      const { server, reported } = site(t, (ctx) => {
        const ws = ctx.upgradeWebSocket();
        if (kind === 'attribute') ws[`on${type}`] = fail;
        else if (kind === 'function') ws.addEventListener(type, fail);
        else if (kind === 'object') ws.addEventListener(type, { handleEvent: fail });
        else ws.addEventListener(type, async () => fail());
        ws.addEventListener('close', (event) => codes.push((event as SocketCloseEvent).code));
      });
      const client = await WebSocketClient.open(t, server);
      if (type !== 'open') client.send(TEXT, 'go');
      if (type === 'close') client.close(1_000, '');
      t.equal((await client.untilClosed())?.code, type === 'close' ? 1_000 : 1_011);
      client.raw.socket.end();
      await until(() => codes.length === 1 && reported.length === 1);
      t.match(reported, [{ message: `in ${type}` }]);
    });
  }
}

test('a listener that is removed is not called, and what is none is refused by EventTarget', async (t) => {
  const calls: string[] = [];
  const { server } = site(t, (ctx) => {
    const ws = ctx.upgradeWebSocket();
    const removed = () => calls.push('removed');
    const kept = () => calls.push('kept');
    for (const listener of [removed, kept, kept]) ws.addEventListener('message', listener);
    ws.removeEventListener('message', removed);
    ws.removeEventListener('message', () => calls.push('never added'));
    t.throws(() => ws.addEventListener('message', 1 as never), TypeError);
  });
  const client = await WebSocketClient.open(t, server);
  client.send(TEXT, 'go');
  await until(() => calls.length > 0);
  client.close(1_000, '');
  await client.untilClosed();
  t.same(calls, ['kept'], 'once, although it was added twice');
});
