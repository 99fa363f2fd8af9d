/**
 * UringListener: a listening socket on the io_uring loop. The ring tells that connections wait, and accept4(2) takes them.
 *
 * The ring could accept by itself, and for each connection that comes (IORING_ACCEPT_MULTISHOT). That saves nothing, as it cannot
 * say who connects, which then takes a call of its own. And it takes too much: a descriptor before there is a client, so that
 * running out of them is noticed all the time; connections without bound in one turn; and, where two processes share the
 * socket, the connections that a busy one has no time for and an idle one would have.
 *
 * Next: uring-udp-port.ts
 */

import { SHUT_RD } from '../kernel/abi.ts';
import type { ListenerSetup } from '../loop/member.ts';
import { SocketListener } from '../loop/socket-listener.ts';
import type { NetSocket } from '../sockets/net-socket.ts';
import type { UringContext, UringMember } from './uring-member.ts';
import { UringReadiness } from './uring-readiness.ts';

export class UringListener extends SocketListener<UringContext> implements UringMember {
  readonly #readiness: UringReadiness;

  constructor(context: UringContext, socket: NetSocket, setup: ListenerSetup) {
    super(context, socket, setup);
    this.#readiness = new UringReadiness(context.ring, socket.fd);
  }

  /** Asks to be told of connections, when this turn ends. */
  startAccepting(): void {
    this.context.turn.settleLater(this);
  }

  onCompletion(): void {
    this.context.turn.settleLater(this);
    this.accept(this.#readiness.answered());
  }

  settle(): void {
    if (!this.isClosing) {
      if (!this.isResting) this.#readiness.ask();
    } else if (this.socket.isClosed || this.#readiness.end()) {
      this.dispose();
    } else if (!this.setup.isShared) {
      this.setup.file?.remove(); // now, and not with the socket: the next server may be started as soon as this one is stopped
      this.socket.libc.shutdown(this.socket.fd, SHUT_RD); // the request holds on to the socket, and clients would still be let in
    }
  }

  /** What told of the last connection has ended by that. */
  protected override stopAccepting(): void {}
}
