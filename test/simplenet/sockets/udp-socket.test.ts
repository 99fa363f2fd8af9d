/** UdpSocket: datagrams between sockets of this one thread; on the loopback each has arrived when it has been sent. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import * as abi from '../../../simplenet/kernel/abi.ts';
import { type Libc, libc } from '../../../simplenet/kernel/libc.ts';
import { portOf, type SocketAddress } from '../../../simplenet/kernel/socket-address.ts';
import { UdpSocket } from '../../../simplenet/sockets/udp-socket.ts';
import { openDescriptors } from '../../support/open-descriptors.ts';

const V4 = { address: '127.0.0.1', port: 0 };
const V6 = { address: '::1', port: 0 };

function closing<S extends { close(): void }>(t: Test, socket: S): S {
  t.teardown(() => socket.close());
  return socket;
}

function bound(t: Test, address: SocketAddress = V4): UdpSocket {
  return closing(t, UdpSocket.bindTo(address));
}

for (const [kind, address] of [
  ['IPv4', V4],
  ['IPv6', V6],
] as const) {
  t.test(`there and back over ${kind}`, async (t) => {
    const before = openDescriptors();
    const server = UdpSocket.bindTo(address);
    const client = UdpSocket.openFor(address);
    const buffer = Buffer.alloc(64);
    t.equal(client.sendTo(Buffer.from('hello'), server.localAddress), undefined);
    const question = server.receiveFrom(buffer);
    t.match(question, { length: 5, truncated: false, from: { address: address.address } });
    t.equal(portOf(question.from), portOf(client.localAddress));
    t.equal(buffer.toString('latin1', 0, 5), 'hello');
    server.sendTo(Buffer.from('hello yourself'), question.from);
    t.same(client.receiveFrom(buffer), { length: 14, truncated: false, from: server.localAddress });
    server.close();
    client.close();
    t.same(openDescriptors(), before);
  });
}

t.test('datagrams keep their borders and their senders', async (t) => {
  const server = bound(t);
  const clients = [bound(t), bound(t), bound(t)];
  for (const round of [1, 2]) {
    for (const [i, client] of clients.entries()) client.sendTo(Buffer.alloc(10 * round + i, i), server.localAddress);
  }
  const buffer = Buffer.alloc(100);
  for (const round of [1, 2]) {
    for (const [i, client] of clients.entries()) {
      const length = 10 * round + i;
      t.same(server.receiveFrom(buffer), { length, truncated: false, from: client.localAddress });
      t.ok(buffer.subarray(0, length).every((byte) => byte === i));
    }
  }
});

t.test('lastSender returns an object that later datagrams do not change', async (t) => {
  const server = bound(t);
  const [first, second] = [bound(t), bound(t)];
  const buffer = Buffer.alloc(8);
  first.sendTo(Buffer.from('1'), server.localAddress);
  second.sendTo(Buffer.from('2'), server.localAddress);
  const { from } = server.receiveFrom(buffer);
  t.same(server.lastSender, first.localAddress);
  server.receiveFrom(buffer);
  t.same(from, first.localAddress);
  t.same(server.lastSender, second.localAddress);
});

t.test('an empty datagram is a datagram', async (t) => {
  const server = bound(t);
  const client = bound(t);
  client.sendTo(Buffer.alloc(0), server.localAddress);
  t.same(server.receiveFrom(Buffer.alloc(8)), { length: 0, truncated: false, from: client.localAddress });
});

t.test('a datagram longer than the buffer is cut, and `truncated` reports it', async (t) => {
  const server = bound(t);
  const client = bound(t);
  const memory = Buffer.alloc(32, 0xa5);
  const buffer = memory.subarray(8, 16);
  for (const [sent, truncated] of [
    [7, false],
    [8, false],
    [9, true],
    [5000, true],
  ] as const) {
    memory.fill(0xa5);
    client.sendTo(Buffer.alloc(sent, 1), server.localAddress);
    client.sendTo(Buffer.from('next'), server.localAddress);
    const length = Math.min(sent, 8);
    t.same(server.receiveFrom(buffer), { length, truncated, from: client.localAddress }, `${sent} bytes`);
    t.equal(memory.indexOf(1), 8);
    t.equal(memory.lastIndexOf(1), 8 + length - 1, 'nothing behind the buffer');
    t.equal(server.receiveFrom(buffer).length, 4, 'the rest is lost and the next one comes whole');
  }
  client.sendTo(Buffer.from('x'), server.localAddress);
  t.match(server.receiveFrom(Buffer.alloc(0)), { length: 0, truncated: true }, 'no room at all');
  client.sendTo(Buffer.alloc(9), server.localAddress);
  t.equal(server.tryReceive(buffer, 0), 9, 'tryReceive answers the true size');
});

t.test('receive brings a datagram in bytes of its own', async (t) => {
  const [server, client] = [bound(t), bound(t)];
  for (const text of ['first', '', 'third']) client.sendTo(Buffer.from(text), server.localAddress);
  const from = client.localAddress;
  const first = server.receive();
  t.same(first, { bytes: Buffer.from('first'), length: 5, truncated: false, from });
  t.same(server.receive(), { bytes: Buffer.alloc(0), length: 0, truncated: false, from });
  t.equal(server.receive().bytes.toString(), 'third');
  t.equal(first.bytes.toString(), 'first', 'a later one does not change it');
});

t.test('receive of the largest, and of more than it was to take', async (t) => {
  const [server, client] = [bound(t, V6), bound(t, V6)];
  client.sendTo(Buffer.alloc(65_527, 7), server.localAddress);
  const largest = server.receive();
  t.match(largest, { length: 65_527, truncated: false });
  t.ok(largest.bytes.every((byte) => byte === 7));
  const cases = [
    [5, 5, false],
    [6, 5, true],
    [1, 0, true],
    [0, 0, false],
  ] as const;
  for (const [sent, maxBytes, truncated] of cases) {
    client.sendTo(Buffer.alloc(sent, 1), server.localAddress);
    t.match(server.receive(maxBytes), { bytes: Buffer.alloc(maxBytes, 1), length: maxBytes, truncated });
  }
  for (const wrong of [-1, 65_536, 1.5, Number.NaN, '5']) {
    t.throws(() => server.receive(wrong as number), {
      name: 'RangeError',
      message: `maxBytes is an integer from 0 to 65535, not ${wrong}`,
    });
  }
});

t.test('MSG_PEEK leaves the datagram where it is', async (t) => {
  const server = bound(t);
  bound(t).sendTo(Buffer.from('abc'), server.localAddress);
  t.equal(server.tryReceive(Buffer.alloc(8), abi.MSG_PEEK), 3);
  t.equal(server.tryReceive(Buffer.alloc(8), 0), 3);
  t.equal(server.tryReceive(Buffer.alloc(8), abi.MSG_DONTWAIT), -abi.EAGAIN);
});

t.test('the largest datagram, and one byte more', async (t) => {
  // 65535 bytes of an IPv4 packet, less 20 for its header and 8 for that of UDP. IPv6 does not count its header.
  for (const [address, largest] of [
    [V4, 65_507],
    [V6, 65_527],
  ] as const) {
    const server = bound(t, address);
    const client = bound(t, address);
    client.sendTo(Buffer.alloc(largest, 7), server.localAddress);
    const buffer = Buffer.alloc(65_536);
    t.match(server.receiveFrom(buffer), { length: largest, truncated: false });
    t.equal(buffer[largest - 1], 7);
    t.throws(() => client.sendTo(Buffer.alloc(largest + 1), server.localAddress), {
      name: 'SystemError',
      code: 'EMSGSIZE',
      errno: -90,
      syscall: 'sendto',
      ...server.localAddress,
    });
  }
});

t.test('connected mode: one peer, and its errors are reported', async (t) => {
  const server = bound(t);
  const client = closing(t, UdpSocket.connectTo(server.localAddress));
  const buffer = Buffer.alloc(16);
  t.same(client.remoteAddress, server.localAddress);
  client.send(Buffer.from('hello'));
  const { from } = server.receiveFrom(buffer);
  t.same(from, client.localAddress);
  bound(t).sendTo(Buffer.from('stranger'), from);
  server.sendTo(Buffer.from('friend'), from);
  t.match(client.receiveFrom(buffer), { length: 6, from: server.localAddress }, 'strangers are not heard');
  t.equal(buffer.toString('latin1', 0, 6), 'friend');

  const peer = server.localAddress;
  server.close();
  client.send(Buffer.from('anybody there?'));
  t.throws(() => client.receiveFrom(buffer), {
    name: 'SystemError',
    code: 'ECONNREFUSED',
    syscall: 'recvfrom',
    ...peer,
  });
  client.send(Buffer.from('and now?'));
  t.throws(() => client.receive(), { code: 'ECONNREFUSED', syscall: 'recvfrom', ...peer });
  client.send(Buffer.from('and now?'));
  t.throws(() => client.send(Buffer.from('hello?')), { code: 'ECONNREFUSED', syscall: 'send', ...peer });
});

t.test('send without a peer', async (t) => {
  t.throws(() => bound(t).send(Buffer.from('x')), { code: 'EDESTADDRREQ', syscall: 'send' });
});

t.test('connect can choose another peer', async (t) => {
  const [first, second] = [bound(t), bound(t)];
  const client = closing(t, UdpSocket.openFor(V4));
  client.connect(first.localAddress);
  client.connect(second.localAddress);
  client.send(Buffer.from('x'));
  t.equal(second.receiveFrom(Buffer.alloc(8)).length, 1);
  t.equal(first.tryReceive(Buffer.alloc(8), abi.MSG_DONTWAIT), -abi.EAGAIN);
  t.throws(() => client.connect({ address: '::1', port: 9 }), { name: 'SystemError', code: 'EAFNOSUPPORT' });
});

t.test('a non-blocking socket returns EAGAIN', async (t) => {
  const socket = closing(t, UdpSocket.bindTo(V4, { nonBlocking: true }));
  t.equal(socket.tryReceive(Buffer.alloc(8), 0), -abi.EAGAIN);
  t.throws(() => socket.receiveFrom(Buffer.alloc(8)), { code: 'EAGAIN', syscall: 'recvfrom' });
});

t.test('Unix datagrams', async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'simplenet-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  const server = bound(t, { path: join(root, 'server') });
  const client = bound(t, { path: join(root, 'client') });
  const buffer = Buffer.alloc(16);
  client.sendTo(Buffer.from('named'), server.localAddress);
  t.same(server.receiveFrom(buffer), { length: 5, truncated: false, from: client.localAddress });
  closing(t, UdpSocket.openFor(server.localAddress)).sendTo(Buffer.from('unnamed'), server.localAddress);
  t.same(server.receiveFrom(buffer), { length: 7, truncated: false, from: { path: '' } });
  t.throws(() => client.sendTo(Buffer.from('x'), { path: join(root, 'none') }), {
    code: 'ENOENT',
    syscall: 'sendto',
    path: join(root, 'none'),
  });
});

t.test('a signal in the middle of a call has no effect', async (t) => {
  const calls: string[] = [];
  const twice = (name: string) => calls.push(name) === 1 || calls.filter((call) => call === name).length === 1;
  const table: Libc = {
    ...libc,
    sendto: (...args) => (twice('sendto') ? -abi.EINTR : libc.sendto(...args)),
    send: (...args) => (twice('send') ? -abi.EINTR : libc.send(...args)),
    recvfrom: (...args) => (twice('recvfrom') ? -abi.EINTR : libc.recvfrom(...args)),
  };
  const socket = closing(t, UdpSocket.bindTo(V4, { libc: table }));
  socket.sendTo(Buffer.from('1'), socket.localAddress);
  t.equal(socket.receiveFrom(Buffer.alloc(8)).length, 1);
  socket.connect(socket.localAddress);
  socket.send(Buffer.from('2'));
  t.same(calls, ['sendto', 'sendto', 'recvfrom', 'recvfrom', 'send', 'send']);
});

t.test('wrong arguments', async (t) => {
  const socket = bound(t);
  const before = openDescriptors();
  for (const port of [-1, 65_536, 1.5, Number.NaN, '80']) {
    t.throws(() => socket.sendTo(Buffer.from('x'), { address: '127.0.0.1', port: port as number }), {
      name: 'RangeError',
      message: /^a port is/,
    });
  }
  t.throws(() => socket.sendTo(Buffer.from('x'), { address: 'localhost', port: 9 }), { name: 'RangeError' });
  t.throws(() => socket.sendTo(Buffer.from('x'), { address: '127.0.0.1', port: 0 }), { code: 'EINVAL', port: 0 });
  t.throws(() => socket.sendTo(Buffer.from('x'), { address: '255.255.255.255', port: 9 }), { name: 'SystemError' });
  for (const bytes of ['text', null, undefined, [1], new ArrayBuffer(8)] as unknown[] as Uint8Array[]) {
    t.throws(() => socket.sendTo(bytes, socket.localAddress), TypeError);
    t.throws(() => socket.send(bytes), TypeError);
    t.throws(() => socket.receiveFrom(bytes), TypeError);
  }
  t.throws(() => UdpSocket.bindTo(socket.localAddress), {
    code: 'EADDRINUSE',
    syscall: 'bind',
    ...socket.localAddress,
  });
  t.same(openDescriptors(), before);
  socket.close();
  t.throws(() => socket.receiveFrom(Buffer.alloc(8)), { code: 'EBADF', syscall: 'recvfrom' });
  t.throws(() => socket.sendTo(Buffer.from('x'), { address: '127.0.0.1', port: 9 }), { code: 'EBADF' });
});
