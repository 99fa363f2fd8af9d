/**
 * The sockets of socketd's clients, by the calls of socket-table.ts. Each scenario runs on the kernel, so it says what Linux does, and on
 * sockets that are made of an event loop, so these do the same. Then come the limits that only the latter have.
 */

import { constants } from 'node:os';
import { type Test, test } from 'tap';
import { KernelSockets } from '../../examples/socketd/kernel-sockets.ts';
import { LoopSockets, STACK_FEATURES } from '../../examples/socketd/loop-sockets.ts';
import { MAX_BACKLOG, MAX_WAITING_BYTES } from '../../examples/socketd/loop-tcp-socket.ts';
import {
  DATAGRAM_COST,
  MAX_WAITING_BYTES as MAX_WAITING_DATAGRAM_BYTES,
} from '../../examples/socketd/loop-udp-socket.ts';
import { MAX_PARTING, PartingStreams } from '../../examples/socketd/parting-streams.ts';
import type { SocketTable } from '../../examples/socketd/socket-table.ts';
import { type Backend, createEventLoop } from '../../simplenet/create-event-loop.ts';
import * as abi from '../../simplenet/kernel/abi.ts';
import {
  decodeSocketAddress,
  encodeSocketAddress,
  portOf,
  type SocketAddress,
} from '../../simplenet/kernel/socket-address.ts';
import { SystemError } from '../../simplenet/kernel/system-error.ts';
import type { EventLoop, Stream, StreamHandler, UdpHandler, UdpPort } from '../../simplenet/loop/event-loop.ts';
import { createWire } from '../../simplenet/tcpip/link/simulated-wire.ts';
import { createStack } from '../../simplenet/tcpip/stack.ts';

import { noUring } from '../support/backends.ts';

const { errno } = constants;
const { IPPROTO_TCP, POLLERR, POLLHUP, POLLIN, POLLOUT, SHUT_RD, SHUT_RDWR, SHUT_WR, SOL_SOCKET } = abi;
const SOCKADDR_ROOM = 128;

/** As much as a request of a client holds. */
const MAX_SEND = 65_536;

/** More than fits between two ends. Its pattern is no divisor of a piece, so a piece that is missing or comes twice shows. */
const LARGE = Buffer.alloc(16_000_000, 'a pattern of 23 letters');

/** A client of a table: calls with arguments that are easier to write, and waits. */
class Client {
  readonly table: SocketTable;

  constructor(table: SocketTable) {
    this.table = table;
  }

  socket(type = abi.SOCK_STREAM): number {
    return this.table.calls.socket(abi.AF_INET, type | abi.SOCK_NONBLOCK, 0);
  }

  bind(fd: number, address: SocketAddress): number {
    const bytes = encodeSocketAddress(address);
    return this.table.calls.bind(fd, bytes, bytes.length);
  }

  connect(fd: number, address: SocketAddress): number {
    const bytes = encodeSocketAddress(address);
    return this.table.calls.connect(fd, bytes, bytes.length);
  }

  listen(fd: number, backlog = 16): number {
    return this.table.calls.listen(fd, backlog);
  }

  close(fd: number): number {
    return this.table.calls.close(fd);
  }

  shutdown(fd: number, how: number): number {
    return this.table.calls.shutdown(fd, how);
  }

  nameOf(fd: number, which: 'getsockname' | 'getpeername' = 'getsockname'): SocketAddress | number {
    const [bytes, length] = [Buffer.alloc(SOCKADDR_ROOM), new Int32Array([SOCKADDR_ROOM])];
    const result = this.table.calls[which](fd, bytes, length);
    return result < 0 ? result : decodeSocketAddress(bytes, length[0] as number);
  }

  getOption(fd: number, level: number, option: number): number {
    const bytes = Buffer.alloc(4);
    const result = this.table.calls.getsockopt(fd, level, option, bytes, new Int32Array([4]));
    return result < 0 ? result : bytes.readInt32LE(0);
  }

  setOption(fd: number, level: number, option: number, ...values: number[]): number {
    const bytes = Buffer.from(new Int32Array(values).buffer);
    return this.table.calls.setsockopt(fd, level, option, bytes, bytes.length);
  }

  /** The events that the socket has, of all that poll(2) reports. */
  poll(fd: number): number {
    const pollfd = Buffer.alloc(abi.POLLFD_SIZE);
    pollfd.writeInt32LE(fd, 0);
    pollfd.writeInt16LE(POLLIN | POLLOUT, 4);
    const result = this.table.calls.poll(pollfd, 1, 0);
    const events = pollfd.readInt16LE(6);
    if ((result === 0) !== (events === 0)) throw new Error(`poll returns ${result} for the events ${events}`);
    return events;
  }

  ready(fd: number, events: number): Promise<void> {
    return new Promise((resolve) => this.table.whenReady(fd, events, resolve));
  }

  /** recv(2) that does not wait: the text, or -errno. */
  tryRecv(fd: number, length = 100, flags = 0): string | number {
    const buffer = Buffer.alloc(length);
    const result = this.table.calls.recv(fd, buffer, 0, length, flags);
    return result < 0 ? result : buffer.toString('latin1', 0, Math.min(length, result));
  }

  async recv(fd: number, length = 100, flags = 0): Promise<string | number> {
    for (;;) {
      const result = this.tryRecv(fd, length, flags);
      if (result !== -errno.EAGAIN) return result;
      await this.ready(fd, POLLIN);
    }
  }

  /** All that comes, up to the end. */
  async recvAll(fd: number): Promise<string> {
    const pieces: string[] = [];
    for (;;) {
      const piece = await this.recv(fd, 65_536);
      if (typeof piece === 'number') throw new Error(`recv returns ${piece}`);
      if (piece === '') return pieces.join('');
      pieces.push(piece);
    }
  }

  trySend(fd: number, bytes: string | Buffer): number {
    const buffer = Buffer.from(bytes);
    return this.table.calls.send(fd, buffer, 0, buffer.length, abi.MSG_NOSIGNAL);
  }

  sendTo(fd: number, bytes: string | Buffer, to: SocketAddress): number {
    const [buffer, address] = [Buffer.from(bytes), encodeSocketAddress(to)];
    return this.table.calls.sendto(fd, buffer, 0, buffer.length, abi.MSG_NOSIGNAL, address, address.length);
  }

  async recvFrom(fd: number, length = 100, flags = 0): Promise<[size: number, text: string, from: SocketAddress]> {
    const [buffer, address, room] = [
      Buffer.alloc(length),
      Buffer.alloc(SOCKADDR_ROOM),
      new Int32Array([SOCKADDR_ROOM]),
    ];
    for (;;) {
      const size = this.table.calls.recvfrom(fd, buffer, 0, length, flags, address, room);
      if (size >= 0) {
        return [
          size,
          buffer.toString('latin1', 0, Math.min(size, length)),
          decodeSocketAddress(address, room[0] as number),
        ];
      }
      if (size !== -errno.EAGAIN) throw new Error(`recvfrom returns ${size}`);
      await this.ready(fd, POLLIN);
    }
  }

  async accept(listener: number): Promise<[fd: number, from: SocketAddress]> {
    const [bytes, length] = [Buffer.alloc(SOCKADDR_ROOM), new Int32Array([SOCKADDR_ROOM])];
    for (;;) {
      const fd = this.table.calls.accept4(listener, bytes, length, abi.SOCK_NONBLOCK);
      if (fd >= 0) return [fd, decodeSocketAddress(bytes, length[0] as number)];
      if (fd !== -errno.EAGAIN) throw new Error(`accept4 returns ${fd}`);
      await this.ready(listener, POLLIN);
    }
  }

  /** Waits until the connection is made or has failed, and returns what connect(2) says then. */
  async connected(fd: number, address: SocketAddress): Promise<number> {
    const first = this.connect(fd, address);
    if (first !== -errno.EINPROGRESS) return first;
    await this.ready(fd, POLLOUT);
    return this.connect(fd, address);
  }
}

/** The two ends of a scenario. On one host they are the same client. */
interface Ends {
  readonly server: Client;
  readonly client: Client;
  /** That of the server. */
  readonly host: string;
}

function listening({ server, host }: Ends, backlog?: number): [listener: number, address: SocketAddress] {
  const fd = server.socket();
  const results = [server.bind(fd, { address: host, port: 0 }), server.listen(fd, backlog)];
  if (results.some((result) => result !== 0)) throw new Error(`bind, listen: ${results}`);
  return [fd, server.nameOf(fd) as SocketAddress];
}

/** A connection: the server's end and the client's. */
async function pair(ends: Ends): Promise<[server: number, client: number, listener: number]> {
  const { server, client } = ends;
  const [listener, address] = listening(ends);
  const there = client.socket();
  const result = client.connected(there, address);
  const [here] = await server.accept(listener);
  if ((await result) !== 0) throw new Error(`connect: ${await result}`);
  return [here, there, listener];
}

/** A loop closes its listener when the turn ends. */
function turn(): Promise<void> {
  return new Promise(setImmediate);
}

/** The address of a port on which nobody listens. */
async function deserted(ends: Ends): Promise<SocketAddress> {
  const [listener, address] = listening(ends);
  ends.server.close(listener);
  await turn();
  return address;
}

type Scenario = (t: Test, ends: Ends) => Promise<void>;

const scenarios: Readonly<Record<string, Scenario>> = {
  async 'a connection, whose two ends know each other'(t, ends) {
    const { server, client } = ends;
    const [listener, address] = listening(ends);
    t.ok(portOf(address) > 0);
    t.equal(server.table.calls.accept4(listener, null, null, 0), -errno.EAGAIN);
    t.equal(server.poll(listener), 0);
    const there = client.socket();
    t.equal(client.nameOf(there, 'getpeername'), -errno.ENOTCONN);
    t.equal(await client.connected(there, address), 0);
    const [here, from] = await server.accept(listener);
    t.same(from, client.nameOf(there));
    t.same(server.nameOf(here, 'getpeername'), from);
    t.same(server.nameOf(here), address);
    t.same(client.nameOf(there, 'getpeername'), address);
    t.equal(client.connect(there, address), -errno.EISCONN);
    t.equal(server.poll(here), POLLOUT);
    t.equal(client.getOption(there, SOL_SOCKET, abi.SO_ERROR), 0);
  },

  async 'bytes, peeked at and taken in pieces, up to the end of one direction and of the other'(t, ends) {
    const { server, client } = ends;
    const [here, there] = await pair(ends);
    t.equal(server.tryRecv(here), -errno.EAGAIN);
    t.equal(client.trySend(there, 'hello world'), 11);
    t.equal(await server.recv(here, 5, abi.MSG_PEEK), 'hello');
    t.equal(await server.recv(here, 4), 'hell');
    t.equal(server.poll(here), POLLIN | POLLOUT);
    t.equal(await server.recv(here, 1), 'o');
    t.equal(await server.recv(here), ' world');
    t.equal(client.shutdown(there, SHUT_WR), 0);
    t.equal(client.trySend(there, 'x'), -errno.EPIPE);
    t.equal(await server.recv(here), '');
    t.equal(await server.recv(here), '', 'and once more');
    t.equal(server.poll(here), POLLIN | POLLOUT);
    t.equal(server.trySend(here, 'still open'), 10);
    t.equal(await client.recv(there), 'still open');
    t.equal(server.close(here), 0);
    t.equal(await client.recv(there), '');
    t.equal(client.poll(there) & (POLLIN | POLLOUT | POLLHUP), POLLIN | POLLOUT | POLLHUP);
    t.equal(server.close(here), -errno.EBADF);
  },

  async 'a port on which nobody listens: the error comes once, and the socket can connect elsewhere'(t, ends) {
    const { server, client } = ends;
    const nobody = await deserted(ends);
    const fd = client.socket();
    t.equal(await client.connected(fd, nobody), -errno.ECONNREFUSED);
    const [listener, address] = listening(ends);
    t.equal(await client.connected(fd, address), 0);
    const [here] = await server.accept(listener);
    t.equal(client.trySend(fd, 'second try'), 10);
    t.equal(await server.recv(here), 'second try');
  },

  async 'a refused connection, asked for by poll and SO_ERROR'(t, ends) {
    const { client } = ends;
    const nobody = await deserted(ends);
    const fd = client.socket();
    const first = client.connect(fd, nobody);
    t.ok([-errno.EINPROGRESS, -errno.ECONNREFUSED].includes(first));
    await client.ready(fd, POLLOUT);
    t.equal(client.poll(fd), POLLIN | POLLOUT | POLLERR | POLLHUP);
    t.equal(client.getOption(fd, SOL_SOCKET, abi.SO_ERROR), errno.ECONNREFUSED);
    t.equal(client.getOption(fd, SOL_SOCKET, abi.SO_ERROR), 0, 'reading it has cleared it');
    t.equal(client.poll(fd), POLLIN | POLLOUT | POLLHUP);
    t.equal(client.connect(fd, nobody), -errno.ECONNABORTED);
  },

  async 'a reset: the bytes before it come first, then ECONNRESET once, then the end'(t, ends) {
    const { server, client } = ends;
    const [here, there] = await pair(ends);
    t.equal(client.trySend(there, 'last words'), 10);
    await server.ready(here, POLLIN);
    t.equal(client.setOption(there, SOL_SOCKET, abi.SO_LINGER, 1, 0), 0);
    t.equal(client.close(there), 0);
    await server.ready(here, POLLHUP);
    t.equal(server.poll(here), POLLIN | POLLOUT | POLLERR | POLLHUP);
    t.equal(await server.recv(here), 'last words');
    t.equal(await server.recv(here), -errno.ECONNRESET);
    t.equal(await server.recv(here), '');
    t.equal(server.trySend(here, 'x'), -errno.EPIPE);
    t.equal(server.nameOf(here, 'getpeername'), -errno.ENOTCONN);
    t.equal(server.shutdown(here, SHUT_WR), -errno.ENOTCONN);
  },

  async 'a reset is reported by send as well'(t, ends) {
    const { server, client } = ends;
    const [here, there] = await pair(ends);
    client.setOption(there, SOL_SOCKET, abi.SO_LINGER, 1, 0);
    client.close(there);
    await server.ready(here, POLLHUP);
    t.equal(server.trySend(here, 'x'), -errno.ECONNRESET);
    t.equal(server.trySend(here, 'x'), -errno.EPIPE);
    t.equal(server.tryRecv(here), '');
  },

  async 'close with unread bytes resets the connection'(t, ends) {
    const { server, client } = ends;
    const [here, there] = await pair(ends);
    client.trySend(there, 'unread');
    await server.ready(here, POLLIN);
    server.close(here);
    t.equal(await client.recv(there), -errno.ECONNRESET);
  },

  async 'a listener that closes resets the connections that nobody has accepted'(t, ends) {
    const { server, client } = ends;
    const [listener, address] = listening(ends);
    const fd = client.socket();
    t.equal(await client.connected(fd, address), 0);
    await server.ready(listener, POLLIN);
    server.close(listener);
    t.equal(await client.recv(fd), -errno.ECONNRESET);
    await turn();
    t.equal(await client.connected(client.socket(), address), -errno.ECONNREFUSED);
  },

  async 'calls in the wrong state'(t, ends) {
    const { server, client, host } = ends;
    const fd = server.socket();
    t.equal(server.poll(fd), POLLOUT | POLLHUP);
    t.equal(server.tryRecv(fd), -errno.ENOTCONN);
    t.equal(server.trySend(fd, 'x'), -errno.EPIPE);
    t.equal(server.table.calls.accept4(fd, null, null, 0), -errno.EINVAL);
    t.equal(server.shutdown(fd, SHUT_RDWR), -errno.ENOTCONN);
    t.equal(server.shutdown(fd, 3), -errno.EINVAL);
    t.same(server.nameOf(fd), { address: '0.0.0.0', port: 0 });
    const [here, there, listener] = await pair(ends);
    t.equal(server.bind(listener, { address: host, port: 0 }), -errno.EINVAL);
    t.equal(server.connect(listener, { address: host, port: 1 }), -errno.EISCONN);
    t.equal(server.tryRecv(listener), -errno.ENOTCONN);
    t.equal(server.trySend(listener, 'x'), -errno.EPIPE);
    t.equal(server.nameOf(listener, 'getpeername'), -errno.ENOTCONN);
    t.equal(server.listen(listener), 0, 'the backlog may change');
    t.equal(server.listen(here), -errno.EINVAL);
    t.equal(client.listen(there), -errno.EINVAL);
    t.equal(server.table.calls.accept4(here, null, null, 0), -errno.EINVAL);
    t.equal(server.listen(9_999), -errno.EBADF);
    t.equal(server.poll(9_999), abi.POLLNVAL);
  },

  async 'shutdown of a listener: it does not listen any more'(t, ends) {
    const { server, client } = ends;
    const [listener, address] = listening(ends);
    t.equal(server.shutdown(listener, SHUT_WR), 0, 'which means nothing');
    const first = client.connected(client.socket(), address);
    await server.accept(listener);
    t.equal(await first, 0);
    t.equal(server.shutdown(listener, SHUT_RD), 0);
    t.equal(server.table.calls.accept4(listener, null, null, 0), -errno.EINVAL);
    await turn();
    t.equal(await client.connected(client.socket(), address), -errno.ECONNREFUSED);
  },

  async 'shutdown of reading'(t, ends) {
    const { server, client } = ends;
    const [here, there] = await pair(ends);
    client.trySend(there, 'before');
    await server.ready(here, POLLIN);
    t.equal(server.shutdown(here, SHUT_RD), 0);
    t.equal(server.poll(here), POLLIN | POLLOUT);
    t.equal(await server.recv(here), 'before');
    t.equal(await server.recv(here), '');
    t.equal(server.trySend(here, 'after'), 5);
    t.equal(await client.recv(there), 'after');
  },

  async 'an address that is in use'(t, ends) {
    const { server } = ends;
    const [, address] = listening(ends);
    const second = server.socket();
    t.equal(server.bind(second, address) || server.listen(second), -errno.EADDRINUSE);
    const [udp, other] = [server.socket(abi.SOCK_DGRAM), server.socket(abi.SOCK_DGRAM)];
    t.equal(server.bind(udp, { ...address, port: 0 } as SocketAddress), 0);
    t.equal(server.bind(other, server.nameOf(udp) as SocketAddress), -errno.EADDRINUSE);
    t.equal(server.bind(other, { address: '192.0.2.1', port: 0 }), -errno.EADDRNOTAVAIL);
  },

  async 'what is not an address'(t, { server, host }) {
    const { calls } = server.table;
    const fd = server.socket();
    const bytes = encodeSocketAddress({ address: host, port: 0 });
    t.equal(calls.bind(fd, bytes, 0), -errno.EINVAL);
    const ofIpv6 = encodeSocketAddress({ address: '::1', port: 0 });
    t.equal(calls.bind(fd, ofIpv6, ofIpv6.length), -errno.EAFNOSUPPORT);
    const ofUnix = encodeSocketAddress({ path: '/a' });
    t.equal(calls.connect(server.socket(abi.SOCK_DGRAM), ofUnix, ofUnix.length), -errno.EINVAL, 'too short');
    t.throws(() => calls.bind(fd, bytes, 17), RangeError);
    t.throws(() => calls.recv(fd, bytes, 0, 17, 0), RangeError);
    t.throws(() => calls.send(fd, bytes, -1, 4, 0), RangeError);
    t.throws(() => calls.getsockname(fd, bytes, new Int32Array([-1])), RangeError);
    t.throws(() => calls.accept4(fd, bytes, new Int32Array([17]), 0), RangeError);
  },

  async 'an address is written as far as there is room, with its true length'(t, ends) {
    const [listener] = listening(ends);
    const [bytes, length] = [Buffer.alloc(16, 0xee), new Int32Array([4])];
    t.equal(ends.server.table.calls.getsockname(listener, bytes, length), 0);
    t.equal(length[0], 16);
    t.same(bytes.subarray(4), Buffer.alloc(12, 0xee));
  },

  async 'a writer without a reader is stopped, and goes on when the reader does'(t, ends) {
    const { server, client } = ends;
    const [here, there] = await pair(ends);
    let sent = 0;
    let isFull = () => {};
    const full = new Promise<void>((resolve) => {
      isFull = resolve;
    });
    const write = async () => {
      while (sent < LARGE.length) {
        const size = client.trySend(there, LARGE.subarray(sent, sent + MAX_SEND));
        sent += Math.max(0, size);
        if (size >= 0) continue;
        if (size !== -errno.EAGAIN) throw new Error(`send returns ${size}`);
        isFull();
        await client.ready(there, POLLOUT);
      }
      client.shutdown(there, SHUT_WR);
    };
    const written = write();
    await full;
    t.ok(sent < LARGE.length, `${sent} bytes fill what is between the two`);
    t.equal(client.poll(there) & POLLOUT, 0);
    t.ok((await server.recvAll(here)) === LARGE.toString('latin1'), 'every byte, once and in its place');
    await written;
  },

  async 'what send has taken arrives, although the socket is closed at once'(t, ends) {
    const { server, client } = ends;
    const [here, there] = await pair(ends);
    let sent = 0;
    for (let size = 0; size >= 0; sent += Math.max(0, size)) {
      size = client.trySend(there, LARGE.subarray(sent, sent + MAX_SEND));
    }
    client.close(there);
    t.ok((await server.recvAll(here)) === LARGE.toString('latin1', 0, sent));
  },

  async options(t, ends) {
    const { server, client } = ends;
    const fd = server.socket();
    t.equal(server.getOption(fd, SOL_SOCKET, abi.SO_TYPE), abi.SOCK_STREAM);
    t.equal(server.getOption(fd, SOL_SOCKET, abi.SO_DOMAIN), abi.AF_INET);
    t.equal(server.getOption(fd, SOL_SOCKET, abi.SO_ACCEPTCONN), 0);
    t.equal(server.getOption(fd, SOL_SOCKET, abi.SO_REUSEADDR), 0);
    t.equal(server.setOption(fd, SOL_SOCKET, abi.SO_REUSEADDR, 7), 0);
    t.equal(server.getOption(fd, SOL_SOCKET, abi.SO_REUSEADDR), 1);
    t.equal(server.table.calls.setsockopt(fd, SOL_SOCKET, abi.SO_REUSEADDR, Buffer.alloc(3), 3), -errno.EINVAL);
    t.equal(server.table.calls.setsockopt(fd, SOL_SOCKET, abi.SO_LINGER, Buffer.alloc(7), 7), -errno.EINVAL);
    t.equal(server.getOption(fd, SOL_SOCKET, 9_999), -errno.ENOPROTOOPT);
    t.equal(server.setOption(fd, SOL_SOCKET, 9_999, 1), -errno.ENOPROTOOPT);
    t.equal(server.setOption(fd, SOL_SOCKET, abi.SO_LINGER, 1, 0), 0);
    t.equal(server.getOption(fd, SOL_SOCKET, abi.SO_LINGER), 1);
    const [listener, address] = listening(ends);
    t.equal(server.getOption(listener, SOL_SOCKET, abi.SO_ACCEPTCONN), 1);
    server.setOption(listener, SOL_SOCKET, abi.SO_LINGER, 1, 0);
    const connecting = client.connected(client.socket(), address);
    const [here] = await server.accept(listener);
    t.equal(await connecting, 0);
    t.equal(server.getOption(here, SOL_SOCKET, abi.SO_LINGER), 1, 'inherited');
    const udp = server.socket(abi.SOCK_DGRAM);
    t.equal(server.getOption(udp, SOL_SOCKET, abi.SO_TYPE), abi.SOCK_DGRAM);
  },

  async 'datagrams with their senders'(t, ends) {
    const { server, client, host } = ends;
    const [here, there] = [server.socket(abi.SOCK_DGRAM), client.socket(abi.SOCK_DGRAM)];
    t.equal(server.bind(here, { address: host, port: 0 }), 0);
    t.equal(server.bind(here, { address: host, port: 0 }), -errno.EINVAL);
    const address = server.nameOf(here) as SocketAddress;
    t.equal(server.tryRecv(here), -errno.EAGAIN);
    t.equal(client.trySend(there, 'to whom'), -errno.EDESTADDRREQ);
    t.equal(client.sendTo(there, 'a longer datagram', address), 17, 'the socket has a port now');
    const [size, text, from] = await server.recvFrom(here, 8, abi.MSG_PEEK | abi.MSG_TRUNC);
    t.same([size, text, portOf(from)], [17, 'a longer', portOf(client.nameOf(there) as SocketAddress)]);
    t.same((await server.recvFrom(here, 8)).slice(0, 2), [8, 'a longer'], 'the rest is lost');
    t.equal(server.poll(here), POLLOUT);
    t.equal(server.sendTo(here, '', from), 0);
    t.same(await client.recvFrom(there), [0, '', address]);
    t.equal(client.sendTo(there, Buffer.alloc(65_508), address), -errno.EMSGSIZE);
    t.equal(server.listen(here), -errno.EOPNOTSUPP);
    t.equal(server.table.calls.accept4(here, null, null, 0), -errno.EOPNOTSUPP);
    t.equal(server.shutdown(here, SHUT_WR), -errno.ENOTCONN);
    t.equal(server.close(here), 0);
  },

  async 'a connected UDP socket has one peer'(t, ends) {
    const { server, client, host } = ends;
    const sockets = [server, client, server].map((end) => end.socket(abi.SOCK_DGRAM)) as [number, number, number];
    const [here, there, stranger] = sockets;
    for (const fd of [here, stranger]) server.bind(fd, { address: host, port: 0 });
    const address = server.nameOf(here) as SocketAddress;
    t.equal(client.nameOf(there, 'getpeername'), -errno.ENOTCONN);
    t.equal(client.connect(there, address), 0);
    t.same(client.nameOf(there, 'getpeername'), address);
    t.equal(client.trySend(there, 'question'), 8);
    const [, , from] = await server.recvFrom(here);
    server.sendTo(stranger, 'forged', from);
    server.sendTo(here, 'answer', from);
    t.equal(await client.recv(there), 'answer');
    t.equal(client.tryRecv(there), -errno.EAGAIN);
  },

  async 'sendto and recvfrom on TCP: there is no other peer'(t, ends) {
    const { server, client } = ends;
    const [here, there] = await pair(ends);
    t.equal(client.sendTo(there, 'hello', { address: '192.0.2.1', port: 1 }), 5);
    await server.ready(here, POLLIN);
    const [buffer, address, room] = [Buffer.alloc(5), Buffer.alloc(16), new Int32Array([16])];
    t.equal(server.table.calls.recvfrom(here, buffer, 0, 5, 0, address, room), 5);
    t.same([buffer.toString(), room[0]], ['hello', 0]);
  },

  async 'a wait that is forgotten does not come back'(t, ends) {
    const { server, client } = ends;
    const [here, there] = await pair(ends);
    server.table.whenReady(here, POLLIN, () => t.fail('forgotten before it was ready'));
    server.table.forget(here);
    server.table.whenReady(here, POLLOUT, () => t.fail('forgotten when it was ready'));
    server.table.forget(here);
    client.trySend(there, 'x');
    t.equal(await server.recv(here), 'x');
  },

  async 'unknown families and types'(t, { server }) {
    t.equal(server.table.calls.socket(999, abi.SOCK_STREAM, 0), -errno.EAFNOSUPPORT);
    t.ok(server.table.calls.socket(abi.AF_INET, 9, 0) < 0);
    t.ok(server.table.calls.if_nametoindex('no-such-interface') < 0);
    t.equal(server.table.calls.fcntl(server.socket(), abi.F_GETFL, 0), abi.O_RDWR | abi.O_NONBLOCK);
  },
};

/** Two ends on one host. */
function onOneHost(table: SocketTable): Ends {
  const client = new Client(table);
  return { server: client, client, host: '127.0.0.1' };
}

function onEventLoop(t: Test, backend: Backend = 'epoll'): Ends {
  const table = new LoopSockets(createEventLoop({ backend }));
  t.teardown(() => table.close());
  return onOneHost(table);
}

const worlds: Readonly<Record<string, (t: Test) => Ends>> = {
  'sockets of the kernel'(t) {
    const table = new KernelSockets();
    const open = new Set<number>();
    const keep = (fd: number): number => {
      if (fd >= 0) open.add(fd);
      return fd;
    };
    const { calls } = table;
    t.teardown(() => {
      for (const fd of open) calls.close(fd);
      table.close();
    });
    return onOneHost({
      calls: {
        ...calls,
        socket: (...args) => keep(calls.socket(...args)),
        accept4: (...args) => keep(calls.accept4(...args)),
        close: (fd) => (open.delete(fd) ? calls.close(fd) : -errno.EBADF),
      },
      whenReady: (fd, events, callback) => table.whenReady(fd, events, callback),
      forget: (fd) => table.forget(fd),
      close: () => {},
    });
  },
  'sockets on the epoll loop': onEventLoop,
  ...(noUring === false ? { 'sockets on the io_uring loop': (t: Test) => onEventLoop(t, 'io_uring') } : {}),
  'sockets on two stacks of our own'(t) {
    const [server, client] = createWire().map((link, index) => {
      const table = new LoopSockets(createStack({ link, address: `10.9.0.${index + 1}/24` }), STACK_FEATURES);
      t.teardown(() => table.close());
      return new Client(table);
    }) as [Client, Client];
    return { server, client, host: '10.9.0.1' };
  },
};

for (const [world, make] of Object.entries(worlds)) {
  for (const [name, run] of Object.entries(scenarios)) test(`${name} (${world})`, (t) => run(t, make(t)));
}

test('the same on the io_uring loop', { skip: noUring }, async (t) => {
  t.ok('sockets on the io_uring loop' in worlds);
});

// What only sockets on an event loop have.

test('so many connections wait as the backlog says, and one; the next is reset', async (t) => {
  const ends = onEventLoop(t);
  const { server, client } = ends;
  for (const [backlog, places] of [
    [2, 3],
    [0, 1],
    [1_000, MAX_BACKLOG + 1],
    [-1, MAX_BACKLOG + 1],
  ] as const) {
    const [listener, address] = listening(ends, backlog);
    const fds: number[] = [];
    for (let count = 0; count < places; count++) {
      const fd = client.socket();
      fds.push(fd);
      t.equal(await client.connected(fd, address), 0);
    }
    const tooMany = client.socket();
    await client.connected(tooMany, address);
    t.equal(await client.recv(tooMany), -errno.ECONNRESET);
    for (const fd of fds) t.equal(client.tryRecv(fd), -errno.EAGAIN, 'it waits');
    for (const fd of [...fds, listener]) client.close(fd);
    await turn();
    t.equal(server.table.calls.accept4(listener, null, null, 0), -errno.EBADF);
  }
});

test('a connection that comes between bind and listen is reset', async (t) => {
  const ends = onEventLoop(t);
  const { server, client, host } = ends;
  const listener = server.socket();
  server.bind(listener, { address: host, port: 0 });
  const address = server.nameOf(listener) as SocketAddress;
  const early = client.socket();
  await client.connected(early, address);
  t.equal(await client.recv(early), -errno.ECONNRESET);
  t.equal(server.connect(listener, address), -errno.EOPNOTSUPP, 'the loop would choose another port');
  t.equal(server.listen(listener), 0);
  const late = client.connected(client.socket(), address);
  await server.accept(listener);
  t.equal(await late, 0);
});

test('listen without bind takes any port of any address', async (t) => {
  const { server, client } = onEventLoop(t);
  const listener = server.socket();
  t.equal(server.listen(listener), 0);
  const { address, port } = server.nameOf(listener) as { address: string; port: number };
  t.equal(address, '0.0.0.0');
  t.equal(await client.connected(client.socket(), { address: '127.0.0.1', port }), 0);
});

test('a loop takes its options when it opens something: after that they are refused, unless they say what is so already', async (t) => {
  const ends = onEventLoop(t);
  const { server, client, host } = ends;
  const listener = server.socket();
  t.equal(server.getOption(listener, SOL_SOCKET, abi.SO_RCVBUF), -errno.ENOPROTOOPT, 'the loop has one of its own');
  t.equal(server.setOption(listener, IPPROTO_TCP, abi.TCP_NODELAY, 1), 0);
  t.equal(server.setOption(listener, SOL_SOCKET, abi.SO_RCVBUF, 32_768), 0);
  server.bind(listener, { address: host, port: 0 });
  server.listen(listener);
  t.equal(server.setOption(listener, IPPROTO_TCP, abi.TCP_NODELAY, 5), 0);
  t.equal(server.setOption(listener, IPPROTO_TCP, abi.TCP_NODELAY, 0), -errno.EOPNOTSUPP);
  t.equal(server.setOption(listener, SOL_SOCKET, abi.SO_RCVBUF, 32_768), 0);
  t.equal(server.setOption(listener, SOL_SOCKET, abi.SO_RCVBUF, 32_769), -errno.EOPNOTSUPP);
  t.equal(server.setOption(listener, SOL_SOCKET, abi.SO_LINGER, 1, 60), -errno.EOPNOTSUPP, 'close cannot wait');
  const connecting = client.connected(client.socket(), server.nameOf(listener) as SocketAddress);
  const [here] = await server.accept(listener);
  t.equal(await connecting, 0);
  t.equal(server.getOption(here, IPPROTO_TCP, abi.TCP_NODELAY), 1, 'inherited');
  t.equal(server.getOption(here, SOL_SOCKET, abi.SO_RCVBUF), 32_768);
  t.equal(server.setOption(here, SOL_SOCKET, abi.SO_KEEPALIVE, 0), 0, 'it is off');
  t.equal(server.setOption(here, SOL_SOCKET, abi.SO_KEEPALIVE, 1), -errno.EOPNOTSUPP);
  const udp = server.socket(abi.SOCK_DGRAM);
  t.equal(server.setOption(udp, IPPROTO_TCP, abi.TCP_NODELAY, 1), -errno.ENOPROTOOPT);
  t.equal(server.setOption(udp, SOL_SOCKET, abi.SO_BROADCAST, 1), 0);
  t.equal(server.bind(udp, { address: host, port: 0 }), 0);
  t.equal(server.setOption(udp, SOL_SOCKET, abi.SO_BROADCAST, 0), -errno.EOPNOTSUPP);
});

test('TCP has no MSG_TRUNC here, and a connected UDP socket no shutdown', async (t) => {
  const ends = onEventLoop(t);
  const { server, client } = ends;
  const [here] = await pair(ends);
  t.equal(server.tryRecv(here, 1, abi.MSG_TRUNC), -errno.EOPNOTSUPP);
  const udp = client.socket(abi.SOCK_DGRAM);
  client.connect(udp, { address: '127.0.0.1', port: 9 });
  t.equal(client.shutdown(udp, SHUT_WR), -errno.EOPNOTSUPP);
});

/** A loop of one stream and one UDP port, which do what the test says. */
class FakeLoop {
  readonly calls: string[] = [];
  queuedBytes = 0;
  streamHandler: StreamHandler | null = null;
  udpHandler: UdpHandler | null = null;
  refusal: Error | null = null;

  readonly loop = {
    connect: (_address: SocketAddress, handler: StreamHandler) => {
      if (this.refusal !== null) throw this.refusal;
      return this.stream(handler);
    },
    bindUdp: (address: SocketAddress, handler: UdpHandler) => {
      this.udpHandler = handler;
      return { address, send: () => false, close: () => {} };
    },
    close: () => this.calls.push('close the loop'),
  } as unknown as EventLoop;

  stream(handler: StreamHandler): Stream {
    const note = (what: string) => () => void this.calls.push(what);
    const fake = this;
    this.streamHandler = handler;
    return {
      localAddress: { address: '10.0.0.1', port: 2 },
      remoteAddress: { address: '10.0.0.2', port: 1 },
      get queuedBytes() {
        return fake.queuedBytes;
      },
      set handler(value: StreamHandler) {
        fake.streamHandler = value;
      },
      write: (bytes: Uint8Array) => note(`write ${bytes.length}`)(),
      pause: note('pause'),
      resume: note('resume'),
      close: note('close'),
      abort: note('abort'),
      setDeadline: (ms: number) => note(`deadline ${ms}`)(),
    } as unknown as Stream;
  }
}

const FAKE_PEER = { address: '10.0.0.2', port: 1 };

/** A connection on a loop that does what the test says. */
function fakeConnection(): { fake: FakeLoop; client: Client; fd: number; stream: Stream; handler: StreamHandler } {
  const fake = new FakeLoop();
  const client = new Client(new LoopSockets(fake.loop));
  const fd = client.socket();
  client.connect(fd, FAKE_PEER);
  const handler = fake.streamHandler as StreamHandler;
  const stream = fake.stream(handler);
  handler.onOpen?.(stream);
  return { fake, client, fd, stream, handler };
}

test('a stream is paused when so many bytes wait, and resumed when the client has taken some', async (t) => {
  const { fake, client, fd, stream, handler } = fakeConnection();
  handler.onData(stream, Buffer.alloc(MAX_WAITING_BYTES - 1));
  t.same(fake.calls, []);
  handler.onData(stream, Buffer.alloc(1));
  t.same(fake.calls, ['pause']);
  t.equal(client.tryRecv(fd, 1, abi.MSG_PEEK), '\0');
  t.same(fake.calls, ['pause'], 'nothing is taken');
  t.equal(client.tryRecv(fd, 1), '\0');
  t.same(fake.calls, ['pause', 'resume']);
});

test('nothing is taken from the client while the stream has a queue', async (t) => {
  const { fake, client, fd, stream, handler } = fakeConnection();
  t.equal(client.trySend(fd, 'abc'), 3);
  fake.queuedBytes = 1;
  t.equal(client.trySend(fd, 'abc'), -errno.EAGAIN);
  let isReady = false;
  client.table.whenReady(fd, POLLOUT, () => {
    isReady = true;
  });
  await turn();
  t.equal(isReady, false);
  fake.queuedBytes = 0;
  handler.onDrain?.(stream);
  await turn();
  t.equal(isReady, true);
  t.same(fake.calls, ['write 3']);
});

test('while it connects: EALREADY, no bytes either way, no event; then connect returns 0 once', async (t) => {
  const fake = new FakeLoop();
  const client = new Client(new LoopSockets(fake.loop));
  const fd = client.socket();
  t.equal(client.connect(fd, FAKE_PEER), -errno.EINPROGRESS);
  t.equal(client.connect(fd, FAKE_PEER), -errno.EALREADY);
  t.equal(client.trySend(fd, 'x'), -errno.EAGAIN);
  t.equal(client.tryRecv(fd), -errno.EAGAIN);
  t.equal(client.poll(fd), 0);
  t.equal(client.shutdown(fd, SHUT_WR), -errno.ENOTCONN);
  t.equal(client.nameOf(fd, 'getpeername'), -errno.ENOTCONN);
  t.same(client.nameOf(fd), { address: '10.0.0.1', port: 2 });
  const handler = fake.streamHandler as StreamHandler;
  handler.onOpen?.(fake.stream(handler));
  t.equal(client.connect(fd, FAKE_PEER), 0);
  t.equal(client.connect(fd, FAKE_PEER), -errno.EISCONN);
});

test('what the loop refuses is the result of the call; a mistake of the program is not hidden', async (t) => {
  const fake = new FakeLoop();
  const client = new Client(new LoopSockets(fake.loop));
  const fd = client.socket();
  fake.refusal = new SystemError('connect', -errno.ENETUNREACH);
  t.equal(client.connect(fd, FAKE_PEER), -errno.ENETUNREACH);
  fake.refusal = new RangeError('not a port');
  t.throws(() => client.connect(fd, FAKE_PEER), RangeError);
  fake.refusal = null;
  t.equal(client.connect(fd, FAKE_PEER), -errno.EINPROGRESS, 'the socket can still connect');
  client.close(fd);
  t.same(fake.calls, ['abort']);
});

test(`${MAX_PARTING} closed sockets may still have bytes to send; the next one resets the oldest`, async (t) => {
  const fake = new FakeLoop();
  fake.queuedBytes = 1;
  const parting = new PartingStreams();
  const streams = Array.from({ length: MAX_PARTING + 1 }, () => fake.stream(parting)) as [Stream, ...Stream[]];
  const last = streams.pop() as Stream;
  for (const stream of streams) parting.add(stream);
  t.same(new Set(fake.calls), new Set(['deadline 60000']));
  fake.calls.length = 0;
  parting.add(last);
  t.same(fake.calls, ['abort', 'deadline 60000']);
  for (const stream of streams) parting.onClose(stream);
  fake.calls.length = 0;
  parting.add(streams[0]);
  t.same(fake.calls, ['deadline 60000'], 'there is room again');
  parting.onData(last);
  parting.onTimeout(last);
  parting.onEnd();
  t.same(fake.calls.splice(0), ['deadline 60000', 'abort', 'abort']);
  fake.queuedBytes = 0;
  parting.onDrain(last);
  parting.onTimeout(last);
  parting.add(last);
  t.same(fake.calls, ['close', 'close', 'close']);
});

test('datagrams wait up to so many bytes, with what each costs; the next is lost', async (t) => {
  for (const size of [0, 1_000]) {
    const fake = new FakeLoop();
    const client = new Client(new LoopSockets(fake.loop));
    const fd = client.socket(abi.SOCK_DGRAM);
    client.bind(fd, { address: '10.0.0.1', port: 2 });
    const room = Math.floor(MAX_WAITING_DATAGRAM_BYTES / (size + DATAGRAM_COST));
    for (let count = 0; count <= room; count++) {
      fake.udpHandler?.onMessage({} as UdpPort, Buffer.alloc(size, count & 0xff), FAKE_PEER);
    }
    const received: (string | number)[] = [];
    for (let next = client.tryRecv(fd); next !== -errno.EAGAIN; next = client.tryRecv(fd)) received.push(next);
    t.equal(received.length, room);
    fake.udpHandler?.onMessage({} as UdpPort, Buffer.from('room again'), FAKE_PEER);
    t.equal(client.tryRecv(fd), 'room again');
  }
});

test('an error that UDP reports later is that of the next call, once', async (t) => {
  const fake = new FakeLoop();
  const client = new Client(new LoopSockets(fake.loop));
  const fd = client.socket(abi.SOCK_DGRAM);
  t.equal(client.sendTo(fd, 'lost', FAKE_PEER), 4, 'as UDP may lose it anywhere');
  const fail = () => fake.udpHandler?.onError?.({} as UdpPort, new SystemError('recvfrom', -errno.ECONNREFUSED));
  fail();
  t.equal(client.poll(fd), POLLOUT | POLLERR);
  t.equal(client.sendTo(fd, 'x', FAKE_PEER), -errno.ECONNREFUSED);
  t.equal(client.sendTo(fd, 'x', FAKE_PEER), 1);
  const waiting = client.ready(fd, POLLIN);
  fail();
  await waiting;
  t.equal(client.tryRecv(fd), -errno.ECONNREFUSED);
  t.equal(client.tryRecv(fd), -errno.EAGAIN);
});

test('a loop has the families and options that it is said to have', async (t) => {
  const fake = new FakeLoop();
  const table = new LoopSockets(fake.loop, { families: [abi.AF_INET], optionNames: ['reuseAddress'] });
  for (const family of [abi.AF_INET6, abi.AF_UNIX]) {
    t.equal(table.calls.socket(family, abi.SOCK_STREAM, 0), -errno.EAFNOSUPPORT);
  }
  const client = new Client(table);
  const fd = client.socket();
  t.equal(client.setOption(fd, SOL_SOCKET, abi.SO_REUSEADDR, 1), 0);
  t.equal(client.setOption(fd, IPPROTO_TCP, abi.TCP_NODELAY, 1), -errno.ENOPROTOOPT);
  t.equal(client.getOption(fd, IPPROTO_TCP, abi.TCP_NODELAY), -errno.ENOPROTOOPT);
  client.connect(fd, FAKE_PEER);
  table.close();
  t.same(fake.calls, ['abort', 'close the loop']);
  t.equal(client.close(fd), -errno.EBADF);
});

test('an IPv6 socket has an IPv6 address', async (t) => {
  const { table } = onEventLoop(t).server;
  const fd = table.calls.socket(abi.AF_INET6, abi.SOCK_STREAM, 0);
  t.same(new Client(table).nameOf(fd), { address: '::', port: 0 });
});
