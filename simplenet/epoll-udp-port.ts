/**
 * EpollUdpPort: a UDP socket on the epoll loop.
 *
 * It queues nothing. A datagram for which the kernel has no room is lost, and `send` says so: the network may lose it
 * at any other place as well, so every protocol over UDP is ready for that, and a queue would only make it late.
 *
 * Next: epoll-loop.ts
 */

import { EAGAIN, EINTR, EMSGSIZE, ENOBUFS } from './abi.ts';
import type { EpollMember } from './epoll-stream.ts';
import type { UdpHandler, UdpPort } from './event-loop.ts';
import { untilUninterrupted } from './interruption.ts';
import { SlowStart } from './slow-start.ts';
import type { SocketAddress } from './socket-address.ts';
import type { Home } from './socket-loop.ts';
import { SystemError } from './system-error.ts';
import type { UdpSocket } from './udp-socket.ts';

export interface UdpHome extends Home {
  readonly datagramsPerTurn: number;
  readonly receiveBuffer: Buffer;
  /** Its first `length` bytes. */
  received(length: number): Buffer;
}

export class EpollUdpPort implements UdpPort, EpollMember {
  readonly address: SocketAddress;
  readonly #home: UdpHome;
  readonly #socket: UdpSocket;
  readonly #handler: UdpHandler;
  readonly #slowStart: SlowStart;
  protected isClosing = false;

  constructor(home: UdpHome, socket: UdpSocket, handler: UdpHandler) {
    this.address = socket.localAddress;
    this.#home = home;
    this.#socket = socket;
    this.#handler = handler;
    this.#slowStart = new SlowStart(home.datagramsPerTurn);
  }

  send(bytes: Uint8Array, to: SocketAddress): boolean {
    const sockaddr = this.#socket.encode(to);
    const result = untilUninterrupted(() => this.#socket.trySendTo(bytes, sockaddr));
    if (result === -EAGAIN || result === -ENOBUFS) return false;
    if (result < 0) throw new SystemError('sendto', result, to);
    return true;
  }

  onEvents(_events: number, turn: number): void {
    this.#slowStart.run(turn, () => this.#receiveOne());
  }

  /** A datagram could not be handled. The next one may. */
  onThrow(): void {}

  close(): void {
    if (this.isClosing) return;
    this.isClosing = true;
    this.#home.unsettled(this);
  }

  settle(): void {
    const { fd } = this.#socket;
    this.#socket.close();
    this.#home.gone(fd);
  }

  /** Whether it is worth calling again. */
  #receiveOne(): boolean {
    if (this.isClosing) return false;
    const size = this.#socket.tryReceive(this.#home.receiveBuffer, 0);
    if (size > this.#home.receiveBuffer.length) {
      this.#handler.onError?.(this, new SystemError('recvfrom', -EMSGSIZE, this.#socket.lastSender));
      return true;
    }
    if (size >= 0) {
      this.#handler.onMessage(this, this.#home.received(size), this.#socket.lastSender);
      return true;
    }
    if (size === -EAGAIN || size === -EINTR) return false;
    this.#handler.onError?.(this, new SystemError('recvfrom', size, this.address));
    return true;
  }
}
