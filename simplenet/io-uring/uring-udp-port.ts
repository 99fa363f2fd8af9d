/**
 * UringUdpPort: a UDP socket on the io_uring loop. The ring reports that datagrams wait, and recvfrom(2) receives them.
 *
 * recvfrom(2) also returns the sender. A multishot request of the ring would put the sender into the buffer of the datagram, and each
 * buffer would have to be taken apart. So only the report comes from the ring; all else is SocketUdpPort.
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

  /** Requests a report of the first datagram. */
  start(): void {
    this.context.turn.settleLater(this);
  }

  onCompletion(): void {
    this.context.turn.settleLater(this);
    this.onEvents(EPOLLIN, this.#readiness.completed());
  }

  override settle(): void {
    if (!this.isClosing) this.#readiness.request();
    else if (this.#readiness.end()) super.settle();
  }
}
