/**
 * The batch of a turn: short writes of several streams that are sent together, on the simulated kernel.
 *
 * Next: burst.test.ts
 */

import assert from 'node:assert';
import { test } from 'tap';
import type { EpollLoop } from '../../../simplenet/epoll/epoll-loop.ts';
import { type BatchedSender, SendBatch } from '../../../simplenet/epoll/send-batch.ts';
import { EAGAIN, ENOMEM, EPIPE } from '../../../simplenet/kernel/abi.ts';
import { SystemError } from '../../../simplenet/kernel/system-error.ts';
import type { Stream } from '../../../simplenet/loop/event-loop.ts';
import type { SimulatedWorld } from '../../contracts/simulated-world.ts';
import { allSend, arrived, type Connection, crowd, end, refusing } from './crowd.ts';

const MAX_SHORT_BYTES = 2_048;
const BATCH_BYTES = 65_536;

class Sender implements BatchedSender {
  needsSettle = false;
  readonly sent: string[] = [];
  at = 0;
  readonly #length: number;

  constructor(length: number) {
    this.#length = length;
  }

  settle(): void {}

  onThrow(): void {}

  sendGathered(bytes: Buffer): void {
    this.sent.push(bytes.toString('latin1', this.at, this.at + this.#length));
  }
}

test('a closed batch takes nothing, and an open one takes short writes', (t) => {
  const batch = new SendBatch(assert.fail);
  const sender = new Sender(3);
  const bytes = Buffer.from('abcdef');
  t.equal(batch.add(sender, bytes, 3), -1);
  batch.open();
  sender.at = batch.add(sender, bytes, 3);
  t.equal(sender.at, 0);
  bytes.fill('x');
  const whole = new Sender(6);
  whole.at = batch.add(whole, bytes, 6);
  t.equal(whole.at, 3);
  batch.close();
  t.same([sender.sent, whole.sent], [['abc'], ['xxxxxx']], 'it has copied them');
  batch.close();
  t.equal(sender.sent.length, 1, 'once');
  t.equal(batch.add(sender, bytes, 3), -1);
  t.end();
});

test('the limits of a batch', (t) => {
  const batch = new SendBatch(assert.fail);
  batch.open();
  const bytes = Buffer.alloc(MAX_SHORT_BYTES + 1, 'b');
  t.equal(batch.add(new Sender(0), bytes, MAX_SHORT_BYTES + 1), -1, 'a longer write is sent at once');
  const first = new Sender(MAX_SHORT_BYTES);
  for (let at = 0; at < BATCH_BYTES; at += MAX_SHORT_BYTES) t.equal(batch.add(first, bytes, MAX_SHORT_BYTES), at);
  t.equal(first.sent.length, 0);
  t.equal(batch.add(new Sender(1), bytes, 1), 0, 'a full batch is sent first');
  t.equal(first.sent.length, BATCH_BYTES / MAX_SHORT_BYTES);
  t.end();
});

test('the responses of a turn are sent when all its news are delivered', async (t) => {
  const calls: string[] = [];
  const { world, connections } = await crowd({ onData: (stream) => t.equal(stream.write(Buffer.from('!')), true) });
  const { libc } = world.kernel;
  const { recv, send } = libc;
  libc.recv = (...args) => {
    calls.push('recv');
    return recv(...args);
  };
  libc.send = (...args) => {
    calls.push('send');
    return send(...args);
  };
  await allSend(world, connections);
  t.same(calls, ['recv', 'recv', 'recv', 'send', 'send', 'send']);
  for (const { peer } of connections) t.equal(arrived(peer).text, '!');
  calls.length = 0;
  await allSend(world, connections.slice(0, 1));
  t.same(calls, ['recv', 'send']);
  Object.assign(libc, { recv, send });
  t.same(await end(world, connections), []);
});

test('a second write, an end and a large write keep the order', async (t) => {
  const { world, connections } = await crowd({
    onData(stream) {
      stream.write(Buffer.from('a'));
      stream.write(Buffer.from('b'));
      stream.write(Buffer.from('c'));
      stream.writeOwned(Buffer.alloc(MAX_SHORT_BYTES + 1, 'd'));
      stream.write(Buffer.from('e'));
      stream.end();
    },
  });
  await allSend(world, connections);
  await world.quiet();
  for (const { peer } of connections) {
    t.same(arrived(peer), { text: `abc${'d'.repeat(MAX_SHORT_BYTES + 1)}e`, ends: true });
  }
  t.same(await end(world, connections), []);
});

test('end() after a write that is in the batch sends FIN behind it', async (t) => {
  const { world, connections } = await crowd({
    onData(stream) {
      stream.write(Buffer.from('bye'));
      stream.end();
    },
  });
  await allSend(world, connections);
  for (const { peer } of connections) t.same(arrived(peer), { text: 'bye', ends: true });
  t.same(await end(world, connections), []);
});

test('what close() finds in the batch is sent, though the kernel has no room at first', async (t) => {
  const { world, connections } = await crowd({
    onData(stream) {
      stream.write(Buffer.from('bye'));
      stream.close();
      stream.write(Buffer.from('dropped'));
    },
  });
  const restore = refusing(world, -EAGAIN);
  await allSend(world, connections);
  restore();
  t.ok(
    connections.every(({ recorder }) => !recorder.isClosed),
    'they keep their descriptors',
  );
  await world.until(() => connections.every(({ recorder }) => recorder.isClosed), 'they close when they have sent it');
  for (const { peer, recorder } of connections) {
    t.same(arrived(peer), { text: 'bye', ends: true });
    t.equal(recorder.error, null);
    t.equal(recorder.drains, 0, 'no callback but onClose');
  }
  t.same(await end(world, connections), []);
});

test('bytes for which write returned false are dropped by close(), and those of the batch before them are not', async (t) => {
  const { world, connections } = await crowd({
    onData(stream) {
      t.equal(stream.write(Buffer.from('kept')), true);
      t.equal(stream.write(Buffer.alloc(40_000, 'd')), false);
      t.equal(stream.writeOwned(Buffer.alloc(40_000, 'd')), false);
      stream.close();
    },
  });
  const restore = refusing(world, -EAGAIN);
  await allSend(world, connections);
  restore();
  await world.until(() => connections.every(({ recorder }) => recorder.isClosed), 'they close');
  for (const { peer } of connections) t.same(arrived(peer), { text: 'kept', ends: true });
  t.same(await end(world, connections), []);
});

test('a write of the batch that finds no room counts as queued, and onDrain follows', async (t) => {
  const { world, connections } = await crowd({ onData: (stream) => stream.write(Buffer.from('later')) });
  const restore = refusing(world, -EAGAIN);
  await allSend(world, connections);
  for (const { stream } of connections) t.equal(stream.queuedBytes, 5);
  restore();
  await world.until(() => connections.every(({ recorder }) => recorder.drains === 1), 'it drains');
  for (const { peer } of connections) t.equal(arrived(peer).text, 'later');
  t.same(await end(world, connections), []);
});

test('a stream that has spent its share of the turn queues its write of the batch', async (t) => {
  const onData = (stream: Stream) => {
    t.equal(stream.write(Buffer.from('a')), true);
    t.equal(stream.write(Buffer.from('b')), true);
    t.equal(stream.write(Buffer.from('c')), true);
  };
  const { world, connections } = await crowd({ onData }, { sentBytesPerStream: 2 });
  await allSend(world, connections);
  await world.until(() => connections.every(({ recorder }) => recorder.drains === 1), 'it is sent in the next share');
  for (const { peer } of connections) t.equal(arrived(peer).text, 'abc');
  t.same(await end(world, connections), []);
});

test('an error of a send of the batch ends its stream', async (t) => {
  const { world, connections } = await crowd({
    onData(stream) {
      stream.write(Buffer.from('1'));
    },
  });
  const restore = refusing(world, -EPIPE);
  await allSend(world, connections);
  restore();
  await world.until(() => connections.every(({ recorder }) => recorder.isClosed), 'they end');
  for (const { recorder } of connections) t.match(recorder.error, { code: 'EPIPE', syscall: 'send' });
  t.same(await end(world, connections), []);
});

test('an error of the write before it ends the stream, and nothing overtakes', async (t) => {
  const { world, connections } = await crowd({
    onData(stream) {
      stream.write(Buffer.from('1'));
      t.equal(stream.write(Buffer.alloc(MAX_SHORT_BYTES + 1, '2')), false);
      t.equal(stream.sendFile(0, 0, 1), false);
    },
  });
  const behind = await crowd({
    onData(stream) {
      stream.write(Buffer.from('1'));
      t.equal(stream.sendFile(0, 0, 1), false, 'nor does a file');
    },
  });
  const restoreBehind = refusing(behind.world, -EPIPE);
  await allSend(behind.world, behind.connections);
  restoreBehind();
  for (const { recorder } of behind.connections) t.match(recorder.error, { code: 'EPIPE', syscall: 'send' });
  t.same(await end(behind.world, behind.connections), []);
  const restore = refusing(world, -EPIPE);
  await allSend(world, connections);
  restore();
  for (const { recorder, peer } of connections) {
    t.match(recorder.error, { code: 'EPIPE' });
    t.equal(arrived(peer).text, '');
  }
  t.same(await end(world, connections), []);
});

/** Three streams that the program has closed, and whose bytes the kernel does not take. */
async function lingering(): Promise<{ world: SimulatedWorld; connections: Connection[]; restore: () => void }> {
  const { world, connections } = await crowd({
    onData(stream) {
      stream.write(Buffer.from('bye'));
      stream.close();
    },
  });
  const restore = refusing(world, -ENOMEM);
  await allSend(world, connections);
  return { world, connections, restore };
}

test('an exception of one send ends its stream, and the others send theirs', async (t) => {
  const { world, connections } = await crowd({
    onData(stream) {
      stream.write(Buffer.from('!'));
    },
  });
  const { libc } = world.kernel;
  const { send } = libc;
  libc.send = () => {
    libc.send = send;
    throw new Error('a table that throws');
  };
  await allSend(world, connections);
  await world.quiet();
  t.equal(connections.filter(({ recorder }) => recorder.isClosed).length, 1);
  for (const { peer, recorder } of connections) if (!recorder.isClosed) t.equal(arrived(peer).text, '!');
  t.match(world.raised.splice(0), [{ message: 'a table that throws' }]);
  t.same(await end(world, connections), []);
});

test('abort() after close() in one callback stops what is still to be sent', async (t) => {
  const { world, connections } = await crowd({
    onData(stream) {
      stream.write(Buffer.from('bye'));
      stream.close();
      stream.abort();
    },
  });
  const restore = refusing(world, -EAGAIN);
  await allSend(world, connections);
  restore();
  await world.quiet();
  const buffer = Buffer.alloc(10);
  for (const { peer, recorder } of connections) {
    t.ok(recorder.isClosed, 'at once');
    t.throws(() => peer.read(buffer), { code: 'ECONNRESET' });
  }
  t.same(await end(world, connections), []);
});

test('a closing stream that still sends can be aborted', async (t) => {
  const { world, connections, restore } = await lingering();
  for (const { stream } of connections) stream.abort();
  await world.until(() => connections.every(({ recorder }) => recorder.isClosed), 'they end');
  restore();
  const buffer = Buffer.alloc(10);
  for (const { peer } of connections) t.throws(() => peer.read(buffer), { code: 'ECONNRESET' });
  t.same(await end(world, connections), []);
});

test('a closing stream whose peer takes nothing ends with RST', async (t) => {
  const { world, connections, restore } = await lingering();
  const begin = world.now();
  await world.until(() => connections.every(({ recorder }) => recorder.isClosed), 'they end');
  restore();
  t.ok(world.now() - begin >= 30_000, 'not before its time');
  const buffer = Buffer.alloc(10);
  for (const { peer, recorder } of connections) {
    t.equal(recorder.error, null);
    t.throws(() => peer.read(buffer), { code: 'ECONNRESET' });
  }
  t.same(await end(world, connections), []);
});

test('a closed loop waits for what is still to be sent, but not for long', async (t) => {
  const { world, connections, restore } = await lingering();
  const begin = world.now();
  world.loop.close();
  await world.until(() => connections.every(({ recorder }) => recorder.isClosed), 'they end');
  restore();
  t.ok(world.now() - begin >= 1_000 && world.now() - begin < 1_200);
  t.same(await end(world, connections), []);
});

test('a closing stream that still sends ends with its loop', async (t) => {
  const { world, connections, restore } = await lingering();
  const [first, second] = connections as [Connection, Connection, Connection];
  (first.stream as unknown as { lose(error: SystemError): void }).lose(new SystemError('epoll_wait', -ENOMEM));
  await world.until(() => first.recorder.isClosed, 'it ends');
  t.throws(() => first.peer.read(Buffer.alloc(10)), { code: 'ECONNRESET' }, 'bytes are missing');
  restore();
  await world.until(() => connections.every(({ recorder }) => recorder.isClosed), 'the others send their bytes');
  t.equal(arrived(second.peer).text, 'bye');
  t.same(await end(world, connections), []);
});

test('a closing stream that epoll cannot watch any more is closed', async (t) => {
  const { world, connections } = await crowd({
    onData(stream) {
      stream.write(Buffer.from('bye'));
      stream.close();
    },
  });
  const { libc } = world.kernel;
  const { epoll_ctl } = libc;
  libc.epoll_ctl = () => -ENOMEM;
  const restore = refusing(world, -EAGAIN);
  await allSend(world, connections);
  await world.until(() => connections.every(({ recorder }) => recorder.isClosed), 'they end');
  restore();
  libc.epoll_ctl = epoll_ctl;
  const buffer = Buffer.alloc(10);
  for (const { peer } of connections) t.throws(() => peer.read(buffer), { code: 'ECONNRESET' }, 'bytes are missing');
  t.same(await end(world, connections), []);
});

test('when the process ends within a turn, the batch is sent', async (t) => {
  let heard = 0;
  const { world, connections } = await crowd({
    onData(stream) {
      stream.write(Buffer.from('last'));
      if (++heard < 3) return;
      (world.loop as EpollLoop).flushLast();
      for (const { peer } of connections) t.equal(arrived(peer).text, 'last');
      stream.write(Buffer.from('of an exit listener'));
      t.same(connections.map(({ peer }) => arrived(peer).text).sort(), ['', '', 'of an exit listener']);
    },
  });
  await allSend(world, connections);
  t.equal(heard, 3);
  t.same(await end(world, connections), []);
});

test('when the process ends, closing streams send what is in their queue', async (t) => {
  const { world, connections, restore } = await lingering();
  restore();
  (world.loop as EpollLoop).flushLast();
  for (const { peer } of connections) t.equal(arrived(peer).text, 'bye');
  t.same(await end(world, connections), []);
});
