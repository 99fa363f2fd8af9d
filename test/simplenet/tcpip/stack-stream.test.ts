/** StackStream: what a program is told about a connection of our own TCP, and what the peer sees of its calls. */

import t from 'tap';
import type { Stream } from '../../../simplenet/loop/event-loop.ts';
import { RST } from '../../../simplenet/tcpip/tcp/segment.ts';
import { StackWorld } from '../../contracts/stack-world.ts';
import { connectPair, pass, segmentIn } from './stack-bench.ts';

/** More than a send buffer and a receive buffer take at their first sizes. */
const MUCH = 1_000_000;

/** The sequence numbers of all resets on a wire. */
function observeResets() {
  const resets: number[] = [];
  const onFrame = (frame: Buffer) => {
    const segment = segmentIn(frame);
    if (segment !== null && (segment.flags & RST) !== 0) resets.push(segment.sequence);
  };
  return { resets, onFrame };
}

const options = { maxQueuedBytes: 16 * 1024 * 1024 };

t.test('bytes that came before a reset reach a paused stream on resume, and then the error', async (t) => {
  const world = new StackWorld(1);
  const { client, server, serverSees } = await connectPair(world);
  server.pause();
  client.write(Buffer.from('last words'));
  await world.until(() => server.hasInput(), 'the bytes have come');
  client.abort();
  await world.quiet();
  t.equal(serverSees.isClosed, false);
  t.equal(server.hasOutput(), false);
  server.resume();
  await world.until(() => serverSees.isClosed, 'it has ended');
  t.equal(serverSees.received.toString(), 'last words');
  t.match(serverSees.error, { code: 'ECONNRESET', syscall: 'recv' });
  t.same(serverSees.complaints, []);
  await world.close();
});

t.test('a program that has no use for the last bytes is told about a reset at once', async (t) => {
  const world = new StackWorld(1);
  const { client, server, serverSees } = await connectPair(world, { server: { endsAtBreak: true } });
  server.pause();
  client.write(Buffer.from('last words'));
  await world.until(() => server.hasInput(), 'the bytes have come');
  client.abort();
  await world.until(() => serverSees.isClosed, 'it has ended');
  t.match(serverSees.error, { code: 'ECONNRESET' });
  t.equal(serverSees.byteLength, 0);
  await world.close();
});

t.test('bytes that are given away wait behind a file, and leave after it', async (t) => {
  const world = new StackWorld(1, {}, options);
  const { client, server, serverSees } = await connectPair(world);
  const content = Buffer.alloc(MUCH, 'f');
  const file = world.openFile(content);
  server.pause();
  t.equal(client.sendFile(file.fd, 0, MUCH), false);
  t.equal(client.writeOwned(Buffer.from('given')), false);
  t.equal(client.hasOutput(), true);
  server.resume();
  await world.until(() => serverSees.byteLength === MUCH + 5, 'all has come');
  t.ok(serverSees.received.equals(Buffer.concat([content, Buffer.from('given')])));
  file.close();
  client.end();
  await world.until(() => serverSees.isClosed, 'the end');
  await world.close();
});

t.test('a write to a connection that is reset ends a paused stream', async (t) => {
  const world = new StackWorld(1);
  const { client, server, serverSees } = await connectPair(world);
  server.pause();
  client.write(Buffer.from('unread'));
  await world.until(() => server.hasInput(), 'the bytes have come');
  client.abort();
  await world.quiet();
  t.equal(server.write(Buffer.from('too late')), false);
  await world.until(() => serverSees.isClosed, 'it has ended');
  t.match(serverSees.error, { code: 'ECONNRESET', syscall: 'send' });
  await world.close();
});

t.test('a reset drops what is queued: no onDrain, and a paused stream does not wait', async (t) => {
  const world = new StackWorld(1, {}, options);
  const { client, clientSees, server, serverSees } = await connectPair(world);
  client.pause();
  server.pause();
  t.equal(server.write(Buffer.alloc(MUCH)), false);
  client.write(Buffer.from('unread'));
  await world.until(() => server.hasInput() && client.hasInput(), 'both have sent');
  await world.quiet();
  t.ok(server.queuedBytes > 0);
  client.abort();
  await world.until(() => serverSees.isClosed && clientSees.isClosed, 'both have ended');
  t.match(serverSees.error, { code: 'ECONNRESET' });
  t.equal(serverSees.drains, 0);
  await world.close();
});

t.test('a stream that both sides have ended still reports a reset that drops its queue', async (t) => {
  const world = new StackWorld(1, {}, options);
  const { client, server, serverSees } = await connectPair(world, { server: { onEnd: () => {} } });
  client.pause();
  server.write(Buffer.alloc(MUCH));
  server.end();
  client.end();
  await world.until(() => serverSees.ends === 1, 'the client has ended');
  await world.quiet();
  t.equal(serverSees.isClosed, false);
  client.abort();
  await world.until(() => serverSees.isClosed, 'it has ended');
  t.match(serverSees.error, { code: 'ECONNRESET' });
  await world.close();
});

t.test('close with bytes that nobody has read tells the peer with a reset', async (t) => {
  const world = new StackWorld(1);
  const { client, clientSees, server, serverSees } = await connectPair(world);
  server.pause();
  client.write(Buffer.from('unread'));
  await world.until(() => server.hasInput(), 'the bytes have come');
  server.close();
  await world.until(() => serverSees.isClosed && clientSees.isClosed, 'both have ended');
  t.equal(serverSees.error, null);
  t.match(clientSees.error, { code: 'ECONNRESET' });
  await world.close();
});

t.test('abort after close stops what is still being sent, without waiting for a timer', async (t) => {
  const { resets, onFrame } = observeResets();
  const world = new StackWorld(1, { onFrame }, options);
  const { client, clientSees, server, serverSees } = await connectPair(world, {
    listen: { receiveBufferBytes: 10_000 },
  });
  server.pause();
  t.equal(client.write(Buffer.alloc(50_000)), true);
  client.close();
  await world.until(() => clientSees.isClosed, 'it is closed');
  await world.quiet();
  t.equal(clientSees.error, null);
  t.throws(() => client.localAddress, /the stream is closed/);
  t.equal(client.queuedBytes, 0);
  client.abort();
  await world.quiet();
  t.equal(resets.length, 1);
  server.resume();
  await world.until(() => serverSees.isClosed, 'it has ended');
  t.match(serverSees.error, { code: 'ECONNRESET' });
  t.ok(serverSees.byteLength < 50_000);
  client.abort(); // there is nothing left to stop
  await world.close();
});

t.test('bytes for which write returned true arrive although the stream is closed', async (t) => {
  const world = new StackWorld(1, {}, options);
  const { client, server, serverSees } = await connectPair(world, { listen: { receiveBufferBytes: 10_000 } });
  server.pause();
  client.write(Buffer.alloc(50_000));
  client.close();
  await pass(world, 5_000);
  server.resume();
  await world.until(() => serverSees.isClosed, 'it has ended');
  t.equal(serverSees.byteLength, 50_000);
  t.equal(serverSees.error, null);
  await world.close();
});

t.test('a peer with a closed window has to make the minimum progress', async (t) => {
  const { resets, onFrame } = observeResets();
  const world = new StackWorld(1, { onFrame });
  const { client, clientSees, server, serverSees } = await connectPair(world, {
    listen: { receiveBufferBytes: 10_000 },
    connect: { sendBufferBytes: 10_000 },
  });
  server.pause();
  client.minimumProgress = { everyMs: 1_000, bytes: 1 };
  client.write(Buffer.alloc(60_000));
  const startedAt = world.now();
  await world.until(() => clientSees.isClosed, 'the client has given up');
  t.match(clientSees.error, { code: 'ETIMEDOUT', syscall: 'send' });
  t.ok(world.now() - startedAt < 2_500, 'a span, and the window for the first bytes');
  await world.until(() => resets.length === 1, 'the peer is told');
  server.resume();
  await world.until(() => serverSees.isClosed, 'it has ended');
  t.match(serverSees.error, { code: 'ECONNRESET' });
  await world.close();
});

t.test(
  'owned bytes that the program shrinks end the stream with EFAULT, also while it is paused with unread bytes',
  async (t) => {
    const world = new StackWorld(1);
    const { client, clientSees, server, serverSees } = await connectPair(world);
    client.pause();
    server.write(Buffer.from('unread'));
    await world.until(() => client.hasInput(), 'the bytes have come');
    const Resizable = ArrayBuffer as unknown as new (
      length: number,
      options: { maxByteLength: number },
    ) => ArrayBuffer & { resize(length: number): void };
    const memory = new Resizable(20_000, { maxByteLength: 20_000 });
    client.writeOwned(new Uint8Array(memory));
    memory.resize(0);
    await world.until(() => clientSees.isClosed && serverSees.isClosed, 'both have ended');
    t.match(clientSees.error, { code: 'EFAULT', syscall: 'send' });
    t.match(serverSees.error, { code: 'ECONNRESET' });
    await world.close();
  },
);

t.test('what is written and ended before the connection is open arrives, and onDrain says so', async (t) => {
  const world = new StackWorld(1);
  let heard = '';
  let drains = 0;
  const listener = world.left.listen(world.anyAddress, () => ({
    onData: (_stream, bytes) => {
      heard += bytes;
    },
  }));
  const talkers = ['with end', 'without end'].map((text) => {
    const stream = world.right.connect(listener.address, { onData: () => {}, onDrain: () => drains++ });
    t.equal(stream.write(Buffer.from(text)), false);
    t.equal(stream.queuedBytes, text.length);
    t.equal(stream.write(Buffer.alloc(0)), false);
    return stream;
  });
  (talkers[0] as Stream).end();
  await world.until(() => heard.length === 19 && drains === 1, 'all has arrived');
  t.equal((talkers[1] as Stream).write(Buffer.alloc(0)), true);
  await world.close();
});

t.test('a stream knows its addresses, and no process', async (t) => {
  const world = new StackWorld(1);
  const { client, server } = await connectPair(world);
  t.same(client.remoteAddress, server.localAddress);
  t.same(server.remoteAddress, client.localAddress);
  t.match(client.localAddress, { address: '10.9.0.2' });
  t.equal(client.peerCredentials, null);
  t.equal(client.hasOutput(), false);
  client.write(Buffer.from('x'));
  t.equal(client.hasOutput(), true);
  await world.until(() => !client.hasOutput(), 'it has arrived');
  await world.close();
});

t.test('an exception in a callback resets its connection, and is raised', async (t) => {
  const world = new StackWorld(1);
  const mistake = new Error('a mistake of the program');
  const { client, clientSees, serverSees } = await connectPair(world, {
    server: {
      onData() {
        throw mistake;
      },
    },
  });
  client.write(Buffer.from('x'));
  await world.until(() => clientSees.isClosed && serverSees.isClosed, 'both have ended');
  t.match(clientSees.error, { code: 'ECONNRESET' });
  t.equal(serverSees.error, null);
  t.same(world.raised.splice(0), [mistake]);
  await world.close();
});

t.test('awaitTurn within a callback leads to one onTurn, after the bytes of the turn', async (t) => {
  const world = new StackWorld(1);
  const { client, serverSees } = await connectPair(world, { server: { onData: (stream) => stream.awaitTurn() } });
  client.write(Buffer.alloc(5_000));
  await world.until(() => serverSees.byteLength === 5_000 && serverSees.turns > 0, 'the turn has come');
  await world.quiet();
  t.ok(serverSees.turns <= serverSees.chunks.length);
  await world.close();
});
