/**
 * UdpSocket: datagrams. Each one is sent whole and arrives whole or not at all. They may arrive in another order.
 *
 * If a buffer is too small for a datagram, the rest of the datagram is lost. `truncated` reports that, so that half a message
 * does not pass for a whole one.
 *
 * Next: socket-file.ts
 */

import { MSG_NOSIGNAL, MSG_TRUNC, SOCK_DGRAM } from '../kernel/abi.ts';
import { retryOnEintr } from '../kernel/interruption.ts';
import { type Libc, libc as processLibc } from '../kernel/libc.ts';
import { decodeSocketAddress, SOCKADDR_MAX_SIZE, type SocketAddress } from '../kernel/socket-address.ts';
import { check } from '../kernel/system-error.ts';
import { adoptSocket, makeSocket, Socket, type SocketSetup } from './socket.ts';

/**
 * What is known about a received datagram.
 *
 * ```ts
 * import { type Datagram, formatSocketAddress, UdpSocket } from 'simplenet';
 *
 * const buffer = Buffer.alloc(512);
 * const socket = UdpSocket.bindTo({ address: '127.0.0.1', port: 8080 });
 * const datagram: Datagram = socket.receiveFrom(buffer);
 * console.log(`${formatSocketAddress(datagram.from)} sent ${buffer.subarray(0, datagram.length)}`);
 * ```
 */
export interface Datagram {
  /** How many bytes of the buffer the datagram filled. */
  readonly length: number;
  /** Whether the datagram was longer than the buffer. */
  readonly truncated: boolean;
  readonly from: SocketAddress;
}

/**
 * A datagram with a copy of its bytes, which belongs to the caller.
 *
 * ```ts
 * import { type ReceivedDatagram, UdpSocket } from 'simplenet';
 *
 * const socket = UdpSocket.bindTo({ address: '127.0.0.1', port: 8080 });
 * const { bytes, truncated }: ReceivedDatagram = socket.receive(512);
 * console.log(truncated ? 'longer than 512 bytes' : `${bytes}`);
 * ```
 */
export interface ReceivedDatagram extends Datagram {
  readonly bytes: Buffer;
}

/** The length field of UDP has 16 bits. Datagrams of Unix sockets may be larger. */
const MAX_BYTES = 65_535;

/** `receive` receives into this, then copies the datagram at its true length. So a small datagram does not keep 64 KiB. */
const scratch = Buffer.allocUnsafeSlow(MAX_BYTES);

/**
 * A UDP socket, or a Unix socket for datagrams, whose calls wait.
 *
 * ```ts
 * import { UdpSocket } from 'simplenet';
 *
 * const socket = UdpSocket.bindTo({ address: '127.0.0.1', port: 8080 });
 * for (;;) {
 *   const { bytes, from } = socket.receive();
 *   socket.sendTo(bytes, from); // a responder: on the open network, anyone can forge `from`
 * }
 * ```
 */
export class UdpSocket extends Socket {
  // The kernel writes the sender's address here: one buffer for all datagrams of this socket.
  readonly #from = Buffer.alloc(SOCKADDR_MAX_SIZE);
  readonly #fromLength = new Int32Array(1);
  /** The address in errors, in connected mode. */
  #peer: SocketAddress | undefined;

  /** socket(2), options and bind(2). */
  static bindTo(address: SocketAddress, setup: SocketSetup = {}): UdpSocket {
    return makeSocket(create, SOCK_DGRAM, address, setup, (socket) => socket.bind(address));
  }

  /**
   * socket(2), options and connect(2). A connected socket has one peer: `send` needs no address, the kernel drops datagrams of all
   * other senders, and calls report the errors of the peer, such as ECONNREFUSED.
   */
  static connectTo(address: SocketAddress, setup: SocketSetup = {}): UdpSocket {
    return makeSocket(create, SOCK_DGRAM, address, setup, (socket) => socket.connect(address));
  }

  /** socket(2) and options: an unbound socket of the address's family. The kernel binds it at the first send. */
  static openFor(address: SocketAddress, setup: SocketSetup = {}): UdpSocket {
    return makeSocket(create, SOCK_DGRAM, address, setup, () => {});
  }

  /** Takes ownership of an open descriptor. Throws, and takes nothing, if it is not a socket for datagrams. */
  static adopt(fd: number, libc: Libc = processLibc): UdpSocket {
    return adoptSocket(create, SOCK_DGRAM, fd, libc);
  }

  /** connect(2). It sends nothing. From now on the kernel passes on this peer's datagrams only. */
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

  /** recvfrom(2): waits for a datagram, and returns at most `maxBytes` of it. */
  receive(maxBytes: number = MAX_BYTES): ReceivedDatagram {
    const isInRange = Number.isInteger(maxBytes) && maxBytes >= 0 && maxBytes <= MAX_BYTES;
    if (!isInRange) throw new RangeError(`maxBytes is an integer from 0 to ${MAX_BYTES}, not ${String(maxBytes)}`);
    const { length, truncated, from } = this.receiveFrom(scratch.subarray(0, maxBytes));
    return { bytes: Buffer.from(scratch.subarray(0, length)), length, truncated, from };
  }

  /** recvfrom(2): waits for a datagram, and writes as much of it as fits into the buffer. */
  receiveFrom(buffer: Uint8Array): Datagram {
    const size = check(
      'recvfrom',
      retryOnEintr(() => this.tryReceive(buffer, 0)),
      this.#peer,
    );
    return { length: Math.min(size, buffer.byteLength), truncated: size > buffer.byteLength, from: this.lastSender };
  }

  /** recvfrom(2) that returns -errno, or the true size of the datagram, which may exceed the buffer (MSG_TRUNC). */
  tryReceive(buffer: Uint8Array, flags: number): number {
    this.#fromLength[0] = this.#from.length;
    const { libc, fd } = this;
    return libc.recvfrom(fd, buffer, 0, buffer.byteLength, flags | MSG_TRUNC, this.#from, this.#fromLength);
  }

  /** sendto(2) that returns -errno, for an encoded address. */
  trySendTo(bytes: Uint8Array, to: Uint8Array): number {
    return this.libc.sendto(this.fd, bytes, 0, bytes.byteLength, MSG_NOSIGNAL, to, to.byteLength);
  }

  /** The sender of the last datagram received. */
  get lastSender(): SocketAddress {
    return decodeSocketAddress(this.#from, this.#fromLength[0] as number);
  }
}

function create(fd: number, libc: Libc): UdpSocket {
  return new UdpSocket(fd, libc);
}
