/**
 * UringUdpPort: a UDP socket on the io_uring loop. The ring tells that datagrams wait, and recvfrom(2) takes them: it says who sent
 * each, and a request for many of them would have to put that into the same buffer. So this is the port of the epoll loop, told
 * of readiness by a ring.
 *
 * Next: uring-loop.ts
 */

import { EPOLLIN } from '../kernel/abi.ts';
import type { UdpHandler } from '../loop/event-loop.ts';
import { SocketUdpPort } from '../loop/socket-udp-port.ts';
import type { SocketFile } from '../sockets/socket-file.ts';
import type { UdpSocket } from '../sockets/udp-socket.ts';
import type { UringContext, UringMember } from './uring-member.ts';
import { UringReadiness } from './uring-readiness.ts';

export class UringUdpPort extends SocketUdpPort implements UringMember {
  readonly #readiness: UringReadiness;

  constructor(context: UringContext, socket: UdpSocket, handler: UdpHandler, file: SocketFile | null) {
    super(context, socket, handler, file);
    this.#readiness = new UringReadiness(context.ring, socket.fd);
  }

  /** Asks for the first datagram. */
  start(): void {
    this.context.turn.settleLater(this);
  }

  onCompletion(): void {
    this.context.turn.settleLater(this);
    this.onEvents(EPOLLIN, this.#readiness.answered());
  }

  override settle(): void {
    if (!this.isClosing) this.#readiness.ask();
    else if (this.#readiness.end()) super.settle();
  }
}
