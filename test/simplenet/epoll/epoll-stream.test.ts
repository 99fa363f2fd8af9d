/**
 * Streams on the epoll loop, on the simulated kernel, whose results a test can choose.
 *
 * Next: uring-stream.test.ts
 */

import { test } from 'tap';
import type { EpollLoop } from '../../../simplenet/epoll/epoll-loop.ts';
import type { EpollMember } from '../../../simplenet/epoll/epoll-member.ts';
import { EAGAIN, ENOMEM, EPOLLHUP, EPOLLOUT } from '../../../simplenet/kernel/abi.ts';
import type { Stream } from '../../../simplenet/loop/event-loop.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import { Recorder } from '../../contracts/recorder.ts';
import { SimulatedWorld } from '../../contracts/simulated-world.ts';
import { noFaults } from '../../simulation/simulated-faults.ts';

/** A connection on the simulated kernel, whose answers a test can choose. */
async function simulated(): Promise<{ world: SimulatedWorld; stream: Stream; recorder: Recorder; peer: NetSocket }> {
  const world = new SimulatedWorld(1, noFaults);
  const recorder = new Recorder();
  const listener = world.loop.listen(world.anyAddress, (stream) => {
    recorder.stream = stream;
    return recorder;
  });
  const peer = NetSocket.connectTo(listener.address, { libc: world.kernel.peerLibc });
  await world.until(() => recorder.stream !== null, 'it is accepted');
  return { world, stream: recorder.stream as Stream, recorder, peer };
}

test('a kernel that is short of memory does not end a connection', async (t) => {
  const { world, stream, recorder, peer } = await simulated();
  const { send } = world.kernel.libc;
  world.kernel.libc.send = () => -ENOMEM;
  t.equal(stream.write(Buffer.from('hello')), false);
  t.equal(stream.queuedBytes, 5);
  world.kernel.libc.send = send;
  await world.until(() => recorder.drains === 1, 'it is sent when there is memory again');
  const buffer = Buffer.alloc(10);
  t.equal(buffer.toString('latin1', 0, peer.read(buffer)), 'hello');
  peer.close();
  await world.until(() => recorder.isClosed, 'it ends');
  t.same(recorder.complaints, []);
  await world.close();
});

test('when the process ends, queued bytes are sent as far as the kernel has room', async (t) => {
  const { world, stream, recorder, peer } = await simulated();
  const early = new Recorder();
  early.stream = world.loop.connect({ address: '127.0.0.1', port: 9 }, early);
  early.stream.write(Buffer.from('before the connection stands'));
  const loop = world.loop as EpollLoop;
  loop.flushLast();
  const { send } = world.kernel.libc;
  world.kernel.libc.send = () => -EAGAIN;
  recorder.calling(() => t.equal(stream.write(Buffer.from('put off')), false));
  loop.flushLast();
  t.equal(stream.queuedBytes, 7);
  world.kernel.libc.send = send;
  loop.flushLast();
  t.equal(stream.queuedBytes, 0);
  const buffer = Buffer.alloc(100);
  t.equal(buffer.toString('latin1', 0, peer.read(buffer)), 'put off');
  t.equal(recorder.drains, 0, 'no callback has run');
  stream.close();
  loop.flushLast();
  await world.until(() => recorder.isClosed && early.isClosed, 'both end');
  peer.close();
  await world.close();
});

test('a shutdown that fails ends the stream with its error', async (t) => {
  const { world, stream, recorder, peer } = await simulated();
  const { shutdown } = world.kernel.libc;
  world.kernel.libc.shutdown = () => -107; // ENOTCONN: the connection has just been reset
  recorder.calling(() => stream.end());
  world.kernel.libc.shutdown = shutdown;
  await world.until(() => recorder.isClosed, 'it ends');
  t.match(recorder.error, { code: 'ENOTCONN', syscall: 'shutdown' });
  t.same(recorder.complaints, []);
  peer.close();
  await world.close();
});

test('room to send is ignored when nothing is queued', async (t) => {
  const { world, stream, recorder, peer } = await simulated();
  (stream as unknown as EpollMember).onEvents(EPOLLOUT, 0);
  t.equal(recorder.drains, 0);
  peer.close();
  await world.until(() => recorder.isClosed, 'it ends');
  await world.close();
});

test('a due deadline is not reported if another callback has closed its stream', async (t) => {
  const world = new SimulatedWorld(1, noFaults);
  const streams: Stream[] = [];
  const told: number[] = [];
  const listener = world.loop.listen(world.anyAddress, (stream) => {
    const index = streams.push(stream) - 1;
    return {
      onData() {},
      onTimeout() {
        told.push(index);
        for (const other of streams) other.close();
      },
    };
  });
  const peers = [1, 2, 3].map(() => NetSocket.connectTo(listener.address, { libc: world.kernel.peerLibc }));
  await world.until(() => streams.length === 3, 'all are accepted');
  for (const stream of streams) stream.setDeadline(20);
  await world.until(() => world.loop.openCount === 1, 'all are closed');
  t.equal(told.length, 1);
  for (const peer of peers) peer.close();
  await world.close();
});

test('a peer that is found stuck when its stream has just been closed is not reset', async (t) => {
  const { world, stream, recorder, peer } = await simulated();
  while (stream.queuedBytes === 0) {
    stream.write(Buffer.alloc(10_000));
    await world.quiet();
  }
  // Both deadlines are judged in one turn, and that of the program comes first.
  stream.setDeadline(400);
  stream.minimumProgress = { everyMs: 400, bytes: 1 };
  await world.until(() => recorder.isClosed, 'it ends');
  t.equal(recorder.timeouts, 1);
  t.equal(recorder.error, null);
  const buffer = Buffer.alloc(65_536);
  while (peer.read(buffer) > 0);
  t.pass('it reads to the end of what the kernel had, and no error');
  peer.close();
  t.same(recorder.complaints, []);
  await world.close();
});

test('a hang-up that is reported only after the stream was resumed does not keep it from reading', async (t) => {
  const { world, stream, recorder, peer } = await simulated();
  stream.pause();
  await world.quiet();
  const { epoll_wait } = world.kernel.libc;
  world.kernel.libc.epoll_wait = () => 0; // no report comes but ours
  stream.end();
  peer.writeAll(Buffer.from('the last'));
  peer.close();
  const member = stream as unknown as EpollMember;
  stream.resume();
  await world.until(() => !member.needsSettle, 'it is watched for input again');
  member.onEvents(EPOLLHUP, 0); // from the time of the pause: a turn without time had kept it
  world.kernel.libc.epoll_wait = epoll_wait;
  await world.until(() => recorder.isClosed, 'it ends');
  t.equal(recorder.received.toString(), 'the last');
  t.same(recorder.complaints, []);
  await world.close();
});

test('calls on a parked stream change nothing until it is resumed', async (t) => {
  const { world, stream, recorder, peer } = await simulated();
  stream.pause();
  stream.end();
  peer.writeAll(Buffer.from('waiting'));
  peer.close();
  await world.quiet();
  stream.pause();
  await world.quiet();
  t.equal(recorder.isClosed, false);
  stream.resume();
  await world.until(() => recorder.isClosed, 'it ends');
  t.equal(recorder.received.toString(), 'waiting');
  t.same(recorder.complaints, []);
  await world.close();
});

test('a Unix peer that closes both directions while we send', async (t) => {
  const world = new SimulatedWorld(1, noFaults);
  const recorder = new Recorder({ onEnd: () => {} });
  const listener = world.loop.listen({ path: '\0simulated' }, () => recorder);
  const peer = NetSocket.connectTo(listener.address, { libc: world.kernel.peerLibc });
  peer.shutdown('write');
  await world.until(() => recorder.ends === 1, 'its end is told');
  await world.quiet();
  t.notOk(recorder.isClosed, 'it may still read');
  peer.close();
  await world.until(() => recorder.isClosed, 'nobody will read');
  t.match(recorder.error, { code: 'EPIPE' });
  t.same(recorder.complaints, []);
  await world.close();
});
