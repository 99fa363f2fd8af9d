/**
 * UdpSocket: datagrams. Each is sent whole, arrives whole or not at all, in any order.
 *
 * A buffer too small for a datagram loses the rest of it for ever; whoever receives is told (`truncated`) instead of being
 * handed half a message that looks whole.
 *
 * Next: socket-file.ts
 */

import { MSG_NOSIGNAL, MSG_TRUNC, SOCK_DGRAM } from '../kernel/abi.ts';
import { retryOnEintr } from '../kernel/interruption.ts';
import { type Libc, libc as processLibc } from '../kernel/libc.ts';
import { decodeSocketAddress, SOCKADDR_MAX_SIZE, type SocketAddress } from '../kernel/socket-address.ts';
import { check } from '../kernel/system-error.ts';
import { adoptSocket, makeSocket, Socket, type SocketSetup } from './socket.ts';

/** A datagram as it came. */
export interface Datagram {
  /** How many bytes of the buffer it filled. */
  readonly length: number;
  /** Whether it was longer than the buffer. */
  readonly truncated: boolean;
  readonly from: SocketAddress;
}

/** A datagram with its bytes, which nobody else will write to. */
export interface ReceivedDatagram extends Datagram {
  readonly bytes: Buffer;
}

/** No datagram of UDP is larger than its length field can say. Those of Unix sockets may be. */
const MAX_BYTES = 65_535;

/** Where `receive` receives: a datagram is copied out at its true length, so nobody pays for the largest. */
const scratch = Buffer.allocUnsafeSlow(MAX_BYTES);

export class UdpSocket extends Socket {
  // The sender's address lands here; one buffer for every datagram of this socket.
  readonly #from = Buffer.alloc(SOCKADDR_MAX_SIZE);
  readonly #fromLength = new Int32Array(1);
  /** Whom errors are about, once there is only one. */
  #peer: SocketAddress | undefined;

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
    this.#peer = address;
  }

  /** sendto(2). */
  sendTo(bytes: Uint8Array, to: SocketAddress): void {
    check(
      'sendto',
      retryOnEintr(() => this.trySendTo(bytes, this.encode(to))),
      to,
    );
  }

  /** send(2), in connected mode. */
  send(bytes: Uint8Array): void {
    check(
      'send',
      retryOnEintr(() => this.libc.send(this.fd, bytes, 0, bytes.byteLength, MSG_NOSIGNAL)),
      this.#peer,
    );
  }

  /** recvfrom(2): waits for a datagram, and answers at most `maxBytes` of it. */
  receive(maxBytes: number = MAX_BYTES): ReceivedDatagram {
    const isShort = Number.isInteger(maxBytes) && maxBytes >= 0 && maxBytes <= MAX_BYTES;
    if (!isShort) throw new RangeError(`maxBytes is an integer from 0 to ${MAX_BYTES}, not ${String(maxBytes)}`);
    const { length, truncated, from } = this.receiveFrom(scratch.subarray(0, maxBytes));
    return { bytes: Buffer.from(scratch.subarray(0, length)), length, truncated, from };
  }

  /** recvfrom(2): waits for a datagram, and fills the buffer with it as far as it goes. */
  receiveFrom(buffer: Uint8Array): Datagram {
    const size = check(
      'recvfrom',
      retryOnEintr(() => this.tryReceive(buffer, 0)),
      this.#peer,
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
