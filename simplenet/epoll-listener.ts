/**
 * EpollListener: takes connections off a listening socket, and lives through having no descriptor left for them (starvation.ts).
 *
 * Next: epoll-udp-port.ts
 */

import {
  EAGAIN,
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
  EPOLLIN,
  EPROTO,
} from './abi.ts';
import type { EpollHome, EpollMember, EpollStream } from './epoll-stream.ts';
import type { Listener, OnConnection } from './event-loop.ts';
import { NetSocket } from './net-socket.ts';
import { SlowStart } from './slow-start.ts';
import { SOCKADDR_MAX_SIZE, type SocketAddress } from './socket-address.ts';
import { Starvation, type StarvationHome } from './starvation.ts';
import { SystemError } from './system-error.ts';

/** What a listener needs from the loop it lives in. */
export interface ListenerHome extends EpollHome, StarvationHome {
  /** Puts a connection on the loop. */
  addStream(socket: NetSocket, peer: Uint8Array): EpollStream;
}

const NO_EVENTS = 0;

/** A sockaddr buffer for accept4(2); what was written is copied out before the next call. */
const peer = new Uint8Array(SOCKADDR_MAX_SIZE);
const peerLength = new Int32Array(1);

export class EpollListener implements Listener, EpollMember {
  readonly address: SocketAddress;
  readonly #home: ListenerHome;
  readonly #socket: NetSocket;
  readonly #onConnection: OnConnection;
  readonly #slowStart: SlowStart;
  readonly #starvation: Starvation;
  #isClosing = false;

  constructor(home: ListenerHome, socket: NetSocket, onConnection: OnConnection) {
    this.address = socket.localAddress;
    this.#home = home;
    this.#socket = socket;
    this.#onConnection = onConnection;
    this.#slowStart = new SlowStart(home.acceptsPerTurn);
    this.#starvation = new Starvation(home, socket, () => home.epoll.modify(socket.fd, EPOLLIN));
  }

  onEvents(_events: number, turn: number): void {
    this.#slowStart.run(turn, () => this.#acceptOne());
  }

  /** Only an error of accept4(2) that no waiting can mend is thrown, and then the listener is closed already. */
  onThrow(): void {}

  close(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#starvation.cancel();
    this.#home.unsettled(this);
  }

  settle(): void {
    const { fd } = this.#socket;
    this.#home.epoll.delete(fd); // a listener may be shared with other processes, for which close(2) changes nothing
    this.#socket.close();
    this.#home.gone(fd);
  }

  /** Whether it is worth calling again. */
  #acceptOne(): boolean {
    if (this.#isClosing || this.#starvation.isResting) return false;
    const fd = this.#tryAccept();
    if (fd >= 0) return this.#accepted(fd);
    switch (-fd) {
      case EAGAIN:
        return false;
      case EMFILE:
      case ENFILE:
      case ENOBUFS:
      case ENOMEM:
        this.#starve();
        return false;
      // accept(2): that connection failed before we took it; the next one may be well.
      case EINTR:
      case ECONNABORTED:
      case EPROTO:
      case EPERM:
      case EOPNOTSUPP:
      case ENETDOWN:
      case ENETUNREACH:
      case EHOSTUNREACH:
        return true;
      default:
        this.close();
        throw new SystemError('accept4', fd, this.address);
    }
  }

  /** Leaves the peer's address in `peer`. */
  #tryAccept(): number {
    peerLength[0] = peer.length;
    return this.#socket.tryAccept(peer, peerLength);
  }

  #accepted(fd: number): boolean {
    const socket = new NetSocket(fd, this.#socket.libc);
    let stream: EpollStream;
    try {
      stream = this.#home.addStream(socket, peer.slice(0, peerLength[0]));
    } catch {
      // epoll_ctl(2) has no memory or no watches left: as bad as no descriptor. The connection has been closed.
      this.#starve();
      return false;
    }
    this.#starvation.ended();
    try {
      stream.handler = this.#onConnection(stream);
    } catch (error) {
      stream.abort();
      this.#home.host.raise(error);
    }
    return true;
  }

  #starve(): void {
    this.#home.epoll.modify(this.#socket.fd, NO_EVENTS);
    this.#starvation.begin();
  }
}
