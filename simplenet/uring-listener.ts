/**
 * UringListener: one request that brings a connection each time that one is made, and what becomes of it when descriptors run out
 * (starvation.ts).
 *
 * Next: uring-udp-port.ts
 */

import {
  EAGAIN,
  ECANCELED,
  ECONNABORTED,
  EHOSTUNREACH,
  EINTR,
  EMFILE,
  ENETDOWN,
  ENETUNREACH,
  ENFILE,
  ENOBUFS,
  ENOMEM,
  EOPNOTSUPP,
  EPERM,
  EPROTO,
  SHUT_RD,
} from './abi.ts';
import type { Listener, OnConnection } from './event-loop.ts';
import type { Completion } from './io-uring.ts';
import { NetSocket } from './net-socket.ts';
import { SOCKADDR_MAX_SIZE, type SocketAddress } from './socket-address.ts';
import { Starvation, type StarvationHome } from './starvation.ts';
import { SystemError } from './system-error.ts';
import type { UringHome, UringMember, UringStream } from './uring-stream.ts';

export interface UringListenerHome extends UringHome, StarvationHome {
  /** Puts a connection on the loop. */
  addStream(socket: NetSocket, peer: Uint8Array): UringStream;
}

const ACCEPT = 1;

/** A sockaddr buffer for getpeername(2); what was written is copied out before the next call. */
const peer = new Uint8Array(SOCKADDR_MAX_SIZE);
const peerLength = new Int32Array(1);

export class UringListener implements Listener, UringMember {
  readonly address: SocketAddress;
  readonly #home: UringListenerHome;
  readonly #socket: NetSocket;
  readonly #onConnection: OnConnection;
  /** Another process may hold the socket as well, and go on listening. */
  readonly #isShared: boolean;
  readonly #starvation: Starvation;
  #isAccepting = false;
  #isClosing = false;
  #isDeparting = false;
  #isUnsettled = false;

  constructor(home: UringListenerHome, socket: NetSocket, onConnection: OnConnection, isShared: boolean) {
    this.address = socket.localAddress;
    this.#home = home;
    this.#socket = socket;
    this.#onConnection = onConnection;
    this.#isShared = isShared;
    this.#starvation = new Starvation(home, socket, () => this.#unsettle());
  }

  /** Asks for connections. */
  start(): void {
    this.#unsettle();
  }

  onCompletion({ result, hasMore }: Completion): void {
    if (!hasMore) {
      this.#isAccepting = false;
      this.#unsettle();
    }
    if (result >= 0) this.#accepted(new NetSocket(result, this.#socket.libc));
    else if (!this.#isClosing) this.#refused(result);
  }

  /** Only an error of accept(2) that no waiting can mend is thrown, and then the listener is closed already. */
  onThrow(): void {}

  close(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#starvation.cancel();
    this.#unsettle();
  }

  settle(): void {
    this.#isUnsettled = false;
    const { fd } = this.#socket;
    if (!this.#isClosing) {
      if (this.#isAccepting || this.#starvation.isResting) return;
      this.#isAccepting = true;
      this.#home.ring.accept(fd, ACCEPT);
    } else if (!this.#isAccepting) {
      this.#socket.close();
      this.#home.gone(fd);
    } else if (!this.#isDeparting) {
      this.#isDeparting = true;
      this.#home.ring.cancel(fd, ACCEPT);
      // The socket lives until that has come to pass, and clients would still be let in.
      if (!this.#isShared) this.#socket.libc.shutdown(fd, SHUT_RD);
    }
  }

  #accepted(socket: NetSocket): void {
    peerLength[0] = peer.length;
    // A request for many connections has no room for many addresses. One that is reset already has none any more.
    if (this.#isClosing || socket.libc.getpeername(socket.fd, peer, peerLength) < 0) {
      socket.close();
      return;
    }
    this.#starvation.ended();
    const stream = this.#home.addStream(socket, peer.slice(0, peerLength[0]));
    try {
      stream.handler = this.#onConnection(stream);
    } catch (error) {
      stream.abort();
      this.#home.host.raise(error);
    }
  }

  #refused(result: number): void {
    switch (-result) {
      case EMFILE:
      case ENFILE:
      case ENOBUFS:
      case ENOMEM:
        if (!this.#starvation.isResting) this.#starvation.begin();
        return;
      // accept(2): that connection failed before we took it; the next one may be well.
      case EAGAIN:
      case ECANCELED:
      case EINTR:
      case ECONNABORTED:
      case EPROTO:
      case EPERM:
      case EOPNOTSUPP:
      case ENETDOWN:
      case ENETUNREACH:
      case EHOSTUNREACH:
        return;
      default:
        this.close();
        throw new SystemError('accept', result, this.address);
    }
  }

  #unsettle(): void {
    if (this.#isUnsettled) return;
    this.#isUnsettled = true;
    this.#home.unsettled(this);
  }
}
