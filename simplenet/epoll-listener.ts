/**
 * EpollListener: takes connections off a listening socket, and lives through having no descriptor left for them.
 *
 * When accept4(2) answers EMFILE the connection stays in the kernel's queue and the listener stays readable, so a loop
 * that just tries again burns a whole core and helps nobody. Here the listener rests for a moment, in which a descriptor
 * may come free. If none does, the waiting clients are turned away: a spare descriptor, kept open for this hour, is
 * given up so that each of them can be accepted and closed. They learn at once what else they would wait for in vain.
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
  O_CLOEXEC,
  O_RDONLY,
} from './abi.ts';
import { Descriptor } from './descriptor.ts';
import type { EpollStream, Home, Watched } from './epoll-stream.ts';
import type { Listener, OnConnection } from './event-loop.ts';
import type { Alarm, Host } from './host.ts';
import type { Libc } from './libc.ts';
import { NetSocket } from './net-socket.ts';
import { SlowStart } from './slow-start.ts';
import { SOCKADDR_MAX_SIZE, type SocketAddress } from './socket-address.ts';
import { check, SystemError } from './system-error.ts';

/** What a listener needs from the loop it lives in. */
export interface ListenerHome extends Home {
  readonly host: Host;
  readonly spare: SpareDescriptor;
  /** Those that wait for a descriptor: to be woken when one comes free. */
  readonly resting: Set<EpollListener>;
  readonly acceptsPerTurn: number;
  /** How long a listener waits for a descriptor to come free. */
  readonly acceptRestMs: number;
  /** Puts a connection on the loop. */
  addStream(socket: NetSocket, peer: Uint8Array): EpollStream;
}

/** A descriptor that does nothing but keep its number from others, until it is needed. */
export class SpareDescriptor {
  readonly #libc: Libc;
  #held: Descriptor;

  constructor(libc: Libc) {
    this.#libc = libc;
    this.#held = new Descriptor(check('open', this.#open()), libc);
  }

  /** Frees the number while `use` runs. Does nothing where another thread has snatched it earlier. */
  lend(use: () => void): void {
    this.#held.close();
    use();
    const fd = this.#open();
    if (fd >= 0) this.#held = new Descriptor(fd, this.#libc);
  }

  close(): void {
    this.#held.close();
  }

  #open(): number {
    return this.#libc.open('/dev/null', O_RDONLY | O_CLOEXEC);
  }
}

const NO_EVENTS = 0;

/** A sockaddr buffer for accept4(2); what was written is copied out before the next call. */
const peer = new Uint8Array(SOCKADDR_MAX_SIZE);
const peerLength = new Int32Array(1);

export class EpollListener implements Listener, Watched {
  readonly address: SocketAddress;
  readonly #home: ListenerHome;
  readonly #socket: NetSocket;
  readonly #onConnection: OnConnection;
  readonly #slowStart: SlowStart;
  #rest: Alarm | null = null;
  /** When the last rest ended without a descriptor having come free. */
  #restedInVainAt = Number.NEGATIVE_INFINITY;
  #isClosing = false;

  constructor(home: ListenerHome, socket: NetSocket, onConnection: OnConnection) {
    this.address = socket.localAddress;
    this.#home = home;
    this.#socket = socket;
    this.#onConnection = onConnection;
    this.#slowStart = new SlowStart(home.acceptsPerTurn);
  }

  onEvents(_events: number, turn: number): void {
    this.#slowStart.run(turn, () => this.#acceptOne());
  }

  /** Only an error of accept4(2) that no waiting can mend is thrown, and then the listener is closed already. */
  onThrow(): void {}

  /** Ends the rest: it is over, or a descriptor came free. */
  wake(): void {
    this.#endRest();
    this.#home.epoll.modify(this.#socket.fd, EPOLLIN);
  }

  close(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#endRest();
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
    if (this.#isClosing || this.#rest !== null) return false;
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
    this.#restedInVainAt = Number.NEGATIVE_INFINITY;
    try {
      stream.handler = this.#onConnection(stream);
    } catch (error) {
      stream.abort();
      this.#home.host.raise(error);
    }
    return true;
  }

  #starve(): void {
    const wasInVain = this.#home.host.now() - this.#restedInVainAt < this.#home.acceptRestMs;
    if (wasInVain) this.#home.spare.lend(() => this.#turnAway());
    this.#home.epoll.modify(this.#socket.fd, NO_EVENTS);
    this.#home.resting.add(this);
    this.#rest = this.#home.host.alarm(this.#home.acceptRestMs, () => {
      this.#restedInVainAt = this.#home.host.now();
      this.wake();
    });
  }

  #endRest(): void {
    this.#rest?.cancel();
    this.#rest = null;
    this.#home.resting.delete(this);
  }

  #turnAway(): void {
    for (let i = 0; i < this.#home.acceptsPerTurn; i++) {
      const fd = this.#tryAccept();
      if (fd < 0) return;
      new Descriptor(fd, this.#socket.libc).close();
    }
  }
}
