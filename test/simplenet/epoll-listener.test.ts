/**
 * A server that has no descriptor left, on the real kernel: it does not spin, waiting clients are answered or closed, and
 * it recovers.
 */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'tap';
import { EMFILE, ENOMEM, EPOLL_CTL_ADD } from '../../simplenet/abi.ts';
import { EpollLoop } from '../../simplenet/epoll-loop.ts';
import { NetSocket } from '../../simplenet/net-socket.ts';
import { defaultLoopLimits } from '../../simplenet/socket-loop.ts';
import { SpareDescriptor } from '../../simplenet/starvation.ts';
import { Recorder } from '../contracts/recorder.ts';
import { SimulatedWorld } from '../contracts/simulated-world.ts';
import { noFaults } from '../simulation/simulated-faults.ts';
import { SimulatedHost } from '../simulation/simulated-host.ts';
import { SimulatedKernel } from '../simulation/simulated-kernel.ts';
import { CountingLibc } from '../support/counting-libc.ts';
import { Program } from '../support/programs.ts';

/** Descriptors 0, 1 and 2 are taken in every process. */
const FIRST_FD = 3;

/** An echo server that may open only 64 files; SIGUSR2 prints how much CPU time it has used, in microseconds. */
const server = `
  const { createEventLoop, libc, abi } = await import(build + '/simplenet/index.js');
  const { default: process } = await import('node:process');
  process.on('SIGUSR2', () => { const { user, system } = process.cpuUsage(); console.log('cpu ' + (user + system)); });
  const loop = createEventLoop();
  const listener = loop.listen({ address: '127.0.0.1', port: 0 }, () => ({ onData: (s, b) => void s.write(b) }));
  const limit = Buffer.alloc(16);
  libc.getrlimit(abi.RLIMIT_NOFILE, limit);
  limit.writeBigUInt64LE(64n, 0);
  if (libc.setrlimit(abi.RLIMIT_NOFILE, limit) < 0) throw new Error('setrlimit');
  console.log('listening on ' + listener.address.port);
`;

async function cpuMicroseconds(program: Program): Promise<number> {
  const seen = program.stdout.length;
  program.kill('SIGUSR2');
  for (;;) {
    const match = /cpu (\d+)\n/.exec(program.stdout.slice(seen));
    if (match !== null) return Number(match[1]);
    await once(program.child.stdout as NodeJS.ReadableStream, 'data');
  }
}

interface Client {
  readonly socket: Socket;
  answer: 'waiting' | 'answered' | 'closed';
}

function clientOf(port: number): Client {
  const socket = connect(port, '127.0.0.1');
  const client: Client = { socket, answer: 'waiting' };
  socket.on('data', () => {
    client.answer = 'answered';
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    if (client.answer === 'waiting') client.answer = 'closed';
  });
  socket.write('hello');
  return client;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

test('200 clients and 64 descriptors', async (t) => {
  const program = Program.script(server);
  t.teardown(() => program.kill());
  const [, port] = await program.prints(/listening on (\d+)\n/);
  const clients = Array.from({ length: 200 }, () => clientOf(Number(port)));
  await until(() => clients.every((client) => client.answer !== 'waiting'));
  const answered = clients.filter((client) => client.answer === 'answered');
  const closed = clients.filter((client) => client.answer === 'closed');
  t.ok(answered.length >= 20, `${answered.length} were answered`);
  t.equal(answered.length + closed.length, 200, `${closed.length} were closed, none was left waiting`);

  // One more waits at the door: a second of it must cost next to nothing.
  const before = await cpuMicroseconds(program);
  const startedAt = performance.now();
  const late = Array.from({ length: 20 }, () => clientOf(Number(port)));
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  const cpu = (await cpuMicroseconds(program)) - before;
  const share = cpu / 1000 / (performance.now() - startedAt);
  t.ok(share < 0.05, `${(share * 100).toFixed(2)} % of a core while starved`);
  t.ok(
    late.every((client) => client.answer === 'closed'),
    'late clients are turned away',
  );

  for (const client of answered) client.socket.destroy();
  const recoveredAt = performance.now();
  for (let isServed = false; !isServed; ) {
    const client = clientOf(Number(port));
    await until(() => client.answer !== 'waiting');
    isServed = client.answer === 'answered';
    client.socket.destroy();
  }
  const recovery = performance.now() - recoveredAt;
  t.ok(recovery < 1_000, `served again after ${recovery.toFixed(0)} ms`);
});

test('a descriptor that comes free is used at once', async (t) => {
  const world = new SimulatedWorld(1, noFaults);
  const recorders: Recorder[] = [];
  const listener = world.loop.listen(world.anyAddress, (stream) => {
    const recorder = new Recorder();
    recorder.stream = stream;
    recorders.push(recorder);
    return recorder;
  });
  const clients: NetSocket[] = [];
  const connectOne = () => clients.push(NetSocket.connectTo(listener.address, { libc: world.kernel.peerLibc }));
  connectOne();
  connectOne();
  await world.until(() => recorders.length === 2, 'both are accepted');
  world.kernel.limit.current = FIRST_FD + world.kernel.openFds().length + 1; // room for the client's own
  connectOne();
  await world.quiet();
  t.equal(recorders.length, 2, 'the third waits');
  const startedAt = world.now();
  recorders[0]?.stream?.close();
  await world.until(() => recorders.length === 3, 'the third is accepted');
  t.ok(world.now() - startedAt < 1, 'without waiting for the rest to be over');
  for (const client of clients) client.close();
  await world.until(() => recorders.every((recorder) => recorder.isClosed), 'all close');
  world.kernel.limit.current = 1024;
  await world.close();
});

test('a listener that is closed while it rests stays closed', async (t) => {
  const world = new SimulatedWorld(1, noFaults);
  const listener = world.loop.listen(world.anyAddress, () => new Recorder());
  const client = NetSocket.connectTo(listener.address, { libc: world.kernel.peerLibc });
  world.kernel.limit.current = world.kernel.openFds().length;
  await world.quiet();
  listener.close();
  await world.quiet();
  client.close();
  world.kernel.limit.current = 1024;
  t.same(world.kernel.violations, []);
  await world.close();
});

test('an error that no waiting can mend closes the listener and is raised', async (t) => {
  const world = new SimulatedWorld(1, noFaults);
  const table = { ...world.kernel.libc };
  world.loop.listen(world.anyAddress, () => new Recorder());
  const peer = NetSocket.connectTo(world.loop.listen(world.anyAddress, () => new Recorder()).address, {
    libc: world.kernel.peerLibc,
  });
  world.kernel.libc.accept4 = () => -22;
  await world.quiet();
  world.kernel.libc.accept4 = table.accept4;
  t.match(world.raised.splice(0), [{ code: 'EINVAL', syscall: 'accept4' }]);
  t.equal(world.loop.openCount, 1);
  peer.close();
  await world.close();
});

test('a connection for which epoll has no room is closed, and the listener rests before it takes another', async (t) => {
  const world = new SimulatedWorld(1, noFaults);
  const recorders: Recorder[] = [];
  const listener = world.loop.listen(world.anyAddress, () => {
    const recorder = new Recorder();
    recorders.push(recorder);
    return recorder;
  });
  const { epoll_ctl } = world.kernel.libc;
  world.kernel.libc.epoll_ctl = (epollFd, operation, fd, event) =>
    operation === EPOLL_CTL_ADD ? -ENOMEM : epoll_ctl(epollFd, operation, fd, event);
  const [first, second] = [1, 2].map(() => NetSocket.connectTo(listener.address, { libc: world.kernel.peerLibc }));
  await world.quiet();
  t.equal(first?.read(Buffer.alloc(1)), 0, 'the first learns that it is not served');
  t.equal(recorders.length, 0);
  world.kernel.libc.epoll_ctl = epoll_ctl;
  await world.quiet();
  t.equal(recorders.length, 0, 'the second waits');
  await world.until(() => recorders.length === 1, 'and is taken when the rest is over');
  for (const socket of [first, second]) socket?.close();
  await world.until(() => recorders[0]?.isClosed === true, 'it ends');
  t.same(world.kernel.violations, []);
  await world.close();
});

test('a spare descriptor that others have snatched while it was lent is gone, and nothing is closed twice', async (t) => {
  const counting = new CountingLibc();
  const { open } = counting.libc;
  const spare = new SpareDescriptor(counting.libc);
  t.equal(counting.openFds.size, 1);
  let uses = 0;
  counting.libc.open = () => -EMFILE;
  for (let i = 0; i < 2; i++) {
    spare.lend(() => {
      uses++;
      t.equal(counting.openFds.size, 0, 'its number is free');
    });
  }
  t.equal(uses, 2);
  counting.libc.open = open;
  spare.lend(() => {});
  t.equal(counting.openFds.size, 1, 'once there is one again, it is kept');
  spare.close();
  t.equal(counting.openFds.size, 0);
  t.same(counting.violations, []);
});

test('no more are turned away in one turn than would be taken in one', async (t) => {
  const kernel = new SimulatedKernel();
  const host = new SimulatedHost(kernel);
  const loop = new EpollLoop(kernel.libc, host, { ...defaultLoopLimits, acceptsPerTurn: 2 });
  const listener = loop.listen({ address: '127.0.0.1', port: 0 }, () => new Recorder());
  const clients = [1, 2, 3, 4, 5].map(() => NetSocket.connectTo(listener.address, { libc: kernel.peerLibc }));
  kernel.limit.current = FIRST_FD + kernel.openFds().length;
  const turnedAway = () => clients.filter((client) => client.wait('readable', 0)).length;
  for (const expected of [2, 4, 5]) {
    const before = turnedAway();
    host.run(() => turnedAway() > before);
    t.equal(turnedAway(), expected);
  }
  for (const client of clients) client.close();
  loop.close();
  while (host.step());
  t.same(kernel.report(), []);
});

test('a listener that is closed while a crowd waits takes no more of it', async (t) => {
  const world = new SimulatedWorld(1, noFaults);
  const recorders: Recorder[] = [];
  const listener = world.loop.listen(world.anyAddress, () => {
    const recorder = new Recorder();
    recorders.push(recorder);
    // One in the first turn, two in the second: a third of those would be asked for.
    if (recorders.length === 2) listener.close();
    return recorder;
  });
  const clients = [1, 2, 3, 4].map(() => NetSocket.connectTo(listener.address, { libc: world.kernel.peerLibc }));
  await world.quiet();
  t.equal(recorders.length, 2);
  for (const client of clients) client.close();
  await world.until(() => recorders.every((recorder) => recorder.isClosed), 'all close');
  await world.close();
});
