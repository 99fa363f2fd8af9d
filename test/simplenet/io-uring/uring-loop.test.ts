/**
 * The io_uring loop under pressure, on the real kernel: rings that are too small for a crowd, buffers that run out, everything closed
 * at once, and memory that is poisoned as soon as it is given back.
 *
 * Next: create-event-loop.test.ts
 */

import { test } from 'tap';
import { EpollLoop } from '../../../simplenet/epoll/epoll-loop.ts';
import { defaultRingSizes, type RingSizes, UringLoop } from '../../../simplenet/io-uring/uring-loop.ts';
import { EAGAIN, ENOMEM } from '../../../simplenet/kernel/abi.ts';
import { type Libc, libc } from '../../../simplenet/kernel/libc.ts';
import type { SocketAddress } from '../../../simplenet/kernel/socket-address.ts';
import type { Stream, StreamHandler } from '../../../simplenet/loop/event-loop.ts';
import { defaultLoopLimits } from '../../../simplenet/loop/loop-limits.ts';
import { nodeHost } from '../../../simplenet/loop/node-host.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import { Random } from '../../simulation/random.ts';
import { noUring } from '../../support/backends.ts';
import { LIBRARY, runProgram } from '../../support/child-program.ts';
import { connectedPair } from '../../support/connected-pair.ts';
import { CountingLibc } from '../../support/counting-libc.ts';
import { openDescriptors } from '../../support/open-descriptors.ts';
import { mistakes, POISON, poison } from '../../support/poison.ts';
import { until } from '../../support/waiting.ts';

const skip = noUring;
const anyPort: SocketAddress = { address: '127.0.0.1', port: 0 };

async function closed(...loops: (UringLoop | EpollLoop)[]): Promise<void> {
  for (const loop of loops) loop.close();
  await until(() => loops.every((loop) => loop.openCount === 0));
}

function loopOf(sizes: Partial<RingSizes> = {}, table: Libc = libc): UringLoop {
  return new UringLoop(table, nodeHost, defaultLoopLimits, { ...defaultRingSizes, ...sizes });
}

const NOTHING = Buffer.alloc(0);

/** Answers with the bytes themselves or with a copy that is overwritten at once, and reads on when they are gone. */
function echo(): StreamHandler {
  let scratch = NOTHING;
  let count = 0;
  return {
    onData(stream, bytes) {
      let isSent: boolean;
      if (count++ % 3 === 0) {
        isSent = stream.write(bytes);
      } else if (count % 3 === 1) {
        if (scratch.length < bytes.length) scratch = Buffer.alloc(bytes.length);
        scratch.set(bytes);
        isSent = stream.write(scratch, bytes.length, true);
        scratch.fill(0xee);
      } else {
        isSent = stream.writeOwned(Buffer.from(bytes));
      }
      if (!isSent) stream.pause();
    },
    onDrain: (stream) => stream.resume(),
  };
}

interface Load {
  readonly clients: number;
  readonly bytes: number;
}

/**
 * Clients on an epoll loop send and read at their own pace what `loop` echoes. Answers what was wrong: nothing, if every byte
 * came back to where it came from.
 */
async function load(loop: UringLoop, { clients, bytes }: Load): Promise<string[]> {
  const random = new Random(clients + bytes);
  const wrong: string[] = [];
  const options = { receiveBufferBytes: 16_384, sendBufferBytes: 16_384 };
  const listener = loop.listen(anyPort, echo, options);
  const other = new EpollLoop(libc, nodeHost, defaultLoopLimits);
  let closes = 0;
  for (let i = 0; i < clients; i++) {
    const sent = Buffer.alloc(bytes);
    for (let at = 0; at < bytes; at++) sent[at] = (at * 31 + (at >>> 8) * 17 + i * 7) & 0xff;
    let at = 0;
    let back = 0;
    let isGood = true;
    const feed = (stream: Stream) => {
      while (at < sent.length) {
        const piece = sent.subarray(at, at + 1 + random.below(20_000));
        at += piece.length;
        if (!stream.write(piece)) return;
      }
      stream.end();
    };
    other.connect(
      listener.address,
      {
        onOpen: feed,
        onDrain: feed,
        onData(stream, piece) {
          isGood &&= piece.equals(sent.subarray(back, back + piece.length));
          back += piece.length;
          if (random.chance(0.05)) {
            stream.pause();
            other.after(random.below(5), () => stream.resume());
          }
        },
        onClose(_stream, error) {
          closes++;
          if (!isGood) wrong.push(`client ${i} got other bytes than it sent`);
          if (back !== bytes) wrong.push(`client ${i} got ${back} bytes and sent ${bytes}`);
          if (error !== null) wrong.push(`client ${i}: ${error.message}`);
        },
      },
      options,
    );
  }
  await until(() => closes === clients);
  await closed(other);
  listener.close();
  await until(() => loop.openCount === 0);
  return wrong;
}

const tight: Readonly<Record<string, Partial<RingSizes>>> = {
  'a ring of completions that is smaller than what comes at once': { submissions: 4, completions: 4 },
  'a ring of submissions that is smaller than a batch': { submissions: 2 },
  'two receive buffers for a hundred senders': { receiveBuffers: 2, receiveBufferBytes: 512 },
  'one receive buffer': { receiveBuffers: 1, receiveBufferBytes: 4_096 },
  'all of it at once': { submissions: 2, completions: 2, receiveBuffers: 2, receiveBufferBytes: 1_024 },
};
for (const [what, sizes] of Object.entries(tight)) {
  test(`${what}: no byte is lost`, { skip }, async (t) => {
    const before = openDescriptors();
    const loop = loopOf(sizes);
    let noBuffers = 0;
    const { take } = loop.ring;
    loop.ring.take = () => {
      const isFound = take.call(loop.ring);
      if (isFound && loop.ring.completion.result === -105) noBuffers++;
      return isFound;
    };
    t.same(await load(loop, { clients: 100, bytes: 30_000 }), []);
    if (sizes.receiveBuffers !== undefined) t.ok(noBuffers > 0, `${noBuffers} times no buffer was left`);
    await closed(loop);
    t.same(openDescriptors(), before);
  });
}

test('neither the kernel nor a program reads a buffer that was given back', { skip }, async (t) => {
  const sizes = { receiveBuffers: 8, receiveBufferBytes: 2_048 };
  const loop = loopOf(sizes);
  poison(loop);
  t.same(await load(loop, { clients: 60, bytes: 200_000 }), []);
  let kept: Buffer = NOTHING;
  const listener = loop.listen(anyPort, () => ({
    onData(_stream, bytes) {
      kept = bytes;
    },
  }));
  const peer = NetSocket.connectTo(listener.address);
  peer.writeAll(Buffer.from('hello'));
  await until(() => kept.length > 0);
  t.same(kept, Buffer.alloc(5, POISON), 'who keeps what onData lent, has rubbish');
  peer.close();
  await closed(loop);
});

for (const [what, make] of Object.entries(mistakes)) {
  test(`and if ${what}, that is seen`, { skip }, async (t) => {
    const loop = loopOf();
    poison(loop);
    make(loop);
    const wrong = await load(loop, { clients: 20, bytes: 50_000 });
    t.match(wrong[0], /got other bytes than it sent/);
    await closed(loop);
  });
}

test('a loop that is closed with everything under way closes all of it, once', { skip }, async (t) => {
  const before = openDescriptors();
  for (let round = 0; round < 10; round++) {
    const counting = new CountingLibc();

    const loop = loopOf({ receiveBuffers: 4 }, counting.libc);
    let opened = 0;
    let closes = 0;
    const handlers: Partial<StreamHandler>[] = [
      {},
      { onData: (stream) => stream.pause() },
      { onData: (stream) => void stream.write(Buffer.alloc(50_000)) },
      { onData: (stream) => stream.end() },
      { onData: (stream) => stream.close() },
      { onData: (stream) => void stream.writeOwned(Buffer.alloc(1_000_000)) },
      { onEnd: () => {} },
    ];
    const { address } = loop.listen(anyPort, () => {
      const handler = handlers[opened++ % handlers.length];
      return { onData: () => {}, ...handler, onClose: () => void closes++ };
    });
    loop.bindUdp(anyPort, { onMessage: () => {} });
    const peers = Array.from({ length: 21 }, () => NetSocket.connectTo(address));
    for (const peer of peers) peer.writeAll(Buffer.from('x'));
    for (const peer of peers.slice(14)) peer.shutdown('write');
    await until(() => opened === peers.length);
    for (let i = 0; i < round; i++) await new Promise((resolve) => setImmediate(resolve));
    let connecting = 0;
    for (let i = 0; i < 5; i++) loop.connect(address, { onData: () => {}, onClose: () => void connecting++ });
    for (const peer of peers.slice(0, 7)) peer.writeAll(Buffer.alloc(10_000));
    await closed(loop);
    t.equal(closes, opened);
    t.equal(connecting, 5);
    t.same(counting.violations, [], 'no descriptor is closed twice');
    for (const peer of peers) peer.close();
  }
  t.same(openDescriptors(), before);
});

test('requests that the kernel is too short of memory to take are handed over again', { skip }, async (t) => {
  const table = { ...libc };
  const loop = loopOf({}, table);
  const streams: Stream[] = [];
  const { address } = loop.listen(anyPort, (stream) => {
    streams.push(stream);
    return { onData: () => {} };
  });
  const peer = NetSocket.connectTo(address);
  await until(() => streams.length === 1);
  await new Promise((resolve) => setTimeout(resolve, 5));
  let refusals = 3;
  table.io_uring_enter = (...args) => (refusals-- > 0 ? -EAGAIN : libc.io_uring_enter(...args));
  t.ok(streams[0]?.write(Buffer.from('hello')));
  await until(() => peer.wait('readable', 0));
  t.equal(peer.read(Buffer.alloc(8)), 5);
  t.ok(refusals <= 0);
  peer.close();
  await closed(loop);
});

test('an exception while bytes are handed over ends that stream, even if nothing else happens', {
  skip,
}, async (t) => {
  const table = { ...libc };
  const raised: unknown[] = [];
  const host = { ...nodeHost, raise: (error: unknown) => void raised.push(error) };
  const loop = new UringLoop(table, host, defaultLoopLimits);
  const streams: Stream[] = [];
  let closes = 0;
  const { address } = loop.listen(anyPort, (stream) => {
    streams.push(stream);
    return { onData: () => {}, onClose: () => void closes++ };
  });
  const peer = NetSocket.connectTo(address);
  await until(() => streams.length === 1);
  await new Promise((resolve) => setTimeout(resolve, 5));
  table.addressOf = () => {
    throw new Error('no address');
  };
  streams[0]?.writeOwned(Buffer.alloc(100_000));
  await until(() => closes === 1);
  t.match(raised, [{ message: 'no address' }]);
  peer.close();
  await closed(loop);
});

test('a port that is closed in the tick that opened it counts once', { skip }, async (t) => {
  const loop = loopOf();
  const kept = loop.bindUdp(anyPort, { onMessage: () => {} });
  loop.bindUdp(anyPort, { onMessage: () => {} }).close();
  await new Promise((resolve) => setTimeout(resolve, 5));
  t.equal(loop.openCount, 1);
  kept.close();
  await until(() => loop.openCount === 0);
  await closed(loop);
});

test('a UDP port that is closed while datagrams wait receives no more', { skip }, async (t) => {
  const loop = loopOf();
  const seen: string[] = [];
  const port = loop.bindUdp(anyPort, { onMessage: (_port, bytes) => void seen.push(bytes.toString()) });
  port.send(Buffer.from('first'), port.address);
  await until(() => seen.length === 1);
  port.send(Buffer.from('second'), port.address);
  port.close();
  await closed(loop);
  t.same(seen, ['first']);
});

test('a ring without a stock of buffers is closed again', { skip }, async (t) => {
  const counting = new CountingLibc();
  const { mmap } = libc;
  let calls = 0;
  const table: Libc = { ...counting.libc, mmap: (...args) => (++calls === 3 ? -ENOMEM : mmap(...args)) };
  t.throws(() => loopOf({}, table), { code: 'ENOMEM', syscall: 'mmap' });
  t.equal(counting.openFds.size, 0);
});

test('sizes that make no sense are refused by the kernel', { skip }, async (t) => {
  t.throws(() => loopOf({ receiveBuffers: 3 }), { code: 'EINVAL' });
  t.throws(() => loopOf({ submissions: 0 }), { code: 'EINVAL' });
  t.throws(() => loopOf({ submissions: 8, completions: 4 }), { code: 'EINVAL' });
});

test('the budget of system calls: two for a message, however many connections there are', { skip }, async (t) => {
  const counting = new CountingLibc();
  const loop = loopOf({}, counting.libc);
  const { address } = loop.listen(anyPort, () => ({ onData: (stream, bytes) => void stream.write(bytes) }));
  const peers = Array.from({ length: 50 }, () => NetSocket.connectTo(address, { nonBlocking: true }));
  await until(() => loop.openCount === 51);
  const room = Buffer.alloc(10);
  counting.take();
  for (const peer of peers) peer.writeAll(Buffer.from('hello'));
  await until(() => peers.every((peer) => peer.wait('readable', 0)));
  const { io_uring_enter: enters = 0, read: _, addressOf: __, ...others } = counting.take();
  t.same(others, {}, 'nothing is asked for outside of the ring');
  t.ok(enters <= 4, `${enters} calls for 50 messages there and back`);
  for (const peer of peers) t.equal(peer.tryRead(room, 0, 10), 5);
  t.equal(peers[0]?.tryRead(room, 0, 10), -EAGAIN);
  for (const peer of peers) peer.close();
  await closed(loop);
});

test('a send does not count as queued because the ring has no room for its completion', { skip }, async (t) => {
  const loop = loopOf({ submissions: 8, completions: 8 });
  const streams: Stream[] = [];
  let drains = 0;
  const { address } = loop.listen(anyPort, (stream) => {
    streams.push(stream);
    return { onData: () => {}, onDrain: () => void drains++ };
  });
  const peers = Array.from({ length: 100 }, () => NetSocket.connectTo(address, { nonBlocking: true }));
  await until(() => streams.length === 100);
  const event = Buffer.from('an event for all');
  const room = Buffer.alloc(100);
  for (let round = 0; round < 3; round++) {
    t.ok(streams.every((stream) => stream.writeOwned(event)));
    await until(() => peers.every((peer) => peer.wait('readable', 0)));
    for (const peer of peers) t.equal(room.toString('latin1', 0, peer.tryRead(room)), 'an event for all');
    t.ok(streams.every((stream) => stream.queuedBytes === 0));
  }
  t.equal(drains, 0, 'no client was slow');
  for (const peer of peers) peer.close();
  await closed(loop);
});

test('a worker that ends right after it has made a loop does not affect the process', { skip }, async (t) => {
  const child = runProgram(
    `import { Worker } from 'node:worker_threads';
     const source = \`import('${new URL('index.js', LIBRARY).href}').then(({ createEventLoop }) => {
       createEventLoop({ backend: 'io_uring' }).listen({ address: '127.0.0.1', port: 0 }, () => ({ onData: () => {} }));
       process.exit();
     })\`;
     for (let i = 0; i < 3; i++) {
       const worker = new Worker(source, { eval: true, execArgv: [] });
       await new Promise((resolve) => worker.once('exit', resolve));
     }
     console.log('alive');`,
  );
  t.same([child.status, child.signal, child.stdout], [0, null, 'alive\n'], child.stderr);
});

test('a wait that the kernel refuses is no look: it is asked again, and then the deadlines are judged', {
  skip,
}, async (t) => {
  const table: Libc = { ...libc };
  const noWatch = { turnSoon() {}, ref() {}, unref() {}, close() {} };
  const loop = new UringLoop(table, { ...nodeHost, watch: () => noWatch }, { ...defaultLoopLimits, tickMs: 1 });
  const { ours, theirs } = connectedPair(t);
  t.ok(loop.admitGuest(ours.fd), 'it waits for a guest that has no news');
  let timeouts = 0;
  const opened: Stream[] = [];
  const listener = loop.listen(anyPort, (stream) => {
    opened.push(stream);
    return { onData: () => {}, onTimeout: () => void timeouts++ };
  });
  const peer = NetSocket.connectTo(listener.address);
  const turnsUntil = (condition: () => boolean) =>
    until(() => {
      loop.waitForTurn(0);
      return condition();
    });
  await turnsUntil(() => opened.length === 1);
  opened[0]?.setDeadline(1);
  let refused = 0;
  table.io_uring_enter = () => {
    refused++;
    return -EAGAIN;
  };
  while (refused === 0) loop.waitForTurn(1);
  table.io_uring_enter = libc.io_uring_enter;
  await turnsUntil(() => timeouts === 1);
  peer.close();
  loop.close();
  await turnsUntil(() => loop.openCount === 0);
  theirs.close();
});
