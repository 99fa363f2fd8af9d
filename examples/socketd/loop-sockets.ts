/**
 * LoopSockets: Berkeley sockets on an event loop. With `createStack` as the loop, they are sockets of our own TCP/IP.
 *
 * An event loop pushes: it hands over bytes, connections and datagrams as they come. A socket is pulled: its owner asks for them. So this
 * file turns one shape into the other, for clients that know nothing of it. loop-tcp-socket.ts and loop-udp-socket.ts have the
 * sockets; this file has their numbers, and encodes and decodes what calls of C put into memory.
 */

import {
  abi,
  decodeSocketAddress,
  type EventLoop,
  encodeSocketAddress,
  type SocketAddress,
} from '../../simplenet/index.ts';
import { ALL_LOOP_OPTIONS, type LoopOptionName, LoopOptions } from './loop-options.ts';
import type { LoopSocket } from './loop-socket.ts';
import { type LoopTcpContext, LoopTcpSocket } from './loop-tcp-socket.ts';
import { LoopUdpSocket } from './loop-udp-socket.ts';
import { PartingStreams } from './parting-streams.ts';
import { range, type SocketCalls, type SocketTable } from './socket-table.ts';

const { EAFNOSUPPORT, EBADF, EINVAL, ENODEV, ENOTCONN, EPROTONOSUPPORT } = abi;

/** What the loop has. */
export interface LoopFeatures {
  /** Address families, by default IPv4 and IPv6. */
  readonly families?: readonly number[];
  /** The socket options that the loop honours, by default all. */
  readonly optionNames?: readonly LoopOptionName[];
}

/** What our own TCP/IP has. Its ports are free as soon as their listener closes, so SO_REUSEADDR is what it does anyway. */
export const STACK_FEATURES: LoopFeatures = {
  families: [abi.AF_INET],
  optionNames: ['reuseAddress', 'sendBufferBytes', 'receiveBufferBytes'],
};

/** The struct sockaddr of a family. */
const addressSizes: Readonly<Record<number, number>> = {
  [abi.AF_INET]: abi.SOCKADDR_IN_SIZE,
  [abi.AF_INET6]: abi.SOCKADDR_IN6_SIZE,
};

export class LoopSockets implements SocketTable {
  readonly #context: LoopTcpContext;
  readonly #families: readonly number[];
  readonly #sockets = new Map<number, LoopSocket>();
  #nextNumber = 0;

  /** The table owns the loop, and closes it with itself. */
  constructor(loop: EventLoop, features: LoopFeatures = {}) {
    const { families = [abi.AF_INET, abi.AF_INET6], optionNames = ALL_LOOP_OPTIONS } = features;
    this.#families = families;
    this.#context = { loop, optionNames, parting: new PartingStreams() };
  }

  readonly calls: SocketCalls = {
    socket: (domain, type) => {
      if (!this.#families.includes(domain)) return -EAFNOSUPPORT;
      const kind = type & ~(abi.SOCK_NONBLOCK | abi.SOCK_CLOEXEC);
      if (kind === abi.SOCK_STREAM)
        return this.#add(new LoopTcpSocket(this.#context, domain, new LoopOptions(this.#context.optionNames)));
      if (kind === abi.SOCK_DGRAM) return this.#add(new LoopUdpSocket(this.#context, domain));
      return -EPROTONOSUPPORT;
    },
    bind: (fd, address, length) =>
      this.#withAddress(fd, range(address, 0, length), (socket, decoded) => socket.bind(decoded)),
    listen: (fd, backlog) => this.#with(fd, (socket) => socket.listen(backlog)),
    accept4: (fd, address, addressLength) =>
      this.#with(fd, (socket) => {
        if (address !== null && addressLength !== null) range(address, 0, addressLength[0] as number);
        const accepted = socket.accept();
        if (typeof accepted === 'number') return accepted;
        if (address !== null && addressLength !== null) {
          put(encodeSocketAddress(accepted.from), address, addressLength);
        }
        return this.#add(accepted.socket);
      }),
    connect: (fd, address, length) =>
      this.#withAddress(fd, range(address, 0, length), (socket, decoded) => socket.connect(decoded)),
    shutdown: (fd, how) => this.#with(fd, (socket) => socket.shutdown(how)),
    close: (fd) =>
      this.#with(fd, (socket) => {
        this.#sockets.delete(fd);
        socket.close();
        return 0;
      }),
    recv: (fd, buffer, offset, length, flags) => {
      const into = range(buffer, offset, length);
      return this.#with(fd, (socket) => {
        const received = socket.receive(into, flags);
        return typeof received === 'number' ? received : received.size;
      });
    },
    send: (fd, buffer, offset, length, flags) => {
      const bytes = range(buffer, offset, length);
      return this.#with(fd, (socket) => socket.send(bytes, flags, null));
    },
    recvfrom: (fd, buffer, offset, length, flags, address, addressLength) => {
      const into = range(buffer, offset, length);
      range(address, 0, addressLength[0] as number);
      return this.#with(fd, (socket) => {
        const received = socket.receive(into, flags);
        if (typeof received === 'number') {
          if (received >= 0) addressLength[0] = 0; // TCP: the bytes have no sender but the peer
          return received;
        }
        put(encodeSocketAddress(received.from), address, addressLength);
        return received.size;
      });
    },
    sendto: (fd, buffer, offset, length, flags, address, addressLength) => {
      const bytes = range(buffer, offset, length);
      return this.#withAddress(fd, range(address, 0, addressLength), (socket, to) => socket.send(bytes, flags, to));
    },
    getsockname: (fd, address, length) =>
      this.#with(fd, (socket) => put(encodeSocketAddress(socket.localAddress()), address, length)),
    getpeername: (fd, address, length) =>
      this.#with(fd, (socket) => {
        const peer = socket.remoteAddress();
        return peer === null ? -ENOTCONN : put(encodeSocketAddress(peer), address, length);
      }),
    getsockopt: (fd, level, option, value, length) =>
      this.#with(fd, (socket) => {
        const bytes = socket.getOption(level, option);
        if (typeof bytes === 'number') return bytes;
        // Of an option, Linux writes as much as there is room for, and says how much that was.
        const size = Math.min(bytes.length, length[0] as number);
        return put(bytes.subarray(0, size), value, length);
      }),
    setsockopt: (fd, level, option, value, length) => {
      const bytes = Buffer.from(range(value, 0, length));
      return this.#with(fd, (socket) => socket.setOption(level, option, bytes));
    },
    poll: (fds) => {
      const pollfd = Buffer.from(fds.buffer, fds.byteOffset, fds.byteLength);
      const socket = this.#sockets.get(pollfd.readInt32LE(0));
      const events = socket === undefined ? abi.POLLNVAL : socket.poll(pollfd.readInt16LE(4));
      pollfd.writeInt16LE(events, 6);
      return events === 0 ? 0 : 1;
    },
    fcntl: (fd, command) => this.#with(fd, () => (command === abi.F_GETFL ? abi.O_RDWR | abi.O_NONBLOCK : -EINVAL)),
    if_nametoindex: () => -ENODEV,
  };

  whenReady(fd: number, events: number, callback: () => void): void {
    this.#sockets.get(fd)?.whenReady(events, callback);
  }

  forget(fd: number): void {
    this.#sockets.get(fd)?.forget();
  }

  close(): void {
    for (const socket of this.#sockets.values()) socket.close();
    this.#sockets.clear();
    this.#context.loop.close();
  }

  #add(socket: LoopSocket): number {
    const number = this.#nextNumber++;
    this.#sockets.set(number, socket);
    return number;
  }

  #with(fd: number, call: (socket: LoopSocket) => number): number {
    const socket = this.#sockets.get(fd);
    return socket === undefined ? -EBADF : call(socket);
  }

  #withAddress(fd: number, bytes: Uint8Array, call: (socket: LoopSocket, address: SocketAddress) => number): number {
    return this.#with(fd, (socket) => {
      if (bytes.length < (addressSizes[socket.family] as number)) return -EINVAL;
      const family = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).readUInt16LE(0);
      if (family !== socket.family) return -EAFNOSUPPORT;
      return call(socket, decodeSocketAddress(bytes, bytes.length));
    });
  }
}

/** Writes a value-result argument: the value as far as there is room, and its true length. Returns 0. */
function put(value: Buffer, into: Uint8Array, length: Int32Array): number {
  range(into, 0, length[0] as number).set(value.subarray(0, length[0]));
  length[0] = value.length;
  return 0;
}
