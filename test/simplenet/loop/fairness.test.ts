/**
 * What one turn of a loop may do, counted: bytes, events, and who comes when. The clock of these loops moves only when a callback
 * moves it, so a busy machine changes nothing.
 */

import { test } from 'tap';
import { EpollLoop } from '../../../simplenet/epoll/epoll-loop.ts';
import { UringLoop } from '../../../simplenet/io-uring/uring-loop.ts';
import { AF_INET, EPOLL_CTL_MOD, MSG_DONTWAIT, SOCK_NONBLOCK, SOCK_STREAM } from '../../../simplenet/kernel/abi.ts';
import { type Libc, libc } from '../../../simplenet/kernel/libc.ts';
import { encodeSocketAddress, type SocketAddress } from '../../../simplenet/kernel/socket-address.ts';
import type { Stream, StreamHandler } from '../../../simplenet/loop/event-loop.ts';
import type { Host } from '../../../simplenet/loop/host.ts';
import { defaultLoopLimits, type LoopLimits } from '../../../simplenet/loop/loop-limits.ts';
import { nodeHost } from '../../../simplenet/loop/node-host.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import { SimulatedHost } from '../../simulation/simulated-host.ts';
import { SimulatedKernel } from '../../simulation/simulated-kernel.ts';
import { noUring } from '../../support/backends.ts';
import { until } from '../../support/waiting.ts';

const anyPort: SocketAddress = { address: '127.0.0.1', port: 0 };
const STREAMS = 8;
const SHARE = 20_000;
const ROOM = 1_000_000;

const limits: LoopLimits = { ...defaultLoopLimits, sentBytesPerStream: SHARE, sentBytesPerTurn: 3 * SHARE };

interface Send {
  readonly turn: number;
  readonly fd: number;
  readonly length: number;
}

/** The epoll loop on a simulated kernel with much room, so that only the loop itself can hold bytes back. */
class SimulatedServer {
  readonly kernel = new SimulatedKernel({ sendBufferBytes: ROOM, receiveBufferBytes: ROOM });
  readonly host = new SimulatedHost(this.kernel);
  readonly sends: Send[] = [];
  readonly receives: number[] = [];
  readonly clients: number[] = [];
  modifications = 0;
  turns = 0;
  readonly loop: EpollLoop;
  readonly #address: Uint8Array;

  constructor(handler: StreamHandler, loopLimits = limits) {
    const inner = this.kernel.libc;
    const table: Libc = {
      ...inner,
      epoll_ctl: (epfd, operation, fd, event) => {
        if (operation === EPOLL_CTL_MOD) this.modifications++;
        return inner.epoll_ctl(epfd, operation, fd, event);
      },
      send: (fd, bytes, offset, length, flags) => {
        this.sends.push({ turn: this.turns, fd, length });
        return inner.send(fd, bytes, offset, length, flags);
      },
      recv: (fd, buffer, offset, length, flags) => {
        this.receives.push(fd);
        return inner.recv(fd, buffer, offset, length, flags);
      },
    };
    const { host } = this;
    const counting: Host = {
      now: () => host.now(),
      wallNow: () => host.wallNow(),
      alarm: (delayMs, callback) => host.alarm(delayMs, callback),
      soon: (callback) => host.soon(callback),
      raise: (error) => host.raise(error),
      watch: (fd, onReadable) =>
        host.watch(fd, () => {
          this.turns++;
          return onReadable();
        }),
    };
    this.loop = new EpollLoop(table, counting, loopLimits);
    this.#address = encodeSocketAddress(this.loop.listen(anyPort, () => handler).address);
  }

  connect(count: number): void {
    const before = this.loop.openCount;
    for (let i = 0; i < count; i++) {
      const fd = this.kernel.peerLibc.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
      this.kernel.peerLibc.connect(fd, this.#address, this.#address.length);
      this.clients.push(fd);
    }
    this.host.run(() => this.loop.openCount === before + count);
    this.quiet();
  }

  say(client: number, text: string): void {
    this.kernel.peerLibc.send(this.clients[client] as number, Buffer.from(text), 0, text.length, MSG_DONTWAIT);
  }

  /** Everybody asks at the same moment. */
  sayAll(text: string): void {
    for (let i = 0; i < this.clients.length; i++) this.say(i, text);
    while (this.kernel.canDeliver) this.kernel.deliver();
  }

  quiet(): void {
    let isQuiet = false;
    this.host.alarm(0.001, () => {
      isQuiet = true;
    });
    this.host.run(() => isQuiet);
  }
}

/** Large answers of one loop: all of them come in shares, which no turn has more of than its budget. */
function judge(sends: readonly Send[], check: (isFine: boolean, what: string) => void): void {
  check(
    sends.every(({ length }) => length <= SHARE),
    'no send is more than a share',
  );
  const byTurn = new Map<number, number>();
  for (const { turn, length } of sends) byTurn.set(turn, (byTurn.get(turn) ?? 0) + length);
  const most = Math.max(...byTurn.values());
  // The budget is spent when a share reaches it. The first part of a turn has sent the heads, which are small.
  check(most < limits.sentBytesPerTurn + SHARE, `${most} bytes at most in a turn`);
  const shares = new Map<number, number>();
  for (const { fd } of sends) {
    shares.set(fd, (shares.get(fd) ?? 0) + 1);
    const counts = [...shares.values()];
    if (shares.size < STREAMS) continue;
    const done = sends.filter((send) => send.fd === fd).length === shares.get(fd);
    if (!done) check(Math.max(...counts) - Math.min(...counts) <= 1, 'nobody has his next share before the others');
  }
}

test('epoll: large responses are sent by shares, in order, without epoll_ctl while the kernel has room', async (t) => {
  const body = Buffer.alloc(10 * SHARE);
  let drains = 0;
  const server = new SimulatedServer({
    onData: (stream) => void stream.writeOwned(body),
    onDrain: () => void drains++,
  });
  server.connect(STREAMS);
  server.modifications = 0;
  server.sayAll('x');
  server.host.run(() => drains === STREAMS);
  t.equal(server.sends.length, STREAMS * 10);
  judge(server.sends, (isFine, what) => {
    if (!isFine) t.fail(what);
  });
  t.equal(server.modifications, 0);
  server.loop.close();
});

test('epoll: many small writes have their share, too', async (t) => {
  const piece = Buffer.alloc(SHARE / 4);
  const queued: number[] = [];
  const server = new SimulatedServer({
    onData(stream) {
      for (let i = 0; i < 6; i++) {
        stream.write(piece);
        queued.push(stream.queuedBytes);
      }
    },
  });
  server.connect(1);
  server.sayAll('x');
  server.host.run(() => queued.length === 6);
  t.same(queued, [0, 0, 0, 0, piece.length, 2 * piece.length], 'at the limit, and above it');
  server.quiet();
  t.equal(
    server.sends.reduce((sum, { length }) => sum + length, 0),
    6 * piece.length,
    'all is sent in the end',
  );
  server.loop.close();
});

test('epoll: when the bytes of a turn are spent, only small writes are sent at once', async (t) => {
  const streams: Stream[] = [];
  const server = new SimulatedServer(
    { onData: (stream) => void streams.push(stream) },
    { ...limits, sentBytesPerTurn: 30_000 },
  );
  server.connect(3);
  server.sayAll('x');
  server.host.run(() => streams.length === 3);
  const [a, b, c] = streams as [Stream, Stream, Stream];
  const large = Buffer.alloc(SHARE);
  // Between two turns: what a timer would write.
  t.same([a.write(large), b.write(large)], [true, true], 'below the limit');
  t.same([c.write(Buffer.alloc(16_385)), c.queuedBytes], [false, 16_385]);
  const { length } = server.sends;
  server.quiet();
  t.equal(server.sends.length, length + 1, 'it went in a turn that was asked for');
  server.say(0, 'y'); // and here is a new turn, of which nothing is spent
  server.quiet();
  t.same([a.write(large), b.write(large)], [true, true]);
  t.same([c.write(Buffer.alloc(16_384)), c.queuedBytes], [true, 0], 'small enough');
  server.loop.close();
});

test('epoll: a turn whose time is spent keeps the rest of its news for the next, in order', async (t) => {
  const told: [turn: number, text: string][] = [];
  const server: SimulatedServer = new SimulatedServer({
    onData(_stream, bytes) {
      told.push([server.turns, bytes.toString()]);
      server.host.advance(2); // three of them take more than the 5 ms of a turn, which the fourth finds out
    },
  });
  server.connect(10);
  for (let i = 0; i < 10; i++) server.say(i, `${i}`);
  while (server.kernel.canDeliver) server.kernel.deliver();
  const before = server.turns;
  server.host.run(() => told.length >= 4);
  // The first ask again while the last have not been heard.
  for (const [, text] of told) server.say(Number(text), text);
  server.host.run(() => told.length === 14);
  const texts = told.map(([, text]) => text);
  t.equal(new Set(texts.slice(0, 10)).size, 10, 'each is heard before anybody is heard twice');
  const perTurn = new Map<number, number>();
  for (const [turn] of told) perTurn.set(turn - before, (perTurn.get(turn - before) ?? 0) + 1);
  t.ok([...perTurn.values()].every((count) => count <= 4));
  server.loop.close();
});

test('epoll: news that waited for the next turn do not reach the next owner of the descriptor', async (t) => {
  const streams = new Map<string, Stream>();
  const heard: string[] = [];
  const server: SimulatedServer = new SimulatedServer({
    onData(stream, bytes) {
      const text = bytes.toString();
      heard.push(text);
      streams.set(text, stream);
      if (!text.startsWith('late')) return;
      server.host.advance(2);
      if (heard.filter((one) => one.startsWith('late')).length === 4)
        for (const other of streams.values()) other.close();
    },
  });
  server.connect(8);
  for (let i = 0; i < 8; i++) server.say(i, `early ${i}`);
  server.quiet();
  t.equal(streams.size, 8);
  const accepted = server.receives.splice(0);
  server.sayAll('late');
  server.host.run(() => server.loop.openCount === 1);
  t.equal(heard.length, 12, 'four were heard, then all were closed');
  server.receives.length = 0;
  const rest = server.turns;
  // Their numbers come back at once, for connections that nothing has been said on.
  const pairs = Array.from({ length: 8 }, () => server.kernel.libc.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  t.ok(
    pairs.some((fd) => accepted.includes(fd)),
    'the numbers are used again',
  );
  server.quiet();
  t.ok(server.turns > rest);
  t.same(server.receives, [], 'nobody is read from on their behalf');
  for (const fd of pairs) server.kernel.libc.close(fd);
  server.loop.close();
});

test('epoll: a loop that is never quiet judges a due deadline after it has delivered to every member, and not before', async (t) => {
  const CLIENTS = 10;
  for (const isSilent of [false, true]) {
    const streams: Stream[] = [];
    let heard = 0;
    let heardBefore = -1;
    const server: SimulatedServer = new SimulatedServer(
      {
        onData(stream, bytes) {
          if (!streams.includes(stream)) streams.push(stream);
          const text = bytes.toString();
          if (text === 'first') return;
          heard++;
          stream.setDeadline(1_000);
          server.host.advance(2); // the fourth finds out that the time of the turn is spent
          server.say(Number(text), text); // and so the loop is never quiet
          while (server.kernel.canDeliver) server.kernel.deliver();
        },
        onTimeout() {
          heardBefore = heard;
        },
      },
      { ...limits, tickMs: 1 },
    );
    server.connect(CLIENTS);
    for (let i = 0; i < CLIENTS; i++) {
      server.say(i, 'first');
      server.quiet();
    }
    streams.at(-1)?.setDeadline(10);
    server.host.run(() => server.loop.deadlines.isDue);
    const speaking = isSilent ? CLIENTS - 1 : CLIENTS;
    for (let i = 0; i < speaking; i++) server.say(i, `${i}`);
    while (server.kernel.canDeliver) server.kernel.deliver();
    server.host.run(() => heardBefore >= 0 || heard > 5 * CLIENTS);
    if (isSilent) t.ok(heardBefore > CLIENTS && heardBefore <= 2 * CLIENTS, `${heardBefore} were heard before`);
    else t.equal(heardBefore, -1, 'the last to be heard had sent something in time');
    server.loop.close();
  }
});

/** Connections on the loopback of the real kernel, to a loop whose clock a test moves. */
function realWorld(loopLimits: LoopLimits) {
  let now = 1_000;
  const host: Host = { ...nodeHost, now: () => now };
  const loop = new UringLoop(libc, host, loopLimits);
  const clients: NetSocket[] = [];
  const connect = (count: number, handler: StreamHandler): void => {
    const { address } = loop.listen(anyPort, () => handler);
    for (let i = 0; i < count; i++) clients.push(NetSocket.connectTo(address));
  };
  const close = async () => {
    for (const client of clients) client.close();
    loop.close();
    await until(() => loop.openCount === 0);
  };
  const pass = (ms: number) => {
    now += ms;
  };
  return { loop, clients, connect, close, pass };
}

test('io_uring: large responses are handed over by shares, no more in a turn than its budget', {
  skip: noUring,
}, async (t) => {
  const body = Buffer.alloc(10 * SHARE);
  const { loop, clients, connect, close } = realWorld(limits);
  const sends: Send[] = [];
  const { ring } = loop;
  const send = ring.send.bind(ring);
  ring.send = (fd, tag, address, length, flags) => {
    sends.push({ turn: loop.turn.count, fd, length });
    send(fd, tag, address, length, flags);
  };
  let drains = 0;
  connect(STREAMS, { onData: (stream) => void stream.writeOwned(body), onDrain: () => void drains++ });
  await until(() => loop.openCount === STREAMS + 1);
  for (const client of clients) client.writeAll(Buffer.from('x'));
  const buffer = Buffer.alloc(ROOM);
  for (const client of clients) client.setNonBlocking(true);
  await until(() => {
    for (const client of clients) client.tryRead(buffer, 0, buffer.length);
    return drains === STREAMS;
  });
  judge(
    sends.filter(({ fd }) => sends.filter((other) => other.fd === fd).length === 10),
    (isFine, what) => {
      if (!isFine && what.includes('bytes')) t.fail(what);
    },
  );
  t.ok(sends.every(({ length }) => length <= SHARE));
  t.equal(sends.reduce((sum, { length }) => sum + length, 0) >= STREAMS * body.length, true);
  await close();
});

test('io_uring: a turn whose time is spent leaves the rest of its news in the ring', { skip: noUring }, async (t) => {
  const { loop, clients, connect, close, pass } = realWorld(defaultLoopLimits);
  const told = new Map<number, number>();
  let heard = 0;
  connect(10, {
    onData() {
      told.set(loop.turn.count, (told.get(loop.turn.count) ?? 0) + 1);
      heard++;
      pass(2);
    },
  });
  await until(() => loop.openCount === 11);
  for (const client of clients) client.writeAll(Buffer.from('x'));
  await until(() => heard === 10);
  t.ok(
    [...told.values()].every((count) => count <= 4),
    [...told.values()].join(', '),
  );
  await close();
});
