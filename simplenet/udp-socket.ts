/**
 * UdpSocket: datagrams. Each is sent whole, arrives whole or not at all, in any order.
 *
 * A buffer too small for a datagram loses the rest of it for ever; receive says so (`truncated`) instead of handing over
 * half a message that looks whole.
 *
 * Next: epoll.ts
 */

import { MSG_NOSIGNAL, MSG_TRUNC, SOCK_DGRAM } from './abi.ts';
import { untilUninterrupted } from './interruption.ts';
import { type Libc, libc as processLibc } from './libc.ts';
import { adoptSocket, makeSocket, Socket, type SocketSetup } from './socket.ts';
import { decodeSocketAddress, SOCKADDR_MAX_SIZE, type SocketAddress } from './socket-address.ts';
import { check } from './system-error.ts';

/** A datagram as it came. */
export interface Datagram {
  /** How many bytes of the buffer it filled. */
  readonly length: number;
  /** Whether it was longer than the buffer. */
  readonly truncated: boolean;
  readonly from: SocketAddress;
}

export class UdpSocket extends Socket {
  // The sender's address lands here; one buffer for every datagram of this socket.
  readonly #from = Buffer.alloc(SOCKADDR_MAX_SIZE);
  readonly #fromLength = new Int32Array(1);

  /** socket(2), options and bind(2). */
  static bindTo(address: SocketAddress, setup: SocketSetup = {}): UdpSocket {
    return makeSocket(create, SOCK_DGRAM, address, setup, (socket) => socket.bind(address));
  }

  /** socket(2), options and connect(2): one peer, `send` without an address, datagrams of nobody else, and its errors are told. */
  static connectTo(address: SocketAddress, setup: SocketSetup = {}): UdpSocket {
    return makeSocket(create, SOCK_DGRAM, address, setup, (socket) => socket.connect(address));
  }

  /** socket(2) and options: for the family of that address; the kernel binds it when it first sends. */
  static openFor(address: SocketAddress, setup: SocketSetup = {}): UdpSocket {
    return makeSocket(create, SOCK_DGRAM, address, setup, () => {});
  }

  static adopt(fd: number, libc: Libc = processLibc): UdpSocket {
    return adoptSocket(create, SOCK_DGRAM, fd, libc);
  }

  /** connect(2): nothing is sent; from now on the kernel passes on this peer's datagrams only. */
  connect(address: SocketAddress): void {
    const bytes = this.encode(address);
    check('connect', this.libc.connect(this.fd, bytes, bytes.length), address);
  }

  /** sendto(2). */
  sendTo(bytes: Uint8Array, to: SocketAddress): void {
    check(
      'sendto',
      untilUninterrupted(() => this.trySendTo(bytes, this.encode(to))),
      to,
    );
  }

  /** send(2), in connected mode. */
  send(bytes: Uint8Array): void {
    check(
      'send',
      untilUninterrupted(() => this.libc.send(this.fd, bytes, 0, bytes.byteLength, MSG_NOSIGNAL)),
    );
  }

  /** recvfrom(2): waits for a datagram. */
  receiveFrom(buffer: Uint8Array): Datagram {
    const size = check(
      'recvfrom',
      untilUninterrupted(() => this.tryReceive(buffer, 0)),
    );
    return { length: Math.min(size, buffer.byteLength), truncated: size > buffer.byteLength, from: this.lastSender };
  }

  /** recvfrom(2) that answers the datagram's true size, which may exceed the buffer (MSG_TRUNC), or -errno. */
  tryReceive(buffer: Uint8Array, flags: number): number {
    this.#fromLength[0] = this.#from.length;
    const { libc, fd } = this;
    return libc.recvfrom(fd, buffer, 0, buffer.byteLength, flags | MSG_TRUNC, this.#from, this.#fromLength);
  }

  /** sendto(2) that answers -errno, for an address encoded before. */
  trySendTo(bytes: Uint8Array, to: Uint8Array): number {
    return this.libc.sendto(this.fd, bytes, 0, bytes.byteLength, MSG_NOSIGNAL, to, to.byteLength);
  }

  /** Who sent the datagram that was received last. */
  get lastSender(): SocketAddress {
    return decodeSocketAddress(this.#from, this.#fromLength[0] as number);
  }
}

function create(fd: number, libc: Libc): UdpSocket {
  return new UdpSocket(fd, libc);
}
