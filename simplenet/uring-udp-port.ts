/**
 * UringUdpPort: a UDP socket on the io_uring loop. The ring tells that datagrams wait, and recvfrom(2) takes them: it says who sent
 * each, and a request for many of them would have to put that into the same buffer. So this is the port of the epoll loop, told
 * of readiness by a ring.
 *
 * Next: uring-loop.ts
 */

import { EPOLLIN } from './abi.ts';
import type { UdpHandler } from './event-loop.ts';
import { SocketUdpPort, type UdpHome } from './socket-udp-port.ts';
import type { UdpSocket } from './udp-socket.ts';
import type { UringHome, UringMember } from './uring-stream.ts';

export type UringUdpHome = UringHome & UdpHome;

const READABLE = 1;

export class UringUdpPort extends SocketUdpPort implements UringMember {
  readonly #home: UringUdpHome;
  readonly #fd: number;
  /** To SlowStart these follow each other like turns: between them nobody has asked. */
  #times = 0;
  #isWaiting = false;
  #isDeparting = false;

  constructor(home: UringUdpHome, socket: UdpSocket, handler: UdpHandler) {
    super(home, socket, handler);
    this.#home = home;
    this.#fd = socket.fd;
  }

  /** Asks for the first datagram. */
  start(): void {
    this.#home.unsettled(this);
  }

  onCompletion(): void {
    this.#isWaiting = false;
    this.#home.unsettled(this);
    this.onEvents(EPOLLIN, ++this.#times);
  }

  override settle(): void {
    if (!this.isClosing) {
      this.#isWaiting = true;
      this.#home.ring.poll(this.#fd, READABLE, EPOLLIN);
    } else if (!this.#isWaiting) {
      super.settle();
    } else if (!this.#isDeparting) {
      this.#isDeparting = true;
      this.#home.ring.cancel(this.#fd, READABLE);
    }
  }
}
