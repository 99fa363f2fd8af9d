/** What all connections hold of messages that have come in part: at its limit, one byte above it, and with everything given back. */

import { type Test, test } from 'tap';
import { Router, serve, type WebSocketCallbacks, type WebSocketOptions } from '../../../http/index.ts';
import type { MessageExtension } from '../../../http/websocket/message-transform.ts';
import { PartialMemory } from '../../../http/websocket/partial-memory.ts';
import { webSocketWith } from '../../../http/websocket/web-socket-handler.ts';
import { webSocketSettings } from '../../../http/websocket/web-socket-options.ts';
import { until } from '../../support/waiting.ts';
import { WebSocketClient } from '../../support/web-socket-client.ts';
import { BINARY, CONTINUATION, clientFrame, PING } from '../../support/web-socket-frames.ts';

function holders(names: string): { readonly gone: string[]; readonly of: Record<string, { makeRoom(): void }> } {
  const gone: string[] = [];
  const of = Object.fromEntries([...names].map((name) => [name, { makeRoom: () => void gone.push(name) }]));
  return { gone, of };
}

test('the oldest make room, until the rest fits', async (t) => {
  const memory = new PartialMemory(100);
  const { gone, of } = holders('abcd');
  memory.hold(of.a as never, 10);
  memory.hold(of.b as never, 40);
  memory.hold(of.c as never, 50);
  t.same([memory.bytes, gone], [100, []], 'exactly the limit');
  memory.hold(of.b as never, 41);
  t.same([memory.bytes, gone], [91, ['a']], 'one byte more');
  memory.release(of.b as never);
  memory.hold(of.b as never, 10);
  memory.hold(of.d as never, 55);
  t.same([memory.bytes, gone], [65, ['a', 'c']], 'b has begun another message meanwhile');
  for (const name of 'abcd') memory.release(of[name] as never);
  t.equal(memory.bytes, 0);
});

test('one message is taken, however long', async (t) => {
  const memory = new PartialMemory(100);
  const { gone, of } = holders('ab');
  memory.hold(of.a as never, 1_000);
  t.same(gone, []);
  memory.hold(of.b as never, 1);
  t.same([memory.bytes, gone], [1, ['a']]);
  memory.release(of.b as never);
  t.ok(memory.pin(1_000));
  t.notOk(memory.pin(1), 'not a second one');
  t.equal(memory.bytes, 1_000);
  memory.unpin(1_000);
  t.equal(memory.bytes, 0);
});

test('what is pinned is never given up, but may be half of all only', async (t) => {
  const memory = new PartialMemory(100);
  const { gone, of } = holders('abc');
  memory.hold(of.a as never, 60);
  t.ok(memory.pin(20));
  t.ok(memory.pin(20));
  t.same([memory.bytes, gone], [100, []]);
  t.notOk(memory.pin(11));
  t.same([memory.bytes, gone], [100, []]);
  t.ok(memory.pin(10), 'exactly half');
  t.same([memory.bytes, gone], [50, ['a']]);
  memory.hold(of.b as never, 50);
  t.same([memory.bytes, gone], [100, ['a']]);
  memory.hold(of.b as never, 51);
  t.same([memory.bytes, gone], [50, ['a', 'b']], 'the newest is the oldest if it is the only one');
});

interface Site {
  readonly closes: [number, string][];
  /** Lets the messages that wait to be decoded go on. */
  release(): void;
  open(): Promise<WebSocketClient>;
}

function site(t: Test, callbacks: WebSocketCallbacks<unknown>, options: WebSocketOptions): Site {
  const closes: [number, string][] = [];
  const waiting: (() => void)[] = [];
  const slow: MessageExtension = {
    negotiate: () => ({
      answer: 'slow',
      createTransform: () => ({
        decode: (payload) => new Promise((resolve) => waiting.push(() => resolve(payload))),
        encode: () => null,
        takesShared: () => false,
        close() {},
      }),
    }),
    encodeShared: () => null,
  };
  const handler = webSocketWith<unknown, Readonly<Record<string, string>>>(
    { ...callbacks, close: (_ws, code, reason) => void closes.push([code, reason]) },
    webSocketSettings(options),
    slow,
  );
  const server = serve(new Router().get('/', handler));
  t.teardown(() => server.close({ graceMs: 0, idleGraceMs: 1 }));
  return {
    closes,
    release: () => {
      for (const goOn of waiting.splice(0)) goOn();
    },
    open: () => WebSocketClient.open(t, server, '/', { 'Sec-WebSocket-Extensions': 'slow' }),
  };
}

const echo: WebSocketCallbacks<unknown> = { message: (ws, data) => ws.send(data) };
const REASON = 'too many messages have come in part';

/** Sends the first fragment of a message, and waits until the server has it. */
async function begin(client: WebSocketClient, byteLength: number): Promise<void> {
  const { length } = client.frames;
  client.send(BINARY, Buffer.alloc(byteLength, 'x'), { isFinal: false }).send(PING);
  await client.untilFrames(length + 1);
}

const RSV1 = 4;

for (const [maxPartialBytes, survives] of [
  [2_000, true],
  [1_999, false],
] as const) {
  test(`two connections with 1,000 bytes each, and room for ${maxPartialBytes}`, async (t) => {
    const { closes, open } = site(t, echo, { maxPartialBytes, maxMessageBytes: 1_000 });
    const [old, young] = [await open(), await open()];
    await begin(old, 1_000);
    await begin(young, 1_000);
    if (survives) {
      old.send(CONTINUATION);
      t.equal((await old.untilFrames(2))[1]?.payload.length, 1_000);
    } else {
      t.same(await old.untilClosed(), { code: 1_013, reason: REASON });
      old.raw.socket.end();
      await until(() => closes.length === 1);
      t.same(closes, [[1_013, REASON]]);
    }
    young.send(CONTINUATION);
    t.equal((await young.untilFrames(2))[1]?.payload.length, 1_000, 'the other one is served');
    await begin(young, 1_000);
    const third = await open();
    await begin(third, 1_000);
    young.send(CONTINUATION);
    await young.until(() => young.frames.length >= 4 || young.raw.isOver, 'the message, or the end');
    t.equal(young.closed?.code, survives ? undefined : 1_013, 'what was given back counts no more');
  });
}

test('a connection that sends without a pause is not the oldest: each of its messages is new', async (t) => {
  const { open } = site(t, echo, { maxPartialBytes: 2_500, maxMessageBytes: 1_000 });
  const [busy, slow, third] = [await open(), await open(), await open()];
  await begin(busy, 1_000);
  await begin(slow, 1_000);
  // The end of one message and the beginning of the next in one write.
  busy.raw.write(
    Buffer.concat([
      clientFrame(CONTINUATION),
      clientFrame(BINARY, Buffer.alloc(1_000), { isFinal: false }),
      clientFrame(PING),
    ]),
  );
  await busy.untilFrames(3);
  await begin(third, 1_000);
  t.same(await slow.untilClosed(), { code: 1_013, reason: REASON });
  busy.send(CONTINUATION);
  await busy.untilFrames(4);
  t.equal(busy.closed, null);
});

test('a connection that has left holds nothing', async (t) => {
  const { closes, open } = site(t, echo, { maxPartialBytes: 2_000, maxMessageBytes: 1_000 });
  for (let i = 1; i <= 3; i++) {
    const client = await open();
    await begin(client, 1_000);
    client.raw.reset();
    await until(() => closes.length === i);
  }
  const [one, two] = [await open(), await open()];
  await begin(one, 1_000);
  await begin(two, 1_000);
  two.send(CONTINUATION);
  await two.untilFrames(2);
  t.equal(one.closed, null);
});

for (const [maxPartialBytes, survives] of [
  [4_000, true],
  [3_999, false],
] as const) {
  test(`two compressed messages of 1,000 bytes wait for the pool, with room for ${maxPartialBytes}`, async (t) => {
    const { release, open } = site(t, echo, { maxPartialBytes });
    const [first, second] = [await open(), await open()];
    const length = 900;
    // What comes behind a message waits with it.
    const behind = clientFrame(BINARY, Buffer.alloc(94));
    t.equal(behind.length, 100);
    const message = Buffer.concat([clientFrame(BINARY, Buffer.alloc(length), { reserved: RSV1 }), behind]);
    first.send(PING).raw.write(message);
    await first.untilFrames(1);
    second.send(PING).raw.write(message);
    await second.untilFrames(1);
    if (!survives) {
      t.same(await second.untilClosed(), { code: 1_013, reason: 'too many messages wait to be decompressed' });
    }
    await until(() => {
      release();
      return first.frames.length >= 3;
    });
    t.same(
      first.frames.map(({ payload }) => payload.length),
      [0, length, 94],
    );
    if (survives) await second.untilFrames(3);
  });
}
