/**
 * SocketListener: what every listener has in common, whatever loop it is on: what becomes of a connection, of an error instead of
 * one, and of the clients when descriptors run out (starvation.ts).
 *
 * Next: epoll-stream.ts
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
  EPROTO,
} from './abi.ts';
import type { Listener, OnConnection, Stream } from './event-loop.ts';
import { NetSocket } from './net-socket.ts';
import { SlowStart } from './slow-start.ts';
import { SOCKADDR_MAX_SIZE, type SocketAddress } from './socket-address.ts';
import type { Home, Member } from './socket-loop.ts';
import { Starvation, type StarvationHome } from './starvation.ts';
import { SystemError } from './system-error.ts';

/** What a listener needs from the loop it lives on. */
export interface ListenerHome extends Home, StarvationHome {
  /** Puts a connection on the loop. If it throws, the socket is closed. */
  addStream(socket: NetSocket, peer: Uint8Array): Stream;
}

/** A sockaddr buffer for accept4(2); what was written is copied out before the next call. */
const peer = new Uint8Array(SOCKADDR_MAX_SIZE);
const peerLength = new Int32Array(1);

/** There is nothing left to accept with. */
const starving: readonly number[] = [EMFILE, ENFILE, ENOBUFS, ENOMEM];

/** accept(2): that connection failed before we took it; the next one may be well. */
const lostBefore: readonly number[] = [
  EINTR,
  ECONNABORTED,
  EPROTO,
  EPERM,
  EOPNOTSUPP,
  ENETDOWN,
  ENETUNREACH,
  EHOSTUNREACH,
];

export abstract class SocketListener<H extends ListenerHome> implements Listener, Member {
  readonly address: SocketAddress;
  isUnsettled = false;
  protected readonly home: H;
  protected readonly socket: NetSocket;
  protected isClosing = false;
  readonly #onConnection: OnConnection;
  readonly #slowStart: SlowStart;
  readonly #starvation: Starvation;

  constructor(home: H, socket: NetSocket, onConnection: OnConnection) {
    this.address = socket.localAddress;
    this.home = home;
    this.socket = socket;
    this.#onConnection = onConnection;
    this.#slowStart = new SlowStart(home.acceptsPerTurn);
    this.#starvation = new Starvation(home, socket, () => this.startAccepting());
  }

  abstract settle(): void;
  protected abstract startAccepting(): void;
  protected abstract stopAccepting(): void;

  /** Only an error of accept(2) that no waiting can mend is thrown, and then the listener is closed already. */
  onThrow(): void {}

  close(): void {
    if (this.isClosing) return;
    this.isClosing = true;
    this.#starvation.cancel();
    this.home.unsettled(this);
  }

  protected get isResting(): boolean {
    return this.#starvation.isResting;
  }

  /** Connections wait: takes some of them in. */
  protected accept(turn: number): void {
    this.#slowStart.run(turn, () => this.#acceptOne());
  }

  /** Whether it is worth calling again. */
  #acceptOne(): boolean {
    if (this.isClosing || this.isResting) return false;
    peerLength[0] = peer.length;
    const fd = this.socket.tryAccept(peer, peerLength);
    if (fd < 0) return this.#refused(fd);
    return this.#accepted(new NetSocket(fd, this.socket.libc), peer.slice(0, peerLength[0]));
  }

  #accepted(socket: NetSocket, address: Uint8Array): boolean {
    let stream: Stream;
    try {
      stream = this.home.addStream(socket, address);
    } catch {
      // epoll_ctl(2) has no memory or no watches left: as bad as no descriptor.
      this.#starve();
      return false;
    }
    this.#starvation.ended();
    try {
      stream.handler = this.#onConnection(stream);
    } catch (error) {
      stream.abort();
      this.home.host.raise(error);
    }
    return true;
  }

  #refused(result: number): boolean {
    if (result === -EAGAIN) return false;
    if (lostBefore.includes(-result)) return true;
    if (starving.includes(-result)) {
      this.#starve();
      return false;
    }
    this.close();
    throw new SystemError('accept4', result, this.address);
  }

  #starve(): void {
    this.stopAccepting();
    this.#starvation.begin();
  }
}
