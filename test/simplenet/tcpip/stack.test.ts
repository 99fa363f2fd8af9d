/** The stack as an event loop: what it opens and refuses, its lifetime, and its bounds. */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { SystemError } from '../../../simplenet/kernel/system-error.ts';
import type { Listener, Stream, UdpPort } from '../../../simplenet/loop/event-loop.ts';
import { createWire } from '../../../simplenet/tcpip/link/simulated-wire.ts';
import { createStack, type Stack, type StackOptions } from '../../../simplenet/tcpip/stack.ts';
import { Recorder } from '../../contracts/recorder.ts';
import { StackWorld } from '../../contracts/stack-world.ts';
import { SimulatedHost } from '../../simulation/simulated-host.ts';
import { SimulatedKernel } from '../../simulation/simulated-kernel.ts';
import { connectPair, losableLink, pass, segmentIn } from './stack-bench.ts';

const silent = { onData: () => {} };

function throwsCode(t: Tap.Test, code: string, call: () => unknown, message = code): void {
  t.throws(call, { name: 'SystemError', code }, message);
}

declare namespace Tap {
  type Test = Pick<typeof t, 'throws'>;
}

/** A stack alone on its wire. */
function lonely(options: Partial<StackOptions> = {}) {
  const host = new SimulatedHost(new SimulatedKernel());
  const [own, other] = createWire();
  const link = losableLink(own);
  const stack = createStack({ link, address: '10.9.0.1/24', host, ...options });
  return { host, stack, link, other };
}

function closeLonely(host: SimulatedHost, stack: Stack): void {
  stack.close();
  host.run(() => stack.openCount === 0 && host.alarmCount === 0);
}

t.test('listen: the own address, 0.0.0.0, any port, and a port that is taken', async (t) => {
  const { host, stack } = lonely();
  const own = stack.listen({ address: '10.9.0.1', port: 80 }, () => silent);
  t.same(own.address, { address: '10.9.0.1', port: 80 });
  const any = stack.listen({ address: '0.0.0.0', port: 0 }, () => silent);
  t.match(any.address, { address: '10.9.0.1' });
  t.not(any.address, 0);
  t.throws(() => stack.listen({ address: '0.0.0.0', port: 80 }, () => silent), {
    code: 'EADDRINUSE',
    syscall: 'bind',
  });
  throwsCode(t, 'EADDRNOTAVAIL', () => stack.listen({ address: '10.9.0.7', port: 80 }, () => silent));
  throwsCode(t, 'EADDRNOTAVAIL', () => stack.bindUdp({ address: '10.9.0.7', port: 80 }, { onMessage: () => {} }));
  t.throws(() => stack.listen({ address: 'localhost', port: 80 }, () => silent), RangeError);
  t.throws(() => stack.listen({ address: '10.9.0.1', port: 65_536 }, () => silent), RangeError);
  own.close();
  t.equal(stack.openCount, 2, 'until the end of the turn');
  const again = stack.listen({ address: '10.9.0.1', port: 80 }, () => silent);
  host.run(() => stack.openCount === 2);
  t.throws(() => stack.listen({ address: '0.0.0.0', port: 80 }, () => silent), { code: 'EADDRINUSE' });
  again.close();
  closeLonely(host, stack);
  t.throws(() => stack.listen({ address: '0.0.0.0', port: 80 }, () => silent), /the event loop is closed/);
});

t.test('what only a kernel has is refused in one sentence', async (t) => {
  const { host, stack } = lonely();
  const refused = (call: () => unknown, message: RegExp) =>
    t.throws(call, { name: 'SystemError', code: 'ENOTSUP', message });
  refused(() => stack.listen({ path: '/run/app.sock' }, () => silent), /IPv4 addresses only, not .*\/run\/app\.sock/);
  refused(() => stack.connect({ address: '::1', port: 1 }, silent), /IPv4 addresses only, not \[::1\]:1/);
  refused(() => stack.adoptListener({} as never, () => silent), /a socket of the kernel cannot be moved/);
  refused(() => stack.adoptStream({} as never, silent), /a socket of the kernel cannot be moved/);
  const address = { address: '10.9.0.1', port: 0 };
  for (const options of [
    { reusePort: true },
    { ipv6Only: true },
    { deferAcceptSeconds: 1 },
    { fastOpenQueue: 5 },
    { lingerSeconds: 0 },
    { broadcast: true },
    { control: () => {} },
  ]) {
    const message = new RegExp(`no option ${Object.keys(options)[0]}`);
    refused(() => stack.listen(address, () => silent, options), message);
    refused(() => stack.connect({ address: '10.9.0.2', port: 1 }, silent, options), message);
    refused(() => stack.bindUdp(address, { onMessage: () => {} }, options), message);
  }
  t.equal(stack.openCount, 0);
  stack.listen(address, () => silent, {
    ...{ reusePort: false, deferAcceptSeconds: 0, fastOpenQueue: 0, lingerSeconds: false, reuseAddress: true },
    ...{ noDelay: true, keepAlive: true, backlog: 0, onShortage: () => false },
  });
  closeLonely(host, stack);
});

t.test('options that cannot be are mistakes', async (t) => {
  const { host, stack } = lonely();
  const listen = (options: object) => () => stack.listen({ address: '0.0.0.0', port: 0 }, () => silent, options);
  for (const [name, value] of [
    ['sendBufferBytes', 0],
    ['receiveBufferBytes', Number.NaN],
    ['backlog', -1],
    ['userTimeoutMs', 1.5],
    ['keepAlive', { idleSeconds: 0, intervalSeconds: 1, probes: 1 }],
    ['keepAlive', { idleSeconds: 1, intervalSeconds: 2 ** 31, probes: 1 }],
    ['keepAlive', { idleSeconds: 1, intervalSeconds: 1 }],
  ] as const) {
    t.throws(listen({ [name]: value }), { name: 'RangeError', message: new RegExp(`^${name}`) }, name);
  }
  t.throws(listen({ noDelay: 'no' }), { name: 'TypeError', message: /noDelay must be true or false, not no/ });
  t.throws(listen({ keepAlive: 'no' }), { name: 'TypeError', message: /keepAlive must be/ });
  const connect = (connectTimeoutMs: number) => () =>
    stack.connect({ address: '10.9.0.2', port: 1 }, silent, { connectTimeoutMs });
  t.throws(connect(0), RangeError);
  t.throws(() => stack.after(Number.NaN, () => {}), RangeError);
  t.equal(stack.openCount, 0);
  closeLonely(host, stack);
});

t.test('createStack refuses what cannot be', async (t) => {
  const create = (options: Partial<StackOptions>) => () => lonely(options);
  t.throws(create({ congestion: 'toString' as never }), /congestion is cubic or new-reno, not 'toString'/);
  for (const address of ['10.9.0.1', '10.9.0.1/0', '224.0.0.1/24', 'x/24']) {
    t.throws(create({ address }), { name: 'RangeError', message: /IPv4 with a prefix/ }, address);
  }
  for (const hardwareAddress of ['02:00', '03:00:00:00:00:01']) {
    t.throws(create({ hardwareAddress }), { name: 'RangeError', message: /a hardware address is text/ });
  }
  t.throws(create({ gateway: 'x' }), RangeError);
  t.throws(create({ backlog: 0 }), /backlog must be a number > 0, not 0/);
  t.throws(create({ backlog: '5' as never }), /backlog must be a number > 0, not 5/);
  t.throws(create({ noSuchLimit: 1 } as never), { name: 'TypeError', message: /a stack has no option noSuchLimit/ });
  t.throws(create({ firstEphemeralPort: 60_000, lastEphemeralPort: 50_000 }), /ephemeral ports/);
  t.throws(create({ lastEphemeralPort: 65_536 }), /ephemeral ports/);
});

t.test('a stack has its choices by chance unless it has a seed', async (t) => {
  const { host, stack, other } = lonely({
    congestion: 'new-reno',
    hardwareAddress: '02:00:00:00:00:09',
    gateway: '10.9.0.254',
  });
  const ports = new Set(
    Array.from({ length: 5 }, () => {
      const { port } = stack.bindUdp({ address: '0.0.0.0', port: 0 }, { onMessage: () => {} }).address as {
        port: number;
      };
      return port;
    }),
  );
  t.equal(ports.size, 5);
  const frame = Buffer.alloc(100);
  t.ok(other.receive(frame) > 0);
  t.equal(frame.toString('hex', 6, 12), '020000000009', 'the announcement of the address');
  closeLonely(host, stack);
});

t.test('connect: what can go wrong', async (t) => {
  const world = new StackWorld(1);
  const errorOf = async (address: string, port: number, options = {}): Promise<SystemError | null> => {
    const seen = new Recorder();
    world.right.connect({ address, port }, seen, options);
    await world.until(() => seen.isClosed, 'the attempt has ended');
    t.equal(seen.opens, 0);
    return seen.error;
  };
  t.match(await errorOf('10.9.0.1', 9), { code: 'ECONNREFUSED', syscall: 'connect', address: '10.9.0.1', port: 9 });
  t.match(await errorOf('10.9.0.77', 9), { code: 'EHOSTUNREACH', syscall: 'connect' });
  t.match(await errorOf('192.0.2.1', 9), { code: 'ENETUNREACH', syscall: 'connect' });
  t.match(await errorOf('10.9.0.255', 9), { code: 'EACCES', syscall: 'connect' });
  t.match(await errorOf('10.9.0.2', 9), { code: 'ECONNREFUSED', syscall: 'connect' }, 'the own address');
  const listener = world.left.listen(world.anyAddress, () => silent);
  listener.closeWhenEmpty(60_000, () => {});
  const { port } = listener.address as { port: number };
  const startedAt = world.now();
  t.match(await errorOf('10.9.0.1', port, { connectTimeoutMs: 2_000 }), { code: 'ETIMEDOUT', syscall: 'connect' });
  t.ok(world.now() - startedAt >= 2_000);
  await world.close();
});

t.test('connect: without a free port', async (t) => {
  const { host, stack } = lonely({ firstEphemeralPort: 50_000, lastEphemeralPort: 50_001 });
  const to = { address: '10.9.0.2', port: 80 };
  stack.connect(to, silent);
  stack.connect(to, silent);
  throwsCode(t, 'EADDRNOTAVAIL', () => stack.connect(to, silent));
  t.equal(stack.openCount, 2);
  closeLonely(host, stack);
});

t.test('a program can connect to itself, and send datagrams to itself', async (t) => {
  const world = new StackWorld(1);
  const received: string[] = [];
  const listener = world.left.listen(world.anyAddress, (stream) => {
    t.same(stream.remoteAddress, { address: '10.9.0.1', port: (stream.remoteAddress as { port: number }).port });
    return { onData: (stream, bytes) => stream.write(bytes) };
  });
  const seen = new Recorder();
  const client = world.left.connect(listener.address, seen);
  const much = Buffer.alloc(500_000, 'self');
  client.write(much);
  await world.until(() => seen.byteLength === much.length, 'the echo has come');
  t.ok(seen.received.equals(much));
  const port: UdpPort = world.left.bindUdp(world.anyAddress, {
    onMessage: (_port, bytes) => received.push(bytes.toString()),
  });
  t.equal(port.send(Buffer.from('note'), port.address), true);
  t.same(received, [], 'not within the call');
  await world.until(() => received.length === 1, 'the datagram has come');
  t.same(received, ['note']);
  t.same(seen.complaints, []);
  await world.close();
});

t.test('one that talks to itself leaves the link its share', async (t) => {
  const world = new StackWorld(1, {}, { maxEventsPerTurn: 4 });
  const rounds: [string, number][] = [
    ['own', 0],
    ['far', 0],
  ];
  const count = (round: [string, number]) => ({
    onMessage(port: UdpPort, bytes: Buffer, from: never) {
      round[1]++;
      port.send(bytes, from);
      if (round[0] === 'own' && round[1] < 500) port.send(bytes, from);
    },
  });
  const own = world.left.bindUdp(world.anyAddress, count(rounds[0] as [string, number]));
  const near = world.left.bindUdp(world.anyAddress, { onMessage: (port, bytes, from) => port.send(bytes, from) });
  const far = world.right.bindUdp(world.anyAddress, count(rounds[1] as [string, number]));
  own.send(Buffer.from('x'), own.address);
  far.send(Buffer.from('x'), near.address);
  await world.until(() => (rounds[1] as [string, number])[1] === 100, 'a far peer is served');
  t.ok((rounds[0] as [string, number])[1] > 100);
  await world.close();
});

t.test('the options of a listener and of an attempt reach their connections', async (t) => {
  const times: number[] = [];
  let now = () => 0;
  const world: StackWorld = new StackWorld(1, {
    delayMs: 20,
    onFrame(frame, from) {
      const segment = segmentIn(frame);
      if (from === 0 && segment !== null && segment.end > segment.start) times.push(Math.round(now()));
    },
  });
  now = () => world.now();
  for (const noDelay of [true, false]) {
    const { server, clientSees } = await connectPair(world, { listen: { noDelay } });
    times.length = 0;
    const startedAt = Math.round(world.now());
    server.write(Buffer.from('first'));
    await world.quiet();
    server.write(Buffer.from('second'));
    await world.until(() => clientSees.byteLength === 11, 'both have come');
    t.equal((times[1] as number) - startedAt > 10, !noDelay, 'Nagle waits for the ACK, a round trip');
  }
  await world.close();
});

t.test('keep-alive notices a peer that is gone', async (t) => {
  let isCut = false;
  const world = new StackWorld(1, { drop: () => isCut });
  const lively = await connectPair(world, { listen: { keepAlive: false } });
  const probing = await connectPair(world, {
    listen: { keepAlive: { idleSeconds: 10, intervalSeconds: 1, probes: 3 } },
  });
  const patient = await connectPair(world, { connect: { userTimeoutMs: 3_000 } });
  const slow = await connectPair(world, { listen: { keepAlive: true } });
  isCut = true;
  const startedAt = world.now();
  patient.client.write(Buffer.from('x'));
  await world.until(() => patient.clientSees.isClosed, 'the user timeout has passed');
  t.match(patient.clientSees.error, { code: 'ETIMEDOUT' });
  t.ok(Math.abs(world.now() - startedAt - 3_000) < 50);
  await world.until(() => probing.serverSees.isClosed, 'the probes got no answer');
  t.match(probing.serverSees.error, { code: 'ETIMEDOUT' });
  t.ok(Math.abs(world.now() - startedAt - 13_000) < 50);
  await world.until(() => slow.serverSees.isClosed, 'the probes got no answer');
  t.ok(Math.abs(world.now() - startedAt - 7_200_000 - 9 * 75_000) < 1_000);
  t.equal(lively.serverSees.isClosed, false, 'one that nobody asks after');
  for (const { client, server } of [lively, probing, patient, slow]) for (const end of [client, server]) end.abort();
  await world.close();
});

t.test('keep-alive with the times of the stack', async (t) => {
  let isCut = false;
  const limits = { keepAliveIdleMs: 5_000, keepAliveIntervalMs: 500, keepAliveProbes: 2 };
  const world = new StackWorld(1, { drop: () => isCut }, limits);
  const { client, serverSees } = await connectPair(world, { listen: { keepAlive: true } });
  isCut = true;
  const startedAt = world.now();
  await world.until(() => serverSees.isClosed, 'the probes got no answer');
  t.ok(Math.abs(world.now() - startedAt - 6_000) < 50);
  client.abort();
  await world.close();
});

t.test('a stack has a bound for what is open: a client beyond it gets RST, and the program ENOBUFS', async (t) => {
  const world = new StackWorld(1, {}, { openMembers: 3 });
  const accepted: Stream[] = [];
  let shortages = 0;
  let onShortage = (): boolean => false;
  const listener = world.left.listen(
    world.anyAddress,
    (stream) => {
      accepted.push(stream);
      return silent;
    },
    {
      onShortage: () => {
        shortages++;
        return onShortage();
      },
    },
  );
  const clients = [new Recorder(), new Recorder(), new Recorder()];
  for (const client of clients) world.right.connect(listener.address, client);
  throwsCode(t, 'ENOBUFS', () => world.right.connect(listener.address, silent));
  throwsCode(t, 'ENOBUFS', () => world.right.listen(world.anyAddress, () => silent));
  throwsCode(t, 'ENOBUFS', () => world.right.bindUdp(world.anyAddress, { onMessage: () => {} }));
  await world.until(() => clients.some((client) => client.isClosed), 'one is turned away');
  await world.quiet();
  t.equal(clients.filter((client) => client.isClosed).length, 1);
  t.same([accepted.length, world.left.openCount, shortages], [2, 3, 1]);
  const mistake = new Error('a mistake of the program');
  onShortage = () => {
    throw mistake;
  };
  const unlucky = new Recorder();
  world.right.connect(listener.address, unlucky);
  await world.until(() => unlucky.isClosed, 'it is turned away');
  t.match(unlucky.error, { code: 'ECONNRESET' });
  t.same(world.raised.splice(0), [mistake]);
  onShortage = () => {
    accepted[0]?.abort();
    return true;
  };
  const lucky = new Recorder();
  world.right.connect(listener.address, lucky);
  await world.until(() => accepted.length === 3, 'there is room for it');
  t.equal(lucky.isClosed, false);
  await world.close();
});

t.test('without onShortage a client beyond the bound is turned away', async (t) => {
  const world = new StackWorld(1, {}, { openMembers: 1 });
  const listener = world.left.listen(world.anyAddress, () => silent);
  const seen = new Recorder();
  world.right.connect(listener.address, seen);
  await world.until(() => seen.isClosed, 'it is turned away');
  t.match(seen.error, { code: 'ECONNRESET' });
  await world.close();
});

t.test('closeWhenEmpty lets handshakes under way complete, and begins no new ones', async (t) => {
  const world = new StackWorld(1, { delayMs: 10 });
  let accepted = 0;
  const closed: string[] = [];
  const listener: Listener = world.left.listen(world.anyAddress, () => {
    accepted++;
    return silent;
  });
  const early = new Recorder();
  world.right.connect(listener.address, early);
  await pass(world, 35); // ARP takes a round trip; now the SYN has come
  listener.closeWhenEmpty(100, () => closed.push('once'));
  listener.closeWhenEmpty(100, () => closed.push('twice'));
  const late = new Recorder();
  world.right.connect(listener.address, late, { connectTimeoutMs: 5_000 });
  await world.until(() => closed.length === 2, 'the listener has closed');
  t.same([accepted, early.opens, closed], [1, 1, ['once', 'twice']]);
  await world.until(() => late.isClosed, 'the late one has ended');
  t.match(late.error, { code: 'ECONNREFUSED' }, 'its next SYN finds no listener');
  listener.closeWhenEmpty(100, () => closed.push('at once'));
  await world.until(() => closed.length === 3, 'it was closed already');
  await world.close();
});

t.test('a closed listener accepts nothing any more, not even in the same turn', async (t) => {
  const world = new StackWorld(1);
  let accepted = 0;
  const listener = world.left.listen(world.anyAddress, () => {
    accepted++;
    listener.close();
    return silent;
  });
  const clients = [new Recorder(), new Recorder(), new Recorder()];
  for (const client of clients) world.right.connect(listener.address, client);
  await world.until(() => clients.filter((client) => client.isClosed).length === 2, 'two are refused');
  t.equal(accepted, 1);
  await world.close();
});

t.test('before onConnection has returned, a stream has a handler that does nothing', async (t) => {
  const world = new StackWorld(1);
  const seen = new Recorder();
  const listener = world.left.listen(world.anyAddress, (stream) => {
    stream.handler.onData(stream, Buffer.alloc(1));
    stream.write(Buffer.from('welcome'));
    return silent;
  });
  world.right.connect(listener.address, seen);
  await world.until(() => seen.byteLength === 7, 'the welcome has come');
  await world.close();
  const closed: string[] = [];
  listener.closeWhenEmpty(0, () => closed.push('long ago'));
  await world.until(() => closed.length === 1, 'it says so, although its stack is gone');
  t.same(closed, ['long ago']);
});

t.test('a turn that has used up its time leaves the other frames to the next', async (t) => {
  const world = new StackWorld(1);
  let turns = 0;
  const port = world.left.bindUdp(world.anyAddress, {
    onMessage() {
      turns++;
      world.host.advance(10);
    },
  });
  for (let i = 0; i < 6; i++) port.send(Buffer.from('x'), port.address);
  await world.until(() => turns > 0, 'the first turn has come');
  t.equal(turns, 4, 'the clock is read at every fourth event');
  await world.until(() => turns === 6, 'all have come');
  await world.close();
});

t.test('an exception of onConnection ends that connection', async (t) => {
  const world = new StackWorld(1);
  const mistake = new Error('a mistake of the program');
  const listener = world.left.listen(world.anyAddress, () => {
    throw mistake;
  });
  const client = new Recorder();
  world.right.connect(listener.address, client);
  await world.until(() => client.isClosed, 'it is reset');
  t.match(client.error, { code: 'ECONNRESET' });
  t.same(world.raised.splice(0), [mistake]);
  await world.close();
});

t.test('a closed stack waits for its peers, keeps the process alive meanwhile, and then closes the link', async (t) => {
  const world = new StackWorld(1, { delayMs: 100 });
  const { client, server, serverSees } = await connectPair(world);
  client.write(Buffer.from('the end'));
  world.right.close();
  world.right.close();
  await world.until(() => world.right.openCount === 0, 'the stream is closed');
  t.equal(world.host.isAlive(), true);
  await world.until(() => serverSees.isClosed, 'all has come');
  t.same([serverSees.received.toString(), serverSees.error], ['the end', null]);
  server.abort();
  await world.close();
});

t.test('a closed stack waits for a second at most, and then resets what is left', async (t) => {
  const world = new StackWorld(1);
  const { client, server, serverSees } = await connectPair(world, { listen: { receiveBufferBytes: 5_000 } });
  server.pause();
  client.write(Buffer.alloc(50_000));
  const startedAt = world.now();
  world.right.close();
  await pass(world, 900);
  t.equal(serverSees.isClosed, false);
  await pass(world, 200);
  server.resume();
  await world.until(() => serverSees.isClosed, 'the peer knows');
  t.match(serverSees.error, { code: 'ECONNRESET' });
  t.ok(world.now() - startedAt < 1_200);
  await world.close();
});

t.test('ref and unref decide whether what is open keeps the process alive', async (t) => {
  const { host, stack } = lonely();
  t.equal(host.isAlive(), false, 'nothing is open');
  stack.listen({ address: '0.0.0.0', port: 80 }, () => silent);
  t.equal(host.isAlive(), true);
  stack.unref();
  t.equal(host.isAlive(), false);
  stack.ref();
  t.equal(host.isAlive(), true);
  stack.unref();
  stack.close();
  t.equal(host.isAlive(), false, 'and whether its end does');
  host.run(() => host.alarmCount === 0);
  stack.ref();
  t.equal(host.isAlive(), false);
});

t.test('a lost link ends all that is open with its error, and the loop', async (t) => {
  const lost = new SystemError('read', -77, { path: 'tap0' });
  const { host, stack, link } = lonely();
  const seen = new Recorder();
  const failures: unknown[] = [];
  const reopen = () => stack.listen({ address: '0.0.0.0', port: 0 }, () => silent);
  stack.listen({ address: '0.0.0.0', port: 80 }, () => silent, {
    onFailure(error) {
      failures.push(error);
      closing.close();
      closingPort.close();
      reopen();
    },
  });
  stack.listen({ address: '0.0.0.0', port: 81 }, () => silent);
  const closing = stack.listen({ address: '0.0.0.0', port: 82 }, () => silent);
  stack.bindUdp(
    { address: '0.0.0.0', port: 80 },
    { onMessage: () => {}, onError: (_port, error) => failures.push(error) },
  );
  stack.bindUdp({ address: '0.0.0.0', port: 81 }, { onMessage: () => {} });
  const closingPort = stack.bindUdp({ address: '0.0.0.0', port: 82 }, { onMessage: () => {} });
  stack.connect({ address: '10.9.0.2', port: 80 }, seen);
  host.run(() => stack.statistics.sentPackets === 1 || host.alarmCount > 0);
  link.lose(lost);
  host.run(() => stack.openCount === 0);
  t.same(failures, [lost, lost]);
  t.equal(seen.error, lost);
  const [first, second] = host.raised;
  t.match(first, /the event loop is closed/, 'nothing can be opened on it any more');
  t.equal(second, lost, 'a listener without onFailure');
  t.throws(reopen, /the event loop is closed/);
  host.run(() => host.alarmCount === 0);
  t.equal(host.isAlive(), false);
});

t.test('a link is lost in a turn that has other work', async (t) => {
  const { host, stack, link } = lonely();
  const errors: unknown[] = [];
  const onError = (_port: UdpPort, error: SystemError) => errors.push(error);
  const port = stack.bindUdp({ address: '0.0.0.0', port: 7 }, { ...{ onMessage: () => {} }, onError });
  const lost = new SystemError('read', -77);
  port.send(Buffer.from('to myself'), port.address);
  link.lose(lost);
  host.run(() => stack.openCount === 0);
  t.same(errors, [lost]);
});

t.test('a link that is lost after close does not keep the stack waiting', async (t) => {
  const { host, stack, link } = lonely();
  stack.connect({ address: '10.9.0.2', port: 80 }, silent);
  stack.close();
  link.lose(new SystemError('read', -77));
  host.run(() => host.alarmCount === 0);
  t.equal(stack.openCount, 0);
  stack.close();
});

t.test('a burst for which the link has no room goes on without waiting for the retransmission timer', async (t) => {
  const world = new StackWorld(1, { capacityBytes: 5_000, delayMs: 1 }, { minRtoMs: 5_000, initialRtoMs: 5_000 });
  const { client, serverSees } = await connectPair(world);
  const startedAt = world.now();
  client.write(Buffer.alloc(200_000));
  await world.until(() => serverSees.byteLength === 200_000, 'all has come');
  t.ok((world.right.statistics.linkOverflows as number) > 10);
  t.ok(world.now() - startedAt < 2_000, `${world.now() - startedAt} ms`);
  await world.close();
});

t.test('timers are judged although frames come without a pause', async (t) => {
  const world = new StackWorld(1, {}, { maxEventsPerTurn: 1 });
  const noise = world.right.bindUdp(world.anyAddress, { onMessage: (port, bytes, from) => port.send(bytes, from) });
  const mirror = world.left.bindUdp(world.anyAddress, { onMessage: (port, bytes, from) => port.send(bytes, from) });
  for (let i = 0; i < 8; i++) noise.send(Buffer.from('noise'), mirror.address);
  let isOver = false;
  const seen = new Recorder();
  world.left.connect({ address: '10.9.0.77', port: 9 }, seen);
  world.host.alarm(0, () => {
    isOver = true;
  });
  await world.until(() => isOver, 'the noise has begun');
  for (let i = 0; i < 40 && !seen.isClosed; i++) {
    world.host.advance(100);
    for (let steps = 0; steps < 100; steps++) world.host.step();
  }
  t.match(seen.error, { code: 'EHOSTUNREACH' });
  noise.close();
  mirror.close();
  await world.close();
});

t.test('statistics count each thing by one name', async (t) => {
  const world = new StackWorld(1);
  const { client, serverSees } = await connectPair(world);
  client.write(Buffer.from('x'));
  await world.until(() => serverSees.byteLength === 1, 'the byte has come');
  const { segmentsReceived, receivedPackets, malformed, malformedSegments, malformedDatagrams } = world.left.statistics;
  t.ok((segmentsReceived as number) >= 3);
  t.equal(receivedPackets, segmentsReceived);
  t.same([malformed, malformedSegments, malformedDatagrams], [0, 0, 0]);
  t.equal(world.left.connections().length, 1);
  t.equal(world.left.isTurnSpent, false);
  t.ok(world.left.exactNow() >= world.left.now() - 1);
  await world.close();
});

t.test('with the clock of the machine', async (t) => {
  const [left, right] = createWire();
  const server = createStack({ link: left, address: '10.9.0.1/24' });
  const client = createStack({ link: right, address: '10.9.0.2/24' });
  const listener = server.listen({ address: '0.0.0.0', port: 0 }, () => ({
    onData(stream, bytes) {
      stream.write(bytes);
      stream.end();
    },
  }));
  const seen = new Recorder();
  await new Promise<void>((resolve) => {
    const stream = client.connect(listener.address, seen);
    stream.write(Buffer.from('hello'));
    stream.whenClosed(resolve);
  });
  t.same([seen.received.toString(), seen.error, seen.complaints], ['hello', null, []]);
  client.close();
  server.close();
});

t.test('when the process ends, what was written leaves, and the peer is told', async (t) => {
  const program = fileURLToPath(new URL('exit-with-connection.js', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [program]);
  t.equal(stdout, 'bytes written in the last turn\nreset \n');
});
