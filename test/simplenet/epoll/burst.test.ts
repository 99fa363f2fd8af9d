/**
 * Bursts: what a stream writes before the code that runs has returned, on the simulated kernel.
 *
 * Next: epoll-stream.test.ts
 */

import { test } from 'tap';
import { MAX_HELD_BYTES } from '../../../simplenet/epoll/burst.ts';
import type { EpollLoop } from '../../../simplenet/epoll/epoll-loop.ts';
import { EAGAIN, EPIPE } from '../../../simplenet/kernel/abi.ts';
import type { Stream } from '../../../simplenet/loop/event-loop.ts';
import type { SimulatedWorld } from '../../contracts/simulated-world.ts';
import { allSend, arrived, crowd, end, refusing } from './crowd.ts';

const MAX_SHORT_BYTES = 2_048;

/** The lengths of what send(2) is asked to send. */
function sends(world: SimulatedWorld): number[] {
  const lengths: number[] = [];
  const { libc } = world.kernel;
  const { send } = libc;
  libc.send = (...args) => {
    lengths.push(args[3]);
    return send(...args);
  };
  return lengths;
}

const letters = (stream: Stream, text: string) => [...text].map((letter) => stream.write(Buffer.from(letter)));

test('the short writes of a turn are one send for each stream', async (t) => {
  const { world, connections } = await crowd({
    onData: (stream) => t.same(letters(stream, 'abc'), [true, true, true]),
  });
  const lengths = sends(world);
  await allSend(world, connections);
  t.same(lengths, [3, 3, 3]);
  await allSend(world, connections.slice(0, 1));
  t.same(lengths, [3, 3, 3, 1, 2], 'without a batch the first write does not wait');
  t.same(
    connections.map(({ peer }) => arrived(peer).text),
    ['abcabc', 'abc', 'abc'],
  );
  t.same(await end(world, connections), []);
});

test('between two turns the first write leaves at once, and the others when the callback has returned', async (t) => {
  const { world, connections } = await crowd({});
  const streams = connections.map(({ stream }) => stream);
  const lengths = sends(world);
  for (const round of [1, 2]) {
    lengths.length = 0;
    for (const letter of 'abc') {
      const frame = Buffer.from(letter);
      for (const stream of streams) t.equal(stream.writeOwned(frame), true);
    }
    t.same(lengths, [1, 1, 1], `round ${round}`);
    t.equal(streams[0]?.queuedBytes, 0);
    await world.quiet();
    t.same(lengths, [1, 1, 1, 2, 2, 2]);
  }
  for (const { peer } of connections) t.equal(arrived(peer).text, 'abcabc');
  t.same(await end(world, connections), []);
});

test('a stream holds so many bytes, and sends them before it takes one more', async (t) => {
  const { world, connections } = await crowd({});
  const [{ stream }] = connections as [(typeof connections)[0]];
  const sent: string[] = [];
  const { libc } = world.kernel;
  const { send } = libc;
  // A kernel with room for all.
  libc.send = (_fd, bytes, offset, length) =>
    sent.push(Buffer.from(bytes).toString('latin1', offset, offset + length)) && length;
  stream.write(Buffer.from('a'));
  const piece = Buffer.alloc(MAX_SHORT_BYTES, 'b');
  for (let held = 0; held < MAX_HELD_BYTES; held += piece.length) t.equal(stream.write(piece), true);
  t.equal(sent.length, 1, 'n');
  stream.write(Buffer.from('c'));
  t.same(sent.splice(0), ['a', 'b'.repeat(MAX_HELD_BYTES), 'c'], 'n + 1');
  stream.write(Buffer.from('d'));
  const long = Buffer.alloc(MAX_SHORT_BYTES + 1, 'e');
  stream.write(long);
  t.ok(sent[0] === 'd' && sent[1] === String(long), 'a long write leaves behind what is held');
  libc.send = send;
  t.same(await end(world, connections), []);
});

test('held bytes belong to the stream: the program uses its memory again', async (t) => {
  const { world, connections } = await crowd({});
  const [{ stream, peer }] = connections as [(typeof connections)[0]];
  const memory = Buffer.from('1');
  for (const digit of '123') {
    memory.write(digit);
    stream.write(memory);
  }
  memory.write('x');
  await world.quiet();
  t.equal(arrived(peer).text, '123');
  t.same(await end(world, connections), []);
});

test('held bytes without room count as queued, and onDrain follows', async (t) => {
  const { world, connections } = await crowd({ onData: (stream) => letters(stream, 'abc') });
  const restore = refusing(world, -EAGAIN);
  await allSend(world, connections);
  for (const { stream } of connections) t.equal(stream.queuedBytes, 3);
  restore();
  await world.until(() => connections.every(({ recorder }) => recorder.drains === 1), 'it drains');
  for (const { peer } of connections) t.equal(arrived(peer).text, 'abc');
  t.same(await end(world, connections), []);
});

for (const ending of ['close', 'end'] as const) {
  test(`${ending}() sends what is held, though the kernel has no room at first`, async (t) => {
    const { world, connections } = await crowd({
      onData(stream) {
        letters(stream, 'bye');
        stream[ending]();
      },
    });
    const restore = refusing(world, -EAGAIN);
    await allSend(world, connections);
    restore();
    await world.quiet();
    for (const { peer } of connections) t.same(arrived(peer), { text: 'bye', ends: true });
    t.same(await end(world, connections), []);
  });

  test(`${ending}() between two turns sends what is held, and FIN behind it`, async (t) => {
    const { world, connections } = await crowd({});
    for (const { stream } of connections) {
      letters(stream, 'bye');
      stream[ending]();
    }
    await world.quiet();
    for (const { peer } of connections) t.same(arrived(peer), { text: 'bye', ends: true });
    t.same(await end(world, connections), []);
  });
}

test('an error of the send of held bytes ends the stream', async (t) => {
  const { world, connections } = await crowd({});
  for (const { stream } of connections) letters(stream, 'abc');
  const restore = refusing(world, -EPIPE);
  await world.until(() => connections.every(({ recorder }) => recorder.isClosed), 'they end');
  restore();
  for (const { recorder } of connections) t.match(recorder.error, { code: 'EPIPE', syscall: 'send' });
  t.same(await end(world, connections), []);
});

test('when the process ends, what is held is sent, and later writes leave at once', async (t) => {
  const { world, connections } = await crowd({});
  const loop = world.loop as EpollLoop;
  for (const { stream } of connections) letters(stream, 'abc');
  loop.flushLast();
  for (const { stream, peer } of connections) {
    t.equal(arrived(peer).text, 'abc');
    letters(stream, 'de');
    t.equal(arrived(peer).text, 'de');
  }
  t.same(await end(world, connections), []);
});

test('a stream that has spent its share of the turn queues what it holds', async (t) => {
  const onData = (stream: Stream) => {
    t.equal(stream.write(Buffer.from('ab')), true);
    t.equal(stream.write(Buffer.from('c')), true);
  };
  const { world, connections } = await crowd({ onData }, { sentBytesPerStream: 2 });
  const [{ peer, recorder }] = connections as [(typeof connections)[0]];
  await allSend(world, connections.slice(0, 1));
  await world.until(() => recorder.drains === 1, 'it is sent in the next share');
  t.equal(arrived(peer).text, 'abc');
  t.same(await end(world, connections), []);
});
