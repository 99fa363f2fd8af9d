/**
 * UringListener: one request that brings a connection each time that one is made.
 *
 * Next: uring-udp-port.ts
 */

import { SHUT_RD } from './abi.ts';
import type { OnConnection } from './event-loop.ts';
import type { Completion } from './io-uring.ts';
import { NetSocket } from './net-socket.ts';
import { SOCKADDR_MAX_SIZE } from './socket-address.ts';
import { type ListenerHome, SocketListener } from './socket-listener.ts';
import type { UringHome, UringMember } from './uring-stream.ts';

export type UringListenerHome = UringHome & ListenerHome;

const ACCEPT = 1;

/** A sockaddr buffer for getpeername(2); what was written is copied out before the next call. */
const peer = new Uint8Array(SOCKADDR_MAX_SIZE);
const peerLength = new Int32Array(1);

export class UringListener extends SocketListener<UringListenerHome> implements UringMember {
  /** Another process may hold the socket as well, and go on listening. */
  readonly #isShared: boolean;
  #isAccepting = false;
  #isDeparting = false;
  #isUnsettled = false;

  constructor(home: UringListenerHome, socket: NetSocket, onConnection: OnConnection, isShared: boolean) {
    super(home, socket, onConnection);
    this.#isShared = isShared;
  }

  /** Asks for connections, when this turn ends. */
  startAccepting(): void {
    this.unsettle();
  }

  onCompletion({ result, hasMore }: Completion): void {
    if (!hasMore) {
      this.#isAccepting = false;
      this.unsettle();
    }
    if (result >= 0) this.#connected(new NetSocket(result, this.socket.libc));
    else if (!this.isClosing) this.refused(result);
  }

  settle(): void {
    this.#isUnsettled = false;
    const { fd } = this.socket;
    if (!this.isClosing) {
      if (this.#isAccepting || this.isResting) return;
      this.#isAccepting = true;
      this.home.ring.accept(fd, ACCEPT);
    } else if (!this.#isAccepting) {
      this.socket.close();
      this.home.gone(fd);
    } else if (!this.#isDeparting) {
      this.#isDeparting = true;
      this.home.ring.cancel(fd, ACCEPT);
      // The socket lives until that has come to pass, and clients would still be let in.
      if (!this.#isShared) this.socket.libc.shutdown(fd, SHUT_RD);
    }
  }

  protected override unsettle(): void {
    if (this.#isUnsettled) return;
    this.#isUnsettled = true;
    this.home.unsettled(this);
  }

  /** The request that failed has ended by that. */
  protected override stopAccepting(): void {}

  #connected(socket: NetSocket): void {
    peerLength[0] = peer.length;
    // A request for many connections has no room for many addresses. One that is reset already has none any more.
    const isGone = socket.libc.getpeername(socket.fd, peer, peerLength) < 0;
    if (this.isClosing || isGone) socket.close();
    else this.accepted(socket, peer.slice(0, peerLength[0]));
  }
}
