/**
 * Streams on the real kernel: peers that die in every state leave nothing behind, and ten thousand idle ones weigh little.
 */

import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { test } from 'tap';
import { ENOMEM, EPOLLOUT } from '../../simplenet/abi.ts';
import { EpollLoop } from '../../simplenet/epoll-loop.ts';
import type { EpollMember } from '../../simplenet/epoll-stream.ts';
import type { Stream } from '../../simplenet/event-loop.ts';
import { libc } from '../../simplenet/libc.ts';
import { NetSocket } from '../../simplenet/net-socket.ts';
import { nodeHost } from '../../simplenet/node-host.ts';
import { type InternetAddress, portOf } from '../../simplenet/socket-address.ts';
import { defaultLoopLimits } from '../../simplenet/socket-loop.ts';
import { Recorder } from '../contracts/recorder.ts';
import { SimulatedWorld } from '../contracts/simulated-world.ts';
import { noFaults } from '../simulation/simulated-faults.ts';
import { Program } from '../support/programs.ts';

const anyPort: InternetAddress = { address: '127.0.0.1', port: 0 };

/** The sockets of this process, as the kernel sees them. */
function openSockets(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${fd}`);
      return target.startsWith('socket:') || target.includes('eventpoll') ? [`${fd} ${target}`] : [];
    } catch {
      return []; // the descriptor that read the folder
    }
  });
}

/** Writes until the kernel takes no more. */
function flood(stream: Stream): void {
  while (stream.write(Buffer.alloc(100_000)));
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** What a peer, a process of its own, is doing when it is killed. PORT stands for the server's. */
const states: Readonly<Record<string, { readonly client: string; readonly isReady: (server: Recorder[]) => boolean }>> =
  {
    'just connected': {
      client: `socket.on('connect', () => {});`,
      isReady: (server) => server.length > 0,
    },
    'in the middle of a message': {
      client: `socket.write('half a mess');`,
      isReady: (server) => (server[0]?.byteLength ?? 0) > 0,
    },
    'while it is written to': {
      client: `socket.pause(); socket.write('flood me');`,
      isReady: (server) => (server[0]?.stream?.queuedBytes ?? 0) > 0,
    },
    'after it has ended its side': {
      client: `socket.end('bye');`,
      isReady: (server) => (server[0]?.ends ?? 0) > 0,
    },
    'after we have ended ours': {
      client: `socket.write('end it');`,
      isReady: (server) => server[0]?.stream?.isEnded === true,
    },
    'while we do not read': {
      client: `socket.write('pause');`,
      isReady: (server) => (server[0]?.byteLength ?? 0) > 0,
    },
  };

for (const [state, { client, isReady }] of Object.entries(states)) {
  test(`a peer that is killed ${state} leaves no descriptor behind`, async (t) => {
    const before = openSockets();
    const loop = new EpollLoop(libc, nodeHost, { ...defaultLoopLimits, tickMs: 10 });
    const server: Recorder[] = [];
    const listener = loop.listen(anyPort, (stream) => {
      const recorder = new Recorder({
        onData(_stream, bytes) {
          const text = bytes.toString();
          if (text === 'flood me') flood(stream);
          if (text === 'end it') stream.end();
          if (text === 'pause') stream.pause();
        },
        onDrain: flood,
        onEnd: () => {}, // an answer is still being prepared
      });
      recorder.stream = stream;
      server.push(recorder);
      return recorder;
    });
    const port = portOf(listener.address);
    const peer = Program.script(`
      import { connect } from 'node:net';
      const socket = connect({ port: ${port}, host: '127.0.0.1', allowHalfOpen: true });
      setInterval(() => {}, 1_000);
      ${client}`);
    await until(() => isReady(server));
    peer.kill('SIGKILL');
    await peer.ends();
    // Some states are only noticed by writing, as with any TCP server; a program has a deadline for that.
    for (const recorder of server) recorder.stream?.setDeadline(50);
    await until(() => server.every((recorder) => recorder.isClosed));
    for (const recorder of server) t.same(recorder.complaints, []);
    listener.close();
    loop.close();
    await new Promise((resolve) => setImmediate(resolve));
    t.same(openSockets(), before);
  });
}

test('a peer that is killed before it is accepted leaves no descriptor behind', async (t) => {
  const before = openSockets();
  const socket = NetSocket.listenOn(anyPort);
  const port = portOf(socket.localAddress);
  const peer = Program.script(`
    import { connect } from 'node:net';
    connect(${port}, '127.0.0.1').on('connect', function () { this.write('x'); console.log('connected'); });`);
  await peer.prints(/connected/);
  peer.kill('SIGKILL');
  await peer.ends();
  const loop = new EpollLoop(libc, nodeHost, defaultLoopLimits);
  const recorders: Recorder[] = [];
  loop.adoptListener(socket, () => {
    recorders.push(new Recorder());
    return recorders[0] as Recorder;
  });
  await until(() => recorders[0]?.isClosed === true);
  t.same(recorders[0]?.complaints, []);
  loop.close();
  await new Promise((resolve) => setImmediate(resolve));
  t.same(openSockets(), before);
});

test('10,000 idle connections', async (t) => {
  const server = Program.script(
    `
    const { createEventLoop, raiseOpenFileLimit } = await import(build + '/simplenet/index.js');
    const limit = raiseOpenFileLimit(12_000);
    const loop = createEventLoop();
    let closes = 0;
    const handler = { onData: (s, b) => void s.write(b), onClose: () => void closes++ };
    const listener = loop.listen({ address: '127.0.0.1', port: 0 }, () => handler);
    const report = (what) => { gc(); gc(); console.log(what + ' ' + (process.memoryUsage().heapUsed + process.memoryUsage().external) + ' ' + process.memoryUsage().rss); };
    process.on('SIGUSR2', () => report('open=' + (loop.openCount - 1)));
    report('limit=' + limit + ' port=' + listener.address.port + ' start');`,
    { nodeOptions: ['--expose-gc'] },
  );
  t.teardown(() => server.kill());
  const [, limit, port, heapAtStart, rssAtStart] = await server.prints(/limit=(\d+) port=(\d+) start (\d+) (\d+)\n/);
  if (Number(limit) < 10_100) {
    t.pass(`skipped: this machine allows ${limit} open files`);
    return;
  }
  const client = Program.script(`
    const { createEventLoop, raiseOpenFileLimit } = await import(build + '/simplenet/index.js');
    raiseOpenFileLimit(12_000);
    const loop = createEventLoop();
    let opens = 0, echoes = 0;
    const streams = [];
    const handler = { onOpen() { if (++opens === 10_000) console.log('connected'); }, onData() { if (++echoes === 10_000) console.log('served'); } };
    for (let i = 0; i < 10_000; i++) {
      streams.push(loop.connect({ address: '127.0.0.1', port: ${port} }, handler));
      if (i % 500 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    process.on('SIGUSR2', () => { for (const stream of streams) stream.write(Buffer.from('x')); });`);
  t.teardown(() => client.kill());
  await client.prints(/connected/);
  const ask = async () => {
    const seen = server.stdout.length;
    server.kill('SIGUSR2');
    for (;;) {
      const match = /open=(\d+) (\d+) (\d+)\n/.exec(server.stdout.slice(seen));
      if (match !== null) return { open: Number(match[1]), heap: Number(match[2]), rss: Number(match[3]) };
      await once(server.child.stdout as NodeJS.ReadableStream, 'data');
    }
  };
  let held = await ask();
  while (held.open < 10_000) held = await ask();
  t.equal(held.open, 10_000);
  const perConnection = (held.heap - Number(heapAtStart)) / 10_000;
  const rssPerConnection = (held.rss - Number(rssAtStart)) / 10_000;
  t.ok(perConnection < 1_024, `${perConnection.toFixed(0)} bytes of heap, ${rssPerConnection.toFixed(0)} of RSS each`);
  client.kill('SIGUSR2');
  await client.prints(/served/);
  client.kill('SIGKILL');
  await client.ends();
  let after = await ask();
  while (after.open > 0) after = await ask();
  t.equal(after.open, 0);
  const left = after.heap - Number(heapAtStart);
  t.ok(left < 0.2 * (held.heap - Number(heapAtStart)) + 300_000, `${left} bytes of heap are left when all are gone`);
});

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

test('a kernel that is short of memory is no reason to give a connection up', async (t) => {
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

test('a shutdown that fails ends the stream with what it said', async (t) => {
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

test('room to send when nothing is queued is no news', async (t) => {
  const { world, stream, recorder, peer } = await simulated();
  (stream as unknown as EpollMember).onEvents(EPOLLOUT, 0);
  t.equal(recorder.drains, 0);
  peer.close();
  await world.until(() => recorder.isClosed, 'it ends');
  await world.close();
});

test('a deadline that is due when another one’s callback has closed its stream is not told', async (t) => {
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

test('what a parked stream is told changes nothing until it is resumed', async (t) => {
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

test('a Unix peer that closes both ways while our answer is under way', async (t) => {
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
