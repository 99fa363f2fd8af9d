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

import { EPOLLIN, SHUT_RD } from './abi.ts';
import type { OnConnection } from './event-loop.ts';
import type { NetSocket } from './net-socket.ts';
import { type ListenerHome, SocketListener } from './socket-listener.ts';
import type { UringHome, UringMember } from './uring-stream.ts';

export type UringListenerHome = UringHome & ListenerHome;

const READABLE = 1;

export class UringListener extends SocketListener<UringListenerHome> implements UringMember {
  readonly #isShared: boolean;
  /** To SlowStart these follow each other like turns: between them nobody has asked. */
  #times = 0;
  #isWaiting = false;
  #isDeparting = false;

  constructor(home: UringListenerHome, socket: NetSocket, onConnection: OnConnection, isShared: boolean) {
    super(home, socket, onConnection);
    this.#isShared = isShared;
  }

  /** Asks to be told of connections, when this turn ends. */
  startAccepting(): void {
    this.home.unsettled(this);
  }

  onCompletion(): void {
    this.#isWaiting = false;
    this.home.unsettled(this);
    this.accept(++this.#times);
  }

  settle(): void {
    const { fd } = this.socket;
    if (!this.isClosing) {
      if (this.#isWaiting || this.isResting) return;
      this.#isWaiting = true;
      this.home.ring.poll(fd, READABLE, EPOLLIN);
    } else if (!this.#isWaiting) {
      this.socket.close();
      this.home.gone(fd);
    } else if (!this.#isDeparting) {
      this.#isDeparting = true;
      this.home.ring.cancel(fd, READABLE);
      // The request holds on to the socket until it has ended, and clients would still be let in.
      if (!this.#isShared) this.socket.libc.shutdown(fd, SHUT_RD);
    }
  }

  /** What told of the last connection has ended by that. */
  protected override stopAccepting(): void {}
}
