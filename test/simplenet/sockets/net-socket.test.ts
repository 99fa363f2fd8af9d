/**
 * NetSocket: streams by blocking calls, both ends in this one thread. That works because the kernel completes a connection
 * on behalf of a listener before the program calls accept.
 */

import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import * as abi from '../../../simplenet/kernel/abi.ts';
import { type Libc, libc } from '../../../simplenet/kernel/libc.ts';
import { portOf, type SocketAddress } from '../../../simplenet/kernel/socket-address.ts';
import { NetSocket } from '../../../simplenet/sockets/net-socket.ts';
import { UdpSocket } from '../../../simplenet/sockets/udp-socket.ts';
import { importing, runProgram } from '../../support/child-program.ts';
import { descriptorFlags, openDescriptors } from '../../support/open-descriptors.ts';

const LOOPBACK = { address: '127.0.0.1', port: 0 };

/** Closes all that is given when the test ends. */
function closing<S extends { close(): void }>(t: Test, socket: S): S {
  t.teardown(() => socket.close());
  return socket;
}

function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'simplenet-'));
  t.teardown(() => rmSync(path, { recursive: true }));
  return path;
}

function connectedPair(t: Test, address: SocketAddress = LOOPBACK, table: Libc = libc): [NetSocket, NetSocket] {
  const listener = closing(t, NetSocket.listenOn(address, { libc: table }));
  const client = closing(t, NetSocket.connectTo(listener.localAddress, { libc: table }));
  return [client, closing(t, listener.accept())];
}

function received(socket: NetSocket): string {
  const buffer = Buffer.alloc(1024);
  return buffer.toString('latin1', 0, socket.read(buffer));
}

/** Each address is one on which two programs can meet. */
const meetingPlaces: readonly [string, (t: Test) => SocketAddress][] = [
  ['IPv4', () => LOOPBACK],
  ['IPv6', () => ({ address: '::1', port: 0 })],
  ['a Unix path', (t) => ({ path: join(folder(t), 'socket') })],
  ['an abstract Unix name', () => ({ path: `\0simplenet-test-${process.pid}` })],
];

for (const [kind, place] of meetingPlaces) {
  t.test(`a conversation over ${kind}`, async (t) => {
    const before = openDescriptors();
    const listener = NetSocket.listenOn(place(t));
    const address = listener.localAddress;
    if ('port' in address) t.ok(address.port > 0, 'the kernel chose a port');

    const client = NetSocket.connectTo(address);
    const server = listener.accept();
    t.same(client.remoteAddress, address);
    t.same(server.localAddress, address);
    t.same(server.remoteAddress, client.localAddress);

    t.equal(client.write(Buffer.from('hello')), 5);
    t.equal(received(server), 'hello');
    client.shutdown('write');
    t.equal(received(server), '', 'the end of what the client says');
    t.equal(server.write(Buffer.from('and good bye'), 4, 4), 4, 'half closed: the other half still works');
    server.close();
    t.equal(received(client), 'good');
    t.equal(received(client), '');
    client.close();
    listener.close();
    t.same(openDescriptors(), before);
  });
}

t.test('the family of a socket is that of its address', async (t) => {
  const families = [abi.AF_INET, abi.AF_INET6, abi.AF_UNIX, abi.AF_UNIX];
  for (const [i, [kind, place]] of meetingPlaces.entries()) {
    t.equal(closing(t, NetSocket.openFor(place(t))).family, families[i], kind);
  }
});

t.test('a Unix client has no name', async (t) => {
  const [client, server] = connectedPair(t, { path: join(folder(t), 'socket') });
  t.same(client.localAddress, { path: '' });
  t.same(server.remoteAddress, { path: '' });
});

t.test('the kernel reports which process is at the other end of a Unix socket', async (t) => {
  const self = { pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() };
  const [client, server] = connectedPair(t, { path: join(folder(t), 'socket') });
  t.same(server.peerCredentials, self);
  t.same(client.peerCredentials, self);
  client.close();
  t.same(server.peerCredentials, self, 'also when it is gone');
  const [tcp] = connectedPair(t);
  t.equal(tcp.peerCredentials, null, 'TCP does not say');
  tcp.close();
  t.throws(() => tcp.peerCredentials, { code: 'EBADF' });
});

t.test('`::` accepts IPv4 unless ipv6Only is set', async (t) => {
  const both = closing(t, NetSocket.listenOn({ address: '::', port: 0 }, { ipv6Only: false }));
  const port = portOf(both.localAddress);
  const v4 = closing(t, NetSocket.connectTo({ address: '127.0.0.1', port }));
  t.match(closing(t, both.accept()).remoteAddress, { address: '::ffff:127.0.0.1' });
  t.match(v4.remoteAddress, { address: '127.0.0.1', port });
  closing(t, NetSocket.connectTo({ address: '::1', port }));
  t.match(closing(t, both.accept()).remoteAddress, { address: '::1' });

  const only6 = closing(t, NetSocket.listenOn({ address: '::', port: 0 }, { ipv6Only: true }));
  const other = portOf(only6.localAddress);
  t.throws(() => NetSocket.connectTo({ address: '127.0.0.1', port: other }), { code: 'ECONNREFUSED' });
  closing(t, NetSocket.connectTo({ address: '::1', port: other }));
});

t.test('127.0.0.1 is that address only, 0.0.0.0 is all of them', async (t) => {
  const one = closing(t, NetSocket.listenOn(LOOPBACK));
  const port = portOf(one.localAddress);
  t.throws(() => NetSocket.connectTo({ address: '127.0.0.2', port }), { code: 'ECONNREFUSED', port });
  const all = closing(t, NetSocket.listenOn({ address: '0.0.0.0', port: 0 }));
  closing(t, NetSocket.connectTo({ address: '127.0.0.2', port: portOf(all.localAddress) }));
  t.match(closing(t, all.accept()).localAddress, { address: '127.0.0.2' });
});

t.test('every socket closes on exec, and waits unless it was asked not to', async (t) => {
  const listener = closing(t, NetSocket.listenOn(LOOPBACK));
  const client = closing(t, NetSocket.connectTo(listener.localAddress));
  const nonBlocking = { nonBlocking: true };
  const flagsOf = (socket: { fd: number }) => descriptorFlags(socket.fd) & (abi.O_CLOEXEC | abi.O_NONBLOCK);
  t.equal(flagsOf(listener), abi.O_CLOEXEC);
  t.equal(flagsOf(client), abi.O_CLOEXEC);
  t.equal(flagsOf(closing(t, listener.accept())), abi.O_CLOEXEC);
  t.equal(flagsOf(closing(t, NetSocket.openFor(LOOPBACK))), abi.O_CLOEXEC);
  t.equal(flagsOf(closing(t, UdpSocket.bindTo(LOOPBACK))), abi.O_CLOEXEC);
  const both = abi.O_CLOEXEC | abi.O_NONBLOCK;
  t.equal(flagsOf(closing(t, NetSocket.listenOn(LOOPBACK, nonBlocking))), both);
  t.equal(flagsOf(closing(t, NetSocket.connectTo(listener.localAddress, nonBlocking))), both);
  t.equal(flagsOf(closing(t, UdpSocket.bindTo(LOOPBACK, nonBlocking))), both);
  const address = new Uint8Array(abi.SOCKADDR_UN_SIZE);
  const accepted = closing(t, NetSocket.adopt(listener.tryAccept(address, Int32Array.of(address.length))));
  t.equal(flagsOf(accepted), both, 'tryAccept');
  t.same(address.subarray(4, 8), [127, 0, 0, 1], 'and it tells who called');

  client.setNonBlocking(true);
  t.equal(flagsOf(client), both);
  client.setNonBlocking(false);
  t.equal(flagsOf(client), abi.O_CLOEXEC);
});

t.test('a non-blocking socket returns EAGAIN', async (t) => {
  const [client] = connectedPair(t);
  client.setNonBlocking(true);
  t.equal(client.tryRead(Buffer.alloc(8), 0, 8), -abi.EAGAIN);
  t.throws(() => client.read(Buffer.alloc(8)), { name: 'SystemError', code: 'EAGAIN', syscall: 'recv' });
  const listener = closing(t, NetSocket.listenOn(LOOPBACK, { nonBlocking: true }));
  t.equal(listener.tryAccept(new Uint8Array(128), Int32Array.of(128)), -abi.EAGAIN);
  t.throws(() => listener.accept(), { code: 'EAGAIN', syscall: 'accept4' });
});

t.test('read and write use the given part of the buffer', async (t) => {
  const [client, server] = connectedPair(t);
  const buffer = Buffer.from('..........');
  client.writeAll(Buffer.from('abcdef'));
  t.equal(server.read(buffer, 2, 3), 3);
  t.equal(buffer.toString(), '..abc.....');
  t.equal(server.read(buffer, 8), 2, 'up to the end');
  t.equal(buffer.toString(), '..abc...de');
  t.equal(server.read(buffer), 1);
  t.equal(buffer.toString(), 'f.abc...de');
  client.write(Buffer.from('0123456789'), 3, 4);
  client.write(Buffer.from('0123456789'), 9);
  t.equal(received(server), '34569');
  for (const [offset, length] of [
    [0, 11],
    [11, 0],
    [-1, 5],
    [5, 6],
    [0.5, 1],
    [Number.NaN, 1],
  ] as const) {
    t.throws(() => server.read(buffer, offset, length), RangeError, `${offset} and ${length}`);
    t.throws(() => server.write(buffer, offset, length), RangeError);
  }
});

t.test('writeAll goes on until the last byte', async (t) => {
  const [client, server] = connectedPair(t);
  const short = { ...libc };
  const lengths: number[] = [];
  short.send = (fd, bytes, offset, length, flags) => {
    lengths.push(length);
    return libc.send(fd, bytes, offset, Math.min(length, 3), flags);
  };
  const writer = new NetSocket(client.fd, short);
  writer.writeAll(Buffer.from('ten bytes!'));
  t.same(lengths, [10, 7, 4, 1]);
  t.equal(received(server), 'ten bytes!');
  writer.writeAll(Buffer.alloc(0));
  t.equal(lengths.length, 4, 'no bytes, no call');
});

t.test('a write to a closed connection is an error and never a signal', async (t) => {
  const [client, server] = connectedPair(t);
  server.close();
  client.write(Buffer.from('first'));
  client.wait('readable', 1000);
  t.equal(client.tryWrite(Buffer.from('second'), 0, 6), -abi.EPIPE);
  t.throws(() => client.write(Buffer.from('second')), { name: 'SystemError', code: 'EPIPE', syscall: 'send' });

  // Node ignores SIGPIPE by itself, so here it is given its default again: only MSG_NOSIGNAL keeps this process alive.
  const child = runProgram(
    `${importing('NetSocket')}${importing('koffi', 'kernel/ffi.js')}
     koffi.load(null).func('void *signal(int, void *)')(13, null);
     const listener = NetSocket.listenOn({ path: '' + String.fromCharCode(0) + 'simplenet-pipe-' + process.pid });
     const client = NetSocket.connectTo(listener.localAddress);
     listener.accept().close();
     try { client.write(Buffer.from('x')); } catch (error) { console.log(error.code); }`,
  );
  t.same([child.signal, child.status, child.stdout], [null, 0, 'EPIPE\n'], child.stderr);
});

t.test('reset closes with RST, even while bytes are on their way', async (t) => {
  const before = openDescriptors();
  const listener = NetSocket.listenOn(LOOPBACK);
  const client = NetSocket.connectTo(listener.localAddress);
  const server = listener.accept();
  server.reset();
  t.equal(server.isClosed, true);
  t.throws(() => client.read(Buffer.alloc(8)), { code: 'ECONNRESET' });
  server.reset();
  client.close();
  listener.close();
  t.same(openDescriptors(), before);
});

t.test('shutdown goes three ways', async (t) => {
  const [client, server] = connectedPair(t);
  client.shutdown('read');
  t.equal(received(client), '', 'nothing to read for us');
  client.write(Buffer.from('still writing'));
  t.equal(received(server), 'still writing');
  client.shutdown('both');
  t.equal(received(server), '');
  t.throws(() => client.write(Buffer.from('x')), { code: 'EPIPE' });
  t.throws(() => client.shutdown('sideways' as 'both'), TypeError);
  t.throws(() => closing(t, NetSocket.openFor(LOOPBACK)).shutdown('write'), { code: 'ENOTCONN', syscall: 'shutdown' });
});

t.test('takeError returns once why a connection failed', async (t) => {
  const listener = NetSocket.listenOn(LOOPBACK);
  const { localAddress } = listener;
  listener.close();
  const client = closing(t, NetSocket.openFor(localAddress, { nonBlocking: true }));
  try {
    client.connect(localAddress);
    client.wait('writable', 1000);
    t.equal(client.takeError(), 111, 'ECONNREFUSED');
  } catch (error) {
    t.match(error, { code: 'ECONNREFUSED' }, 'a refusal on the loopback may come at once');
  }
  t.equal(client.takeError(), 0);
});

t.test('wait', async (t) => {
  const [client, server] = connectedPair(t);
  t.equal(client.wait('readable', 0), false);
  const startedAt = performance.now();
  t.equal(client.wait('readable', 30), false);
  t.ok(performance.now() - startedAt >= 29, 'it took its time');
  t.equal(client.wait('writable', 0), true);
  server.write(Buffer.from('x'));
  t.equal(client.wait('readable', -1), true, 'without limit');
  for (const timeout of [1.5, Number.NaN, 2 ** 31, '5']) {
    t.throws(() => client.wait('readable', timeout as number), TypeError, String(timeout));
  }
  client.close();
  t.throws(() => client.wait('readable', -1), { code: 'EBADF', syscall: 'poll' }, 'and not an endless wait');
});

t.test('waitEither returns what is possible first', async (t) => {
  const [client, server] = connectedPair(t);
  t.same(client.waitEither(1000), { readable: false, writable: true });
  server.write(Buffer.from('x'));
  t.ok(client.wait('readable', 1000));
  t.same(client.waitEither(-1), { readable: true, writable: true });
  client.setNonBlocking(true);
  // Until nothing moves any more: the kernel passes on what it took, and has room again.
  while (client.wait('writable', 50)) client.tryWrite(Buffer.alloc(65_536));
  t.same(client.waitEither(0), { readable: true, writable: false });
  client.read(Buffer.alloc(8));
  t.same(client.waitEither(0), { readable: false, writable: false });
  const startedAt = performance.now();
  t.same(client.waitEither(30), { readable: false, writable: false });
  t.ok(performance.now() - startedAt >= 29, 'it took its time');
  server.reset();
  t.same(client.waitEither(1000), { readable: true, writable: true }, 'both calls would tell of the reset at once');
  t.equal(client.tryRead(Buffer.alloc(8)), -abi.ECONNRESET);
  client.close();
  t.throws(() => client.waitEither(-1), { code: 'EBADF', syscall: 'poll' });
});

t.test('waitEither of an invalid descriptor, which poll(2) reports as an event', async (t) => {
  const socket = NetSocket.openFor(LOOPBACK);
  const { fd } = socket;
  socket.close();
  t.same(new NetSocket(fd).waitEither(1000), { readable: true, writable: true }, 'each call answers EBADF at once');
});

/** A listener whose queue is full: the kernel drops what else comes, as a machine does that is not there. */
function silentAddress(t: Test): SocketAddress {
  const listener = closing(t, NetSocket.listenOn(LOOPBACK, { backlog: 0 }));
  const { localAddress } = listener;
  // Each is given up at once, and those that found room stand all the same.
  for (let i = 0; i < 4; i++) {
    const client = closing(t, NetSocket.openFor(localAddress));
    try {
      client.connect(localAddress, 20);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ETIMEDOUT') throw error;
    }
  }
  return localAddress;
}

t.test('connect waits no longer than its limit', async (t) => {
  const address = silentAddress(t);
  const before = openDescriptors();
  for (const nonBlocking of [false, true]) {
    for (const connectTimeoutMs of [0, 40]) {
      const startedAt = performance.now();
      t.throws(() => NetSocket.connectTo(address, { connectTimeoutMs, nonBlocking }), {
        name: 'SystemError',
        code: 'ETIMEDOUT',
        syscall: 'connect',
        ...address,
        message: `connect ETIMEDOUT: connection timed out 127.0.0.1:${portOf(address)}`,
      });
      const tookMs = performance.now() - startedAt;
      t.ok(tookMs >= connectTimeoutMs - 1 && tookMs < 20_000, `${tookMs} ms of ${connectTimeoutMs}`);
    }
  }
  t.same(openDescriptors(), before);
  const socket = closing(t, NetSocket.openFor(address));
  t.throws(() => socket.connect(address, 1), { code: 'ETIMEDOUT' });
  t.throws(() => socket.connect(address, 1), { code: 'EALREADY', syscall: 'connect' }, 'the attempt goes on');
});

t.test('connect with a limit: a response within it counts, and one a millisecond later does not', async (t) => {
  const listener = closing(t, NetSocket.listenOn(LOOPBACK));
  const address = listener.localAddress;
  /** A peer that answers after 30 ms. */
  const poll: Libc['poll'] = (fds, count, timeoutMs) => (timeoutMs < 30 ? 0 : libc.poll(fds, count, timeoutMs));
  const table = { ...libc, poll };
  t.throws(() => NetSocket.connectTo(address, { connectTimeoutMs: 29, libc: table }), { code: 'ETIMEDOUT' });
  for (const connectTimeoutMs of [30, 31, 2 ** 31 - 1]) {
    const client = closing(t, NetSocket.connectTo(address, { connectTimeoutMs, libc: table }));
    t.same(client.remoteAddress, address);
  }
  t.ok(closing(t, NetSocket.connectTo(address, { connectTimeoutMs: -1 })).remoteAddress, '-1 is without limit');
});

t.test('connect with a limit leaves the socket as it was', async (t) => {
  const listener = NetSocket.listenOn(LOOPBACK);
  const address = listener.localAddress;
  for (const nonBlocking of [false, true]) {
    const socket = closing(t, NetSocket.connectTo(address, { connectTimeoutMs: 1000, nonBlocking }));
    t.equal((descriptorFlags(socket.fd) & abi.O_NONBLOCK) !== 0, nonBlocking);
  }
  listener.close();
  const socket = closing(t, NetSocket.openFor(address));
  t.throws(() => socket.connect(address, 1000), { code: 'ECONNREFUSED', syscall: 'connect', ...address });
  t.equal(descriptorFlags(socket.fd) & abi.O_NONBLOCK, 0, 'after a failure, too');
  for (const timeoutMs of [1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, '5']) {
    t.throws(() => socket.connect(address, timeoutMs as number), {
      name: 'TypeError',
      message: `a time limit is a 32-bit integer, not ${timeoutMs}`,
    });
  }
});

t.test('connect with a limit to a Unix listener: at once, or never', async (t) => {
  const address = { path: join(folder(t), 'socket') };
  const listener = closing(t, NetSocket.listenOn(address, { backlog: 0 }));
  t.same(closing(t, NetSocket.connectTo(address, { connectTimeoutMs: 1000 })).remoteAddress, address);
  t.throws(() => NetSocket.connectTo(address, { connectTimeoutMs: 1000 }), { code: 'EAGAIN', ...address });
  closing(t, listener.accept());
});

t.test('tryRead and tryWrite take the whole buffer, or what follows an offset', async (t) => {
  const [client, server] = connectedPair(t);
  const bytes = Buffer.from('0123456789');
  for (const [args, sent] of [
    [[], '0123456789'],
    [[7], '789'],
    [[2, 3], '234'],
    [[9, 1, abi.MSG_DONTWAIT], '9'],
  ] as const) {
    t.equal(client.tryWrite(bytes, ...args), sent.length);
    t.equal(received(server), sent);
  }
  const buffer = Buffer.alloc(8, '.');
  client.writeAll(bytes);
  t.equal(server.tryRead(buffer, 6), 2);
  t.equal(server.tryRead(buffer, 1, 2), 2);
  t.equal(buffer.toString('latin1'), '.23...01');
  t.equal(server.tryRead(buffer), 6);
  t.equal(buffer.toString('latin1'), '45678901');
});

t.test('every call on a closed socket returns EBADF', async (t) => {
  const [client] = connectedPair(t);
  client.close();
  const calls: Record<string, () => void> = {
    recv: () => client.read(Buffer.alloc(1)),
    send: () => client.write(Buffer.alloc(1)),
    accept4: () => client.accept(),
    listen: () => client.listen(),
    bind: () => client.bind(LOOPBACK),
    connect: () => client.connect({ address: '127.0.0.1', port: 9 }),
    shutdown: () => client.shutdown('both'),
    getsockname: () => client.localAddress,
    getpeername: () => client.remoteAddress,
    getsockopt: () => client.takeError(),
    setsockopt: () => client.setOption(abi.SOL_SOCKET, abi.SO_KEEPALIVE, 1),
    fcntl: () => client.setNonBlocking(true),
    poll: () => client.wait('readable', 0),
  };
  for (const [syscall, use] of Object.entries(calls)) t.throws(use, { name: 'SystemError', code: 'EBADF', syscall });
});

t.test('remoteAddress without a peer is ENOTCONN', async (t) => {
  t.throws(() => closing(t, NetSocket.listenOn(LOOPBACK)).remoteAddress, { code: 'ENOTCONN', syscall: 'getpeername' });
});

t.test('openFor, bind, listen and connect one by one', async (t) => {
  const listener = closing(t, NetSocket.openFor(LOOPBACK));
  t.same(listener.localAddress, { address: '0.0.0.0', port: 0 });
  listener.bind(LOOPBACK);
  t.equal(listener.getOption(abi.SOL_SOCKET, abi.SO_ACCEPTCONN), 0);
  listener.listen(1);
  t.equal(listener.getOption(abi.SOL_SOCKET, abi.SO_ACCEPTCONN), 1);
  const client = closing(t, NetSocket.openFor(LOOPBACK));
  client.bind({ address: '127.0.0.3', port: 0 });
  client.connect(listener.localAddress);
  t.match(closing(t, listener.accept()).remoteAddress, { address: '127.0.0.3' });
  t.throws(() => client.connect(listener.localAddress), { code: 'EISCONN', syscall: 'connect' });
});

t.test('the backlog limits how many connections may wait', async (t) => {
  // A Unix listener answers EAGAIN at once where a TCP listener drops the request in silence.
  const address = { path: join(folder(t), 'socket') };
  const listener = closing(t, NetSocket.listenOn(address, { backlog: 1 }));
  const knock = () => closing(t, NetSocket.connectTo(address, { nonBlocking: true }));
  knock();
  knock(); // the kernel grants one more than it was asked for
  t.throws(knock, { code: 'EAGAIN', syscall: 'connect' });
  closing(t, listener.accept());
  knock();
  for (const backlog of [1.5, Number.NaN, '5']) {
    t.throws(() => NetSocket.listenOn(LOOPBACK, { backlog: backlog as number }), TypeError);
  }
});

/** A table whose calls are interrupted by a signal so many times before they work, and a list of the calls made. */
function interrupted(times: number, names: readonly (keyof Libc)[]): { libc: Libc; calls: string[] } {
  const table = { ...libc };
  const calls: string[] = [];
  for (const name of names) {
    let left = times;
    const call = libc[name] as (...args: unknown[]) => number;
    const interruptedCall = (...args: unknown[]): number => {
      calls.push(name);
      return left-- > 0 ? -abi.EINTR : call(...args);
    };
    Object.assign(table, { [name]: interruptedCall });
  }
  return { libc: table, calls };
}

t.test('a signal in the middle of a call has no effect', async (t) => {
  const { libc: table, calls } = interrupted(3, ['accept4', 'send', 'recv', 'poll']);
  const [client, server] = connectedPair(t, LOOPBACK, table);
  client.write(Buffer.from('hello'));
  t.equal(server.wait('readable', 1000), true);
  t.equal(received(server), 'hello');
  t.same(
    calls,
    ['accept4', 'send', 'poll', 'recv'].flatMap((name) => Array(4).fill(name)),
  );
});

t.test('signals do not make a wait longer than its limit', async (t) => {
  const [client] = connectedPair(t);
  const timeouts: number[] = [];
  const poll: Libc['poll'] = (fds, count, timeoutMs) => {
    // Ten milliseconds pass in each call, and then comes a signal.
    libc.poll(fds, count, Math.min(timeoutMs, 10));
    timeouts.push(timeoutMs);
    if (timeouts.length > 50) throw new Error('it waits for ever');
    return timeoutMs <= 10 ? 0 : -abi.EINTR;
  };
  t.equal(new NetSocket(client.fd, { ...libc, poll }).wait('readable', 40), false);
  t.ok(
    timeouts.every((timeout, i) => i === 0 || timeout < (timeouts[i - 1] as number)),
    timeouts.join(' '),
  );
});

t.test('connect interrupted by a signal goes on in the background', async (t) => {
  const listener = closing(t, NetSocket.listenOn(LOOPBACK));
  const calls: string[] = [];
  const table: Libc = {
    ...libc,
    connect(...args) {
      const isFirst = calls.push('connect') === 1;
      const result = libc.connect(...args);
      return isFirst ? -abi.EINTR : result;
    },
    poll(...args) {
      calls.push('poll');
      return libc.poll(...args);
    },
  };
  const client = closing(t, NetSocket.connectTo(listener.localAddress, { libc: table }));
  t.same(client.remoteAddress, listener.localAddress);
  t.same(calls, ['connect', 'poll'], 'it is waited for; a second connect would answer EALREADY');
});

t.test('connect interrupted by a signal still fails when it is refused', async (t) => {
  const before = openDescriptors();
  const listener = NetSocket.listenOn(LOOPBACK);
  const { localAddress } = listener;
  listener.close();
  // The real one has failed by then and its error is told by connect(2): so SO_ERROR is played here.
  const table: Libc = {
    ...libc,
    connect: () => -abi.EINTR,
    poll: () => 1,
    getsockopt(_fd, _level, option, value) {
      if (option === abi.SO_ERROR) Buffer.from(value.buffer, value.byteOffset).writeInt32LE(111);
      return 0;
    },
  };
  t.throws(() => NetSocket.connectTo(localAddress, { libc: table }), {
    name: 'SystemError',
    code: 'ECONNREFUSED',
    syscall: 'connect',
    ...localAddress,
  });
  t.same(openDescriptors(), before);
});

t.test('a Unix connect interrupted by a signal has done nothing yet and is made again', async (t) => {
  // unix(7) connects in one step or waits for room in the backlog; a signal in that wait leaves no connection under way.
  const listener = closing(t, NetSocket.listenOn({ path: `\0simplenet-eintr-${process.pid}` }));
  const { libc: table } = interrupted(1, ['connect']);
  const client = closing(t, NetSocket.connectTo(listener.localAddress, { libc: table }));
  t.same(client.remoteAddress, listener.localAddress);
});

t.test('adopt takes a socket over, and only a stream socket', async (t) => {
  const listener = NetSocket.listenOn(LOOPBACK);
  const { localAddress } = listener;
  const fd = listener.release();
  t.equal(listener.isClosed, true);
  libc.fcntl(fd, abi.F_SETFD, 0);
  t.equal(descriptorFlags(fd) & abi.O_CLOEXEC, 0, 'as systemd passes them');
  const adopted = closing(t, NetSocket.adopt(fd));
  t.equal(adopted.fd, fd);
  t.same(adopted.localAddress, localAddress);
  t.equal(descriptorFlags(fd) & abi.O_CLOEXEC, abi.O_CLOEXEC);
  closing(t, NetSocket.connectTo(localAddress));
  closing(t, adopted.accept());

  const before = openDescriptors();
  const udp = closing(t, UdpSocket.bindTo(LOOPBACK));
  const file = libc.open('/dev/null', abi.O_RDONLY | abi.O_CLOEXEC);
  t.throws(() => NetSocket.adopt(udp.fd), { name: 'TypeError', message: /is a socket of type 2, not 1/ });
  t.throws(() => UdpSocket.adopt(adopted.fd), { name: 'TypeError', message: /is a socket of type 1, not 2/ });
  t.throws(() => NetSocket.adopt(file), { name: 'SystemError', code: 'ENOTSOCK' });
  t.equal(libc.close(file), 0, 'what could not be adopted is left open');
  t.equal(udp.getOption(abi.SOL_SOCKET, abi.SO_TYPE), abi.SOCK_DGRAM);
  t.throws(() => NetSocket.adopt(file), { name: 'SystemError', code: 'EBADF' });
  for (const wrong of [-1, 1.5, Number.NaN, '3', undefined, null, 2 ** 32]) {
    t.throws(() => NetSocket.adopt(wrong as number), TypeError, String(wrong));
  }
  udp.close();
  t.same(openDescriptors(), before);
});

t.test('using ends with close', async (t) => {
  const before = openDescriptors();
  {
    using listener = NetSocket.listenOn(LOOPBACK);
    t.ok(listener.fd >= 0);
  }
  t.same(openDescriptors(), before);
});

interface Mistake {
  readonly name: 'RangeError' | 'TypeError' | 'SystemError';
  readonly message: RegExp;
  /** Addresses, or what somebody took for one. */
  readonly given: readonly unknown[];
}

/** Arguments that can only be mistakes, and what is said about them. */
const mistakes: readonly Mistake[] = [
  {
    name: 'RangeError',
    message: /^a port is an integer from 0 to 65535, not /,
    given: [-1, 65_536, 1.5, Number.NaN, Infinity, '80', '', undefined, null, 80n, true].map((port) => ({
      address: '127.0.0.1',
      port,
    })),
  },
  {
    name: 'RangeError',
    message: /^'.*' is not an IPv4 or IPv6 address \(names are not looked up here\)$/,
    given: [
      'localhost',
      '',
      ' ',
      '1.2.3',
      '300.1.1.1',
      '1.2.3.4.5',
      '0x7f.1',
      '01.2.3.4',
      ':::',
      '::1::',
      '[::1]',
      '*',
    ].map((address) => ({ address, port: 0 })),
  },
  {
    name: 'TypeError',
    message: /^an address is a string such as '127.0.0.1' or '::1', not /,
    given: [undefined, null, 42, {}].map((address) => ({ address, port: 0 })),
  },
  {
    name: 'TypeError',
    message: /^the path of a Unix socket is missing$/,
    given: ['', '\0', undefined, null, 42].map((path) => ({ path })),
  },
  {
    name: 'TypeError',
    message: /^the path of a Unix socket must not contain NUL$/,
    given: [{ path: '/tmp/a\0b' }, { path: 'a\0' }],
  },
  {
    name: 'RangeError',
    message: /^the path of a Unix socket must have at most 107 bytes, not (108|109): /,
    given: [`/${'x'.repeat(107)}`, `/${'ü'.repeat(54)}`, `\0${'x'.repeat(107)}`].map((path) => ({ path })),
  },
  {
    name: 'SystemError',
    message: /^if_nametoindex ENODEV: no such device/,
    given: [{ address: 'fe80::1%no such one', port: 0 }],
  },
];

const makers: readonly [string, (address: SocketAddress) => unknown][] = [
  ['NetSocket.listenOn', (address) => NetSocket.listenOn(address)],
  ['NetSocket.connectTo', (address) => NetSocket.connectTo(address)],
  ['NetSocket.openFor', (address) => NetSocket.openFor(address)],
  ['UdpSocket.bindTo', (address) => UdpSocket.bindTo(address)],
  ['UdpSocket.connectTo', (address) => UdpSocket.connectTo(address)],
  ['UdpSocket.openFor', (address) => UdpSocket.openFor(address)],
];

for (const [name, make] of makers) {
  t.test(`${name} says clearly which argument is wrong, and leaves nothing open`, async (t) => {
    const before = openDescriptors();
    for (const { name, message, given } of mistakes) {
      for (const address of given) t.throws(() => make(address as SocketAddress), { name, message });
    }
    t.same(openDescriptors(), before);
  });
}

t.test('bind and connect of a socket that exists are as strict', async (t) => {
  const socket = closing(t, NetSocket.openFor(LOOPBACK));
  for (const { name, message, given } of mistakes) {
    for (const address of given) {
      t.throws(() => socket.bind(address as SocketAddress), { name, message });
      t.throws(() => socket.connect(address as SocketAddress), { name, message });
    }
  }
});

t.test('a path of 107 bytes is the longest', async (t) => {
  const root = folder(t);
  const path = `${root}/${'x'.repeat(107 - root.length - 1)}`;
  t.equal(Buffer.byteLength(path), 107);
  const [client] = connectedPair(t, { path });
  t.same(client.remoteAddress, { path });
  t.ok(existsSync(path));
  connectedPair(t, { path: `\0${'x'.repeat(106)}` });
  const here = process.cwd();
  process.chdir(root);
  t.teardown(() => process.chdir(here));
  t.throws(() => NetSocket.listenOn({ path: 'y'.repeat(108) }), RangeError);
  connectedPair(t, { path: 'y'.repeat(107) });
});

t.test('a path without its closing NUL, which others may bind, is read to its last byte', async (t) => {
  const path = Buffer.alloc(108, 'z');
  const here = process.cwd();
  process.chdir(folder(t));
  t.teardown(() => process.chdir(here));
  const socket = closing(t, NetSocket.openFor({ path: 'any' }));
  const sockaddr = Buffer.concat([Uint8Array.of(abi.AF_UNIX, 0), path]);
  t.equal(libc.bind(socket.fd, sockaddr, sockaddr.length), 0);
  t.same(socket.localAddress, { path: path.toString() });
});

/** Each error of the kernel becomes one SystemError that says what failed, where, and for common errors what to do. */
t.test('errors of the kernel are thrown as SystemError', async (t) => {
  const root = folder(t);
  const listener = closing(t, NetSocket.listenOn(LOOPBACK));
  const taken = listener.localAddress;
  const unixListener = closing(t, NetSocket.listenOn({ path: join(root, 'taken') }));
  const stale = NetSocket.listenOn({ path: join(root, 'stale') });
  stale.close();
  const free = NetSocket.listenOn(LOOPBACK);
  const refusing = free.localAddress;
  free.close();
  mkdirSync(join(root, 'folder'));
  const refusals: readonly [string, () => unknown, object][] = [
    [
      'a port in use',
      () => NetSocket.listenOn(taken),
      {
        code: 'EADDRINUSE',
        errno: -98,
        syscall: 'bind',
        ...taken,
        message: `bind EADDRINUSE: address already in use 127.0.0.1:${portOf(taken)} (another socket has that address; stop its owner or choose another port)`,
      },
    ],
    [
      'a path in use',
      () => NetSocket.listenOn(unixListener.localAddress),
      { code: 'EADDRINUSE', syscall: 'bind', path: join(root, 'taken') },
    ],
    ['a path left over', () => NetSocket.listenOn({ path: join(root, 'stale') }), { code: 'EADDRINUSE' }],
    [
      'an address that is not ours',
      () => NetSocket.listenOn({ address: '192.0.2.1', port: 0 }),
      {
        code: 'EADDRNOTAVAIL',
        syscall: 'bind',
        address: '192.0.2.1',
        message:
          'bind EADDRNOTAVAIL: address not available 192.0.2.1:0 (no network interface of this machine has that address)',
      },
    ],
    [
      'nobody listening',
      () => NetSocket.connectTo(refusing),
      {
        code: 'ECONNREFUSED',
        errno: -111,
        syscall: 'connect',
        ...refusing,
        message: `connect ECONNREFUSED: connection refused 127.0.0.1:${portOf(refusing)}`,
      },
    ],
    ['nobody listening on a path', () => NetSocket.connectTo({ path: join(root, 'stale') }), { code: 'ECONNREFUSED' }],
    ['no such path', () => NetSocket.connectTo({ path: join(root, 'none') }), { code: 'ENOENT', syscall: 'connect' }],
    [
      'no such folder',
      () => NetSocket.listenOn({ path: join(root, 'none', 'a') }),
      { code: 'ENOENT', syscall: 'bind' },
    ],
    ['a folder', () => NetSocket.listenOn({ path: join(root, 'folder') }), { code: 'EADDRINUSE', syscall: 'bind' }],
    [
      'no such abstract name',
      () => NetSocket.connectTo({ path: '\0simplenet-nobody' }),
      {
        code: 'ECONNREFUSED',
        path: '\0simplenet-nobody',
        message: 'connect ECONNREFUSED: connection refused @simplenet-nobody',
      },
    ],
  ];
  const before = openDescriptors();
  for (const [what, attempt, error] of refusals) t.throws(attempt, { name: 'SystemError', ...error }, what);
  t.same(openDescriptors(), before);
});

t.test('an error of listen, when the port is taken after all, names the address', async (t) => {
  // Both may bind, but with SO_REUSEADDR alone only one can listen.
  const before = openDescriptors();
  const first = NetSocket.openFor(LOOPBACK, { reuseAddress: true });
  first.bind(LOOPBACK);
  const address = first.localAddress;
  first.listen();
  const listen: Libc['listen'] = () => -98;
  t.throws(() => NetSocket.listenOn(LOOPBACK, { libc: { ...libc, listen } }), {
    code: 'EADDRINUSE',
    syscall: 'listen',
    address: '127.0.0.1',
  });
  const second = NetSocket.openFor(LOOPBACK, { reuseAddress: true });
  t.throws(() => second.bind(address), { code: 'EADDRINUSE', syscall: 'bind' });
  first.close();
  second.close();
  t.same(openDescriptors(), before);
});

t.test('no descriptor left for a socket', async (t) => {
  const before = openDescriptors();
  const table: Libc = { ...libc, socket: () => -abi.EMFILE };
  t.throws(() => NetSocket.listenOn(LOOPBACK, { libc: table }), {
    code: 'EMFILE',
    syscall: 'socket',
    message: /this process may open no more files; see ulimit -n/,
  });
  t.same(openDescriptors(), before);
});

const NOBODY = 65_534;

/** Runs an attempt as somebody without privileges and answers the error's code and message. */
function unprivileged(attempt: string): string {
  const source = `${importing('NetSocket')}
    import { readdirSync } from 'node:fs';
    const count = () => readdirSync('/proc/self/fd').length;
    const before = count();
    try { ${attempt}; console.log('no error'); }
    catch (error) { console.log(error.name, error.code, error.syscall, error.message, count() - before); }`;
  const child = runProgram(source, process.getuid?.() === 0 ? { uid: NOBODY } : {});
  return child.stdout + child.stderr;
}

t.test('without privileges', async (t) => {
  const firstFree = Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'));
  const works = unprivileged('NetSocket.listenOn({ address: "127.0.0.1", port: 0 })');
  if (works !== 'no error\n') {
    t.pass('nothing to see', { skip: `a user without privileges cannot run a program here: ${works.slice(0, 200)}` });
    return;
  }
  const skip = firstFree > 80 ? false : `every user may bind port 80 here (from ${firstFree} on)`;
  await t.test('port 80', { skip }, async (t) => {
    t.equal(
      unprivileged('NetSocket.listenOn({ address: "127.0.0.1", port: 80 })'),
      'SystemError EACCES bind bind EACCES: permission denied 127.0.0.1:80 ' +
        '(ports below 1024 need root or CAP_NET_BIND_SERVICE) 0\n',
    );
  });
  await t.test('a folder of another user', async (t) => {
    const root = folder(t);
    chmodSync(root, process.getuid?.() === 0 ? 0o755 : 0o555);
    const path = join(root, 'socket');
    t.equal(
      unprivileged(`NetSocket.listenOn({ path: '${path}' })`),
      `SystemError EACCES bind bind EACCES: permission denied ${path} 0\n`,
    );
    chmodSync(root, 0o755);
  });
});

t.test('scoped addresses take a number or a name', async (t) => {
  const byName = closing(t, NetSocket.openFor({ address: '::1%lo', port: 0 }));
  t.equal(byName.family, abi.AF_INET6);
  const calls: string[] = [];
  const if_nametoindex: Libc['if_nametoindex'] = (name) => {
    calls.push(name);
    return libc.if_nametoindex(name);
  };
  closing(t, NetSocket.openFor({ address: 'fe80::1%1', port: 0 }, { libc: { ...libc, if_nametoindex } }));
  t.same(calls, [], 'a number needs no asking');
  closing(t, NetSocket.openFor({ address: 'fe80::1%lo', port: 0 }, { libc: { ...libc, if_nametoindex } }));
  t.same(calls, ['lo']);
});

t.test('takenBytes grows by what the peer takes', async (t) => {
  const [client, server] = connectedPair(t);
  const before = client.takenBytes(0);
  client.writeAll(Buffer.from('hello'));
  t.equal(received(server), 'hello');
  // Loopback acknowledges when it likes, but soon.
  for (let i = 0; i < 100 && client.takenBytes(0) === before; i++)
    await new Promise((resolve) => setTimeout(resolve, 10));
  t.equal(client.takenBytes(0) - before, 5);

  const [writer, reader] = connectedPair(t, { path: `\0simplenet-taken-${process.pid}` });
  const empty = writer.takenBytes(0);
  writer.writeAll(Buffer.from('hello'));
  t.ok(writer.takenBytes(5) < empty, 'a Unix socket holds it until it is read, with what it weighs in the kernel');
  t.equal(received(reader), 'hello');
  t.equal(writer.takenBytes(5), empty + 5);
});

t.test('holdsOutput, until the peer has acknowledged or read what was sent', async (t) => {
  const [client] = connectedPair(t);
  client.writeAll(Buffer.from('hello'));
  for (let i = 0; i < 100 && client.holdsOutput; i++) await new Promise((resolve) => setTimeout(resolve, 1));
  t.equal(client.holdsOutput, false, 'the peer need not read it');
  client.setNonBlocking(true);
  while (client.tryWrite(Buffer.alloc(100_000)) > 0);
  t.equal(client.holdsOutput, true, 'the peer has no room for all');
  const [writer, reader] = connectedPair(t, { path: `\0simplenet-holds-${process.pid}` });
  t.equal(writer.holdsOutput, false);
  writer.writeAll(Buffer.from('hello'));
  t.equal(writer.holdsOutput, true);
  t.equal(received(reader), 'hello');
  t.equal(writer.holdsOutput, false);
  const [refused] = connectedPair(t, LOOPBACK, { ...libc, getsockopt: () => -abi.EINVAL });
  t.equal(refused.holdsOutput, false, 'a kernel that reports nothing');
});

t.test('takenBytes counts what was sent if the kernel reports nothing', async (t) => {
  const refusing: Libc = { ...libc, getsockopt: () => -abi.EINVAL };
  const [client] = connectedPair(t, LOOPBACK, refusing);
  t.equal(client.takenBytes(7), 7);
  const old: Libc = {
    ...libc,
    getsockopt(_fd, _level, _option, _value, length) {
      length[0] = 104; // struct tcp_info before Linux 4.1
      return 0;
    },
  };
  const [another] = connectedPair(t, LOOPBACK, old);
  t.equal(another.takenBytes(7), 7);
});
