/**
 * EpollListener: takes connections off a listening socket whenever epoll says that there are some.
 *
 * Next: socket-udp-port.ts
 */

import { EPOLLIN } from './abi.ts';
import type { EpollHome, EpollMember } from './epoll-stream.ts';
import type { OnConnection } from './event-loop.ts';
import { NetSocket } from './net-socket.ts';
import { SlowStart } from './slow-start.ts';
import { SOCKADDR_MAX_SIZE } from './socket-address.ts';
import { type ListenerHome, SocketListener } from './socket-listener.ts';

export type EpollListenerHome = EpollHome & ListenerHome;

const NO_EVENTS = 0;

/** A sockaddr buffer for accept4(2); what was written is copied out before the next call. */
const peer = new Uint8Array(SOCKADDR_MAX_SIZE);
const peerLength = new Int32Array(1);

export class EpollListener extends SocketListener<EpollListenerHome> implements EpollMember {
  readonly #slowStart: SlowStart;

  constructor(home: EpollListenerHome, socket: NetSocket, onConnection: OnConnection) {
    super(home, socket, onConnection);
    this.#slowStart = new SlowStart(home.acceptsPerTurn);
  }

  onEvents(_events: number, turn: number): void {
    this.#slowStart.run(turn, () => this.#acceptOne());
  }

  settle(): void {
    const { fd } = this.socket;
    this.home.epoll.delete(fd); // a listener may be shared with other processes, for which close(2) changes nothing
    this.socket.close();
    this.home.gone(fd);
  }

  protected override unsettle(): void {
    this.home.unsettled(this);
  }

  protected override startAccepting(): void {
    this.home.epoll.modify(this.socket.fd, EPOLLIN);
  }

  protected override stopAccepting(): void {
    this.home.epoll.modify(this.socket.fd, NO_EVENTS);
  }

  /** Whether it is worth calling again. */
  #acceptOne(): boolean {
    if (this.isClosing || this.isResting) return false;
    peerLength[0] = peer.length;
    const fd = this.socket.tryAccept(peer, peerLength);
    if (fd < 0) return this.refused(fd);
    return this.accepted(new NetSocket(fd, this.socket.libc), peer.slice(0, peerLength[0]));
  }
}
