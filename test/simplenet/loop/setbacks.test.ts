/**
 * A kernel that refuses calls, on both loops. If it does so for a while, nothing is lost. If it does so always, nothing spins. If the
 * loop itself is lost, every program on it gets the error.
 *
 * Next: ip-address.test.ts
 */

import { writeSync } from 'node:fs';
import { type Test, test } from 'tap';
import { IoUring } from '../../../simplenet/io-uring/io-uring.ts';
import type { UringLoop } from '../../../simplenet/io-uring/uring-loop.ts';
import {
  EAGAIN,
  EBADF,
  EBADR,
  EBUSY,
  EINTR,
  EINVAL,
  EIO,
  ENOBUFS,
  ENOMEM,
  EPOLL_CTL_ADD,
  EPOLL_CTL_MOD,
} from '../../../simplenet/kernel/abi.ts';
import { type Libc, libc } from '../../../simplenet/kernel/libc.ts';
import type { SocketAddress } from '../../../simplenet/kernel/socket-address.ts';
import type { SystemError } from '../../../simplenet/kernel/system-error.ts';
import type { Stream, StreamHandler, UdpHandler, UdpPort } from '../../../simplenet/loop/event-loop.ts';
import type { Host } from '../../../simplenet/loop/host.ts';
import { defaultLoopLimits } from '../../../simplenet/loop/loop-limits.ts';
import { nodeHost } from '../../../simplenet/loop/node-host.ts';
import {
  isPassing,
  LoopSetbacks,
  MAX_ATTEMPTS_AT_ONCE,
  MAX_FAILING_MS,
  MAX_PAUSE_MS,
  pauseMsAfter,
} from '../../../simplenet/loop/setbacks.ts';
import type { SocketLoop } from '../../../simplenet/loop/socket-loop.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import { UdpSocket } from '../../../simplenet/sockets/udp-socket.ts';
import { realLoops } from '../../contracts/real-world.ts';
import { Recorder } from '../../contracts/recorder.ts';
import { backends, missingBackend } from '../../support/backends.ts';
import { Program } from '../../support/programs.ts';
import { until } from '../../support/waiting.ts';

const anyPort: SocketAddress = { address: '127.0.0.1', port: 0 };

/** On which call the whole loop rests. */
const central = { epoll: 'epoll_wait', io_uring: 'io_uring_enter' } as const;

interface Scene {
  readonly loop: SocketLoop<never>;
  /** May be changed. */
  readonly libc: Libc;
  readonly raised: unknown[];
  readonly failures: SystemError[];
  readonly recorder: Recorder;
  readonly stream: Stream;
  readonly peer: NetSocket;
  /** How many alarms the loop has set. */
  readonly pauses: number[];
}

/** A listener, and a connection that was accepted. */
async function scene(
  t: Test,
  backend: (typeof backends)[number],
  reaction: Partial<StreamHandler> = {},
): Promise<Scene> {
  const raised: unknown[] = [];
  const failures: SystemError[] = [];
  const pauses: number[] = [];
  const table = { ...libc };
  const host: Host = {
    ...nodeHost,
    raise: (error) => void raised.push(error),
    alarm(delayMs, callback, keepsAlive) {
      pauses.push(delayMs);
      return nodeHost.alarm(delayMs, callback, keepsAlive);
    },
  };
  const loop = new realLoops[backend](table, host, defaultLoopLimits);
  const recorder = new Recorder(reaction);
  const onConnection = (stream: Stream) => {
    recorder.stream = stream;
    return recorder;
  };
  const { address } = loop.listen(anyPort, onConnection, { onFailure: (error) => void failures.push(error) });
  const peer = NetSocket.connectTo(address);
  t.teardown(async () => {
    Object.assign(table, libc);
    peer.close();
    loop.close();
    await until(() => loop.openCount === 0);
  });
  await until(() => recorder.stream !== null);
  pauses.length = 0;
  return {
    loop: loop as unknown as SocketLoop<never>,
    libc: table,
    raised,
    failures,
    recorder,
    stream: recorder.stream as unknown as Stream,
    peer,
    pauses,
  };
}

const echo: Partial<StreamHandler> = { onData: (stream, bytes) => void stream.write(bytes) };

function say(peer: NetSocket, text: string): void {
  peer.writeAll(Buffer.from(text));
}

async function hear(peer: NetSocket): Promise<string> {
  const buffer = Buffer.alloc(100);
  await until(() => peer.wait('readable', 0));
  return buffer.toString('latin1', 0, peer.read(buffer));
}

for (const backend of backends) {
  const skip = missingBackend[backend];
  const name = central[backend];

  for (const errno of [EINTR, EAGAIN, ENOMEM, EBUSY, EIO]) {
    test(`${name} that returns ${errno} for a while, and then works (${backend})`, { skip }, async (t) => {
      const { libc: table, raised, failures, recorder, peer, pauses } = await scene(t, backend, echo);
      let calls = 0;
      table[name] = () => {
        calls++;
        return -errno;
      };
      say(peer, 'hello');
      await until(() => pauses.length > 0); // a loop that hosts takes EINTR for a wait without news, for 20 ms at most
      const before = calls;
      await until(() => pauses.includes(32));
      t.ok(calls - before < 1_000, `${calls - before} calls in the pauses`);
      table[name] = libc[name] as never;
      t.equal(await hear(peer), 'hello');
      t.equal(recorder.isClosed, false);
      pauses.length = 0;
      say(peer, 'again');
      t.equal(await hear(peer), 'again');
      t.same([raised, failures], [[], []]);
    });
  }

  for (const errno of backend === 'epoll' ? [EBADF, EINVAL, EIO] : [EBADF, EBADR, EINVAL, EIO]) {
    test(`${name} that returns ${errno} each time ends all members of the loop, and each reports it (${backend})`, {
      skip,
    }, async (t) => {
      const { loop, libc: table, raised, failures, recorder, peer } = await scene(t, backend, echo);
      const told: SystemError[] = [];
      loop.bindUdp(anyPort, { onMessage() {}, onError: (_port, error) => void told.push(error) });
      loop.bindUdp(anyPort, { onMessage() {} }).close();
      const adopted = new Recorder();
      const mine = NetSocket.listenOn(anyPort);
      const other = NetSocket.connectTo(mine.localAddress);
      adopted.stream = loop.adoptStream(mine.accept(), adopted);
      mine.close();
      adopted.stream.write(Buffer.alloc(100_000));
      table[name] = () => -errno;
      if (backend === 'epoll') table.epoll_ctl = () => -errno;
      say(peer, 'hello');
      await until(() => loop.openCount === 0);
      const end = { syscall: name, errno: -errno };
      t.match([failures, told], [[end], [end]]);
      t.match([recorder.error, adopted.error], [end, end]);
      t.same([recorder.closes, adopted.closes], [1, 1]);
      t.same(raised, []);
      t.throws(() => loop.listen(anyPort, () => recorder), /closed/);
      other.close();
    });
  }

  test(`a port that another one closes as the loop is lost gets no error (${backend})`, { skip }, async (t) => {
    const { loop, libc: table, peer } = await scene(t, backend);
    const ports: UdpPort[] = [];
    const told: SystemError[] = [];
    const handler: UdpHandler = {
      onMessage() {},
      onError(_port, error) {
        told.push(error);
        for (const port of ports) port.close();
      },
    };
    for (let i = 0; i < 2; i++) ports.push(loop.bindUdp(anyPort, handler));
    table[name] = () => -EBADF;
    say(peer, 'hello');
    await until(() => loop.openCount === 0);
    t.match(told, [{ syscall: name, code: 'EBADF' }]);
    t.equal(told.length, 1);
  });

  test(`a loop that pauses keeps the process alive, and can be closed (${backend})`, { skip }, async (t) => {
    const program = Program.script(`
      const { createEventLoop, libc } = await import(build + '/simplenet/index.js');
      const table = { ...libc };
      const loop = createEventLoop({ backend: '${backend}', libc: table });
      const { address } = loop.listen({ address: '127.0.0.1', port: 0 }, (stream) => {
        console.log('served');
        loop.close();
        return { onData() {} };
      });
      let left = 22; // some pauses
      table.${name} = (...args) => left-- > 0 ? -12 : libc.${name}(...args);
      loop.connect(address, { onData() {} });`);
    t.teardown(() => program.kill());
    t.match(await program.ends(), { code: 0, stdout: 'served\n', stderr: '' });

    const { loop, libc: table, pauses, peer, failures } = await scene(t, backend, echo);
    table[name] = () => -ENOMEM;
    say(peer, 'hello');
    await until(() => pauses.includes(8));
    loop.close();
    table[name] = libc[name] as never;
    await until(() => loop.openCount === 0);
    t.same(failures, []);
  });

  test(`a failure without a callback for it is raised (${backend})`, { skip }, async (t) => {
    const { loop, libc: table, raised, failures, peer } = await scene(t, backend);
    loop.listen(anyPort, () => new Recorder());
    table[name] = () => -EBADF;
    say(peer, 'hello');
    await until(() => loop.openCount === 0);
    t.match([failures, raised], [[{ syscall: name }], [{ syscall: name, code: 'EBADF' }]]);
  });
}

for (const errno of [EINTR, EAGAIN, ENOMEM, ENOBUFS]) {
  test(`recv that returns ${errno} ends no connection, and does not spin (epoll)`, async (t) => {
    const { libc: table, recorder, peer, pauses } = await scene(t, 'epoll', echo);
    let calls = 0;
    table.recv = () => {
      calls++;
      return -errno;
    };
    say(peer, 'hello');
    await until(() => pauses.includes(MAX_PAUSE_MS));
    t.same(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256]);
    t.equal(calls, MAX_ATTEMPTS_AT_ONCE + pauses.length);
    table.recv = libc.recv;
    t.equal(await hear(peer), 'hello');
    pauses.length = 0;
    calls = 0;
    table.recv = (...args) => (calls++ < MAX_ATTEMPTS_AT_ONCE ? -errno : libc.recv(...args));
    say(peer, 'again');
    t.equal(await hear(peer), 'again');
    t.same(pauses, [], 'those before are made up for');
    t.equal(recorder.isClosed, false);
  });

  test(`send that returns ${errno} ends no connection, and does not spin (epoll)`, async (t) => {
    const { libc: table, recorder, peer, pauses, stream } = await scene(t, 'epoll');
    let calls = 0;
    table.send = () => {
      calls++;
      return -errno;
    };
    t.equal(stream.write(Buffer.from('hello')), false);
    await until(() => pauses.includes(32));
    const perCall = errno === EINTR ? MAX_ATTEMPTS_AT_ONCE : 1;
    t.ok(calls <= (MAX_ATTEMPTS_AT_ONCE + 10) * perCall, `${calls} calls`);
    table.send = libc.send;
    t.equal(await hear(peer), 'hello');
    await until(() => recorder.drains === 1);
    t.equal(recorder.isClosed, false);
  });
}

/** From now on those requests end at once, with the answer that is given, and never reach the kernel. Until it is undone. */
function refuse(ring: IoUring, call: 'receive' | 'send', answer: number): { count: number; undo(): void } {
  const ended: { fd: number; tag: number }[] = [];
  const take = ring.take.bind(ring);
  const { get: hasNews } = Object.getOwnPropertyDescriptor(IoUring.prototype, 'hasNews') as { get(): boolean };
  const refusal = { count: 0, undo: () => void Reflect.deleteProperty(ring, call) };
  ring[call] = (fd: number, tag: number) => {
    refusal.count++;
    ended.push({ fd, tag });
    writeSync(ring.bell.fd, new BigUint64Array([1n]));
  };
  ring.take = () => {
    const next = ended.shift();
    if (next === undefined) return take();
    Object.assign(ring.completion, next, { result: answer, flags: 0 });
    return true;
  };
  Object.defineProperty(ring, 'hasNews', { get: () => ended.length > 0 || hasNews.call(ring) });
  return refusal;
}

for (const errno of [EINTR, EAGAIN, ENOMEM]) {
  test(`a receive that ends with ${errno} ends no connection, and does not spin (io_uring)`, {
    skip: missingBackend.io_uring,
  }, async (t) => {
    const { loop, recorder, pauses } = await scene(t, 'io_uring', echo);
    const refusal = refuse((loop as unknown as UringLoop).ring, 'receive', -errno);
    const { address } = loop.listen(anyPort, () => recorder);
    recorder.stream = null;
    const peer = NetSocket.connectTo(address);
    say(peer, 'hello');
    await until(() => pauses.includes(32));
    t.equal(refusal.count, MAX_ATTEMPTS_AT_ONCE + pauses.length);
    refusal.undo();
    t.equal(await hear(peer), 'hello');
    t.equal(recorder.isClosed, false);
    peer.close();
    await until(() => recorder.isClosed);
  });
}

for (const errno of [EINTR, EAGAIN, ENOMEM, ENOBUFS]) {
  test(`a send that ends with ${errno} ends no connection, and does not spin (io_uring)`, {
    skip: missingBackend.io_uring,
  }, async (t) => {
    const { loop, recorder, pauses, peer, stream } = await scene(t, 'io_uring', echo);
    const refusal = refuse((loop as unknown as UringLoop).ring, 'send', -errno);
    say(peer, 'hello');
    await until(() => pauses.includes(32));
    t.equal(refusal.count, MAX_ATTEMPTS_AT_ONCE + pauses.length);
    recorder.calling(() => stream.close()); // it was promised, and goes all the same
    refusal.undo();
    t.equal(await hear(peer), 'hello');
    await until(() => recorder.isClosed);
    t.equal(recorder.error, null);
  });
}

test('a stream whose connection is reset while it rests reads the bytes before the reset, when it can (epoll)', async (t) => {
  const { libc: table, recorder, peer, pauses } = await scene(t, 'epoll');
  table.recv = () => -ENOMEM;
  say(peer, 'hello');
  await until(() => pauses.includes(4));
  peer.reset();
  await until(() => pauses.includes(16));
  t.equal(recorder.isClosed, false);
  table.recv = libc.recv;
  await until(() => recorder.isClosed);
  t.equal(recorder.received.toString(), 'hello');
  t.match(recorder.error, { code: 'ECONNRESET' });
});

test('a stream whose interest epoll refuses ends with that error', async (t) => {
  const { libc: table, recorder, stream, raised } = await scene(t, 'epoll');
  table.epoll_ctl = (fd, operation, ...rest) =>
    operation === EPOLL_CTL_MOD ? -ENOMEM : libc.epoll_ctl(fd, operation, ...rest);
  recorder.calling(() => stream.pause());
  await until(() => recorder.isClosed);
  t.match(recorder.error, { syscall: 'epoll_ctl', code: 'ENOMEM' });
  t.same(raised, []);
});

test('a listener whose interest epoll refuses ends, and onFailure reports it', async (t) => {
  const { loop, libc: table, failures, raised, recorder } = await scene(t, 'epoll');
  table.epoll_ctl = (fd, operation, ...rest) =>
    operation === EPOLL_CTL_ADD ? libc.epoll_ctl(fd, operation, ...rest) : -EBADF;
  table.accept4 = () => -24;
  const { address } = loop.listen(anyPort, () => recorder, { onFailure: (error) => void failures.push(error) });
  const late = NetSocket.connectTo(address);
  await until(() => failures.length === 1);
  t.match(failures, [{ syscall: 'epoll_ctl', code: 'EBADF' }]);
  t.same(raised, []);
  late.close();
});

test('a datagram that is interrupted each time is lost without a report', async (t) => {
  const { loop, libc: table } = await scene(t, 'epoll');
  const errors: unknown[] = [];
  const port = loop.bindUdp(anyPort, { onMessage() {}, onError: (_port, error) => void errors.push(error) });
  const to = UdpSocket.bindTo(anyPort);
  table.sendto = () => -EINTR;
  t.equal(port.send(Buffer.from('x'), to.localAddress), false);
  table.sendto = libc.sendto;
  t.equal(port.send(Buffer.from('y'), to.localAddress), true);
  t.equal(to.receive().bytes.toString(), 'y');
  t.same(errors, []);
  to.close();
});

test('how long to wait', async (t) => {
  t.equal(pauseMsAfter(MAX_ATTEMPTS_AT_ONCE), 0);
  t.equal(pauseMsAfter(MAX_ATTEMPTS_AT_ONCE + 1), 1);
  t.equal(pauseMsAfter(MAX_ATTEMPTS_AT_ONCE + 9), 256);
  t.equal(pauseMsAfter(MAX_ATTEMPTS_AT_ONCE + 10), MAX_PAUSE_MS);
  t.equal(pauseMsAfter(1_000_000), MAX_PAUSE_MS);
  for (const errno of [EINTR, EAGAIN, ENOMEM, ENOBUFS, EBUSY]) t.equal(isPassing(-errno), true);
  for (const result of [0, 1, -EIO, -EBADF]) t.equal(isPassing(result), false);
  const setbacks = new LoopSetbacks();
  t.equal(setbacks.pauseMsAfter(-EIO, 1_000), 0);
  t.equal(setbacks.pauseMsAfter(-EIO, 1_000 + MAX_FAILING_MS - 1), 0);
  t.equal(setbacks.pauseMsAfter(-EIO, 1_000 + MAX_FAILING_MS), null);
  t.equal(setbacks.pauseMsAfter(-ENOMEM, 1_000_000), 0, 'memory may always come back');
  setbacks.clear();
  t.equal(setbacks.pauseMsAfter(-EIO, 2_000_000), 0);
  t.equal(setbacks.pauseMsAfter(-EBADF, 2_000_000), null);
});
