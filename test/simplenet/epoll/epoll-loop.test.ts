/**
 * The epoll loop inside Node's: what it costs in system calls, and what it does that the other loop does not.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'tap';
import { EpollLoop } from '../../../simplenet/epoll/epoll-loop.ts';
import { ENOMEM, EPOLLIN } from '../../../simplenet/kernel/abi.ts';
import { libc } from '../../../simplenet/kernel/libc.ts';
import { type InternetAddress, portOf } from '../../../simplenet/kernel/socket-address.ts';
import type { StreamHandler } from '../../../simplenet/loop/event-loop.ts';
import type { Host } from '../../../simplenet/loop/host.ts';
import { defaultLoopLimits } from '../../../simplenet/loop/loop-limits.ts';
import { nodeHost } from '../../../simplenet/loop/node-host.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import { Recorder } from '../../contracts/recorder.ts';
import { SimulatedWorld } from '../../contracts/simulated-world.ts';
import { noFaults } from '../../simulation/simulated-faults.ts';
import { connectedPair } from '../../support/connected-pair.ts';
import { CountingLibc } from '../../support/counting-libc.ts';
import { until } from '../../support/waiting.ts';

const anyPort: InternetAddress = { address: '127.0.0.1', port: 0 };

const echo: StreamHandler = {
  onData(stream, bytes) {
    if (!stream.write(bytes)) stream.pause();
  },
  onDrain: (stream) => stream.resume(),
};

/** One message there and back, over a client that is not ours. */
function exchange(client: Socket, message: string): Promise<string> {
  client.write(message);
  return once(client, 'data').then(([bytes]) => String(bytes));
}

test('the budget of system calls', async (t) => {
  const counting = new CountingLibc();
  // The loop does not change roles with Node's, which would cost an epoll_ctl at some moment.
  const host: Host = { ...nodeHost, watch: (fd, onReadable) => nodeHost.watch(fd, onReadable) };
  const loop = new EpollLoop(counting.libc, host, defaultLoopLimits);
  t.teardown(() => loop.close());
  let closes = 0;
  const listener = loop.listen(anyPort, () => ({ ...echo, onClose: () => void closes++ }), { noDelay: true });
  counting.take();

  const clients: Socket[] = [];
  for (let i = 0; i < 10; i++) {
    const client = createConnection(portOf(listener.address), '127.0.0.1');
    clients.push(client);
    await exchange(client, 'hello');
  }
  const { epoll_wait: waits = 0, ...connecting } = counting.take();
  t.same(connecting, { accept4: 10, epoll_ctl: 10, recv: 10, send: 10 }, 'a connection: accept4 and epoll_ctl, once');
  t.ok(waits <= 20, `${waits} turns for 10 connections and 10 messages`);

  for (let round = 0; round < 10; round++) await Promise.all(clients.map((client) => exchange(client, 'again')));
  const { epoll_wait: laterWaits = 0, ...talking } = counting.take();
  t.same(talking, { recv: 100, send: 100 }, 'a message: recv and send, once');
  t.ok(laterWaits <= 100);

  for (const client of clients) client.end();
  while (closes < clients.length) await new Promise((resolve) => setTimeout(resolve, 1));
  const { epoll_wait: _, ...closing } = counting.take();
  t.same(closing, { recv: 10, close: 10 }, 'an end: the recv that says so, and close');
});

test('pausing and resuming within one callback costs nothing', async (t) => {
  const counting = new CountingLibc();
  const loop = new EpollLoop(counting.libc, nodeHost, defaultLoopLimits);
  t.teardown(() => loop.close());
  const listener = loop.listen(anyPort, () => ({
    onData(stream, bytes) {
      stream.pause();
      stream.write(bytes);
      stream.resume();
    },
  }));
  const client = createConnection(portOf(listener.address), '127.0.0.1');
  await exchange(client, 'hello');
  counting.take();
  await exchange(client, 'again');
  t.equal(counting.take().epoll_ctl, undefined);
  client.destroy();
});

test('a crowd that connects at once is taken in a few turns', async (t) => {
  const counting = new CountingLibc();
  const loop = new EpollLoop(counting.libc, nodeHost, defaultLoopLimits);
  t.teardown(() => loop.close());
  const listener = loop.listen(anyPort, () => echo);
  const clients = Array.from({ length: 200 }, () => createConnection(portOf(listener.address), '127.0.0.1'));
  await Promise.all(clients.map((client) => exchange(client, 'hello')));
  const { accept4 = 0 } = counting.take();
  t.ok(accept4 < 220, `${accept4} calls of accept4 for 200 connections`);
  for (const client of clients) client.destroy();
});

test('limits that make no sense are refused', async (t) => {
  for (const value of [0, -1, 1.5, Number.NaN]) {
    t.throws(
      () => new EpollLoop(libc, nodeHost, { ...defaultLoopLimits, tickMs: value }),
      /tickMs must be an integer >= 1/,
    );
  }
});

test('an adopted stream whose socket another process shares gets no more events once it is closed', async (t) => {
  const counting = new CountingLibc();
  const loop = new EpollLoop(counting.libc, nodeHost, defaultLoopLimits);
  t.teardown(() => loop.close());
  const { ours, theirs } = connectedPair(t);
  const other = spawn('sleep', ['20'], { stdio: ['ignore', 'ignore', 'ignore', ours.fd] });
  t.teardown(() => other.kill());
  await once(other, 'spawn');
  const recorder = new Recorder();
  loop.adoptStream(ours, recorder).close();
  await until(() => recorder.isClosed);
  counting.take();
  theirs.write(Buffer.from('for the other process'));
  await sleep(20);
  t.equal(counting.take().epoll_wait, undefined, 'close(2) alone would have left it in the epoll set');
});

test('a socket that cannot be adopted is not changed', async (t) => {
  const table = { ...libc };
  const loop = new EpollLoop(table, nodeHost, defaultLoopLimits);
  t.teardown(() => loop.close());
  const { ours } = connectedPair(t);
  const unconnected = NetSocket.openFor(anyPort);
  t.teardown(() => unconnected.close());
  t.throws(() => loop.adoptListener(ours, () => echo), {
    name: 'TypeError',
    message: 'the socket does not listen: call listen first',
  });
  t.throws(() => loop.adoptStream(unconnected, echo), { code: 'ENOTCONN', syscall: 'getpeername' });
  table.epoll_ctl = () => -ENOMEM;
  t.throws(() => loop.adoptStream(ours, echo), { code: 'ENOMEM', syscall: 'epoll_ctl' });
  t.notOk(ours.isClosed);
  t.notOk(unconnected.isClosed);
  t.equal(loop.openCount, 0);
});

test('a socket that was made for nothing is closed', async (t) => {
  const counting = new CountingLibc();
  const loop = new EpollLoop(counting.libc, nodeHost, defaultLoopLimits);
  const listener = loop.listen(anyPort, () => echo);
  const before = counting.openFds.size;
  const { epoll_ctl, connect } = counting.libc;
  counting.libc.epoll_ctl = () => -ENOMEM;
  const noRoom = { code: 'ENOMEM', syscall: 'epoll_ctl' };
  t.throws(() => loop.listen(anyPort, () => echo), noRoom);
  t.throws(() => loop.connect(listener.address, echo), noRoom);
  t.throws(() => loop.bindUdp(anyPort, { onMessage: () => {} }), noRoom);
  counting.libc.epoll_ctl = epoll_ctl;
  // A refusal is told by onClose; a mistake is none.
  counting.libc.connect = () => {
    throw new TypeError('a mistake');
  };
  t.throws(() => loop.connect(listener.address, echo), { name: 'TypeError', message: 'a mistake' });
  counting.libc.connect = connect;
  t.equal(counting.openFds.size, before);
  t.equal(loop.openCount, 1);
  loop.close();
  await until(() => counting.openFds.size === 0);
  t.same(counting.violations, []);
});

test('an exception in epoll_wait is not a refusal of the kernel: it is raised, and the loop goes on', async (t) => {
  const world = new SimulatedWorld(1, noFaults);
  const recorder = new Recorder(echo);
  const { address } = world.loop.listen(world.anyAddress, () => recorder);
  const { epoll_wait } = world.kernel.libc;
  world.kernel.libc.epoll_wait = () => {
    world.kernel.libc.epoll_wait = epoll_wait;
    throw new TypeError('a mistake');
  };
  const peer = NetSocket.connectTo(address, { libc: world.kernel.peerLibc });
  peer.writeAll(Buffer.from('hello'));
  await world.until(() => recorder.byteLength === 5, 'it is heard');
  t.match(world.raised.splice(0), [{ name: 'TypeError', message: 'a mistake' }]);
  peer.close();
  await world.until(() => recorder.isClosed, 'it ends');
  await world.close();
});

test('an event of a descriptor without a member is ignored', async (t) => {
  // epoll(7): one that was closed here while another process holds it as well stays in the set.
  const loop = new EpollLoop(libc, nodeHost, defaultLoopLimits);
  t.teardown(() => loop.close());
  const { ours, theirs } = connectedPair(t);
  loop.epoll.add(ours.fd, EPOLLIN);
  theirs.write(Buffer.from('x'));
  const listener = loop.listen(anyPort, () => echo);
  const client = createConnection(portOf(listener.address), '127.0.0.1');
  t.equal(await exchange(client, 'hello'), 'hello');
  loop.epoll.delete(ours.fd);
  client.destroy();
});

test('open members keep the process alive, unless the loop is unref’ed', async (t) => {
  const world = new SimulatedWorld(1, noFaults);
  const { loop, host } = world;
  t.notOk(host.isAlive(), 'an empty loop');
  const listener = loop.listen(world.anyAddress, () => echo);
  t.ok(host.isAlive());
  loop.unref();
  t.notOk(host.isAlive());
  loop.ref();
  loop.ref();
  t.ok(host.isAlive());
  listener.close();
  await world.quiet();
  t.notOk(host.isAlive(), 'empty again');
  loop.ref();
  t.notOk(host.isAlive(), 'ref has nothing to hold on to');
  await world.close();
});
