/**
 * UringListener: a listening socket on the io_uring loop. The ring reports that connections wait, and accept4(2) accepts them.
 *
 * The ring could also accept each connection itself (IORING_ACCEPT_MULTISHOT). That saves nothing: it does not report the address of
 * the client, so each connection would need one more call. A multishot accept also takes a descriptor before there is a client, so it
 * fails when descriptors are short. It has no limit per turn. If two processes share the socket, a busy one accepts connections that an
 * idle one could serve at once.
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

  /** Requests a report of waiting connections, at the end of this turn. */
  startAccepting(): void {
    this.context.turn.settleLater(this);
  }

  onCompletion(): void {
    this.context.turn.settleLater(this);
    this.accept(this.#readiness.completed());
  }

  settle(): void {
    if (!this.isClosing) {
      if (!this.isResting) this.#readiness.request();
    } else if (this.socket.isClosed || this.#readiness.end()) {
      this.dispose();
    } else if (!this.isShared) {
      this.setup.file?.remove(); // now, because the next server may start before this one has closed
      this.socket.libc.shutdown(this.socket.fd, SHUT_RD); // the pending request keeps the socket open, and clients could still connect
    }
  }

  /** Nothing to do: each request ends with its report, and `settle` makes a new one only if the listener is not resting. */
  protected override stopAccepting(): void {}
}
