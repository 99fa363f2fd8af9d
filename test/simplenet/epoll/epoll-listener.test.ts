/**
 * A listener on the epoll loop that has no descriptor left, on the simulated kernel, whose results a test can choose.
 */

import { test } from 'tap';
import { EpollLoop } from '../../../simplenet/epoll/epoll-loop.ts';
import { ENOMEM, EPOLL_CTL_ADD } from '../../../simplenet/kernel/abi.ts';
import { defaultLoopLimits } from '../../../simplenet/loop/loop-limits.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import { Recorder } from '../../contracts/recorder.ts';
import { SimulatedWorld } from '../../contracts/simulated-world.ts';
import { noFaults } from '../../simulation/simulated-faults.ts';
import { SimulatedHost } from '../../simulation/simulated-host.ts';
import { SimulatedKernel } from '../../simulation/simulated-kernel.ts';

/** Descriptors 0, 1 and 2 are taken in every process. */
const FIRST_FD = 3;

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
