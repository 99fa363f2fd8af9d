/**
 * SimulatedDatagramSocket: UDP, and Unix datagrams, which differ in that a full queue makes the sender wait.
 *
 * A datagram arrives whole or not at all; one that meets a full queue is dropped. If no socket has the port, the next
 * call of a connected sender returns ECONNREFUSED. Nothing is duplicated or reordered, though UDP may.
 *
 * Next: simulated-epoll.ts
 */

import { constants } from 'node:os';
import {
  AF_UNIX,
  EAGAIN,
  EINVAL,
  EPIPE,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  SHUT_RD,
  SHUT_WR,
  SOCK_DGRAM,
} from '../../simplenet/kernel/abi.ts';
import type { InternetAddress, SocketAddress } from '../../simplenet/kernel/socket-address.ts';
import { EPOLLRDHUP } from './simulated-file.ts';
import { inFamily } from './simulated-network.ts';
import { isInternet, type Received, SimulatedSocket } from './simulated-socket.ts';
import type { Lane } from './simulated-wire.ts';

const { ECONNREFUSED, EDESTADDRREQ, EMSGSIZE, ENOTCONN, EPERM, EPROTOTYPE } = constants.errno;

/** udp(7): 65,535 less the headers of IPv4 and UDP. */
const MAX_BYTES = 65_507;
/** What the kernel charges for a datagram beside its bytes, about. */
const OVERHEAD = 512;
/** unix(7), net.unix.max_dgram_qlen. */
const UNIX_QUEUE = 10;

interface Datagram {
  readonly bytes: Buffer;
  readonly from: SocketAddress | null;
  readonly to: SocketAddress;
}

export class SimulatedDatagramSocket extends SimulatedSocket implements Lane {
  override readonly type = SOCK_DGRAM;
  protected override readonly typeName: string = this.family === AF_UNIX ? 'datagram' : 'udp';
  #incoming: Datagram[] = [];
  #outgoing: Datagram[] = [];

  protected override get stage(): string {
    if (this.remote !== null) return 'connected';
    return this.local === null ? 'new' : 'bound';
  }

  /** datagram_poll in the Linux sources. */
  override readiness(): number {
    let events = this.error === 0 ? 0 : EPOLLERR;
    if (this.isReadShut && this.isWriteShut) events |= EPOLLHUP;
    if (this.isReadShut) events |= EPOLLIN | EPOLLRDHUP;
    if (this.#incoming.length > 0) events |= EPOLLIN;
    if (2 * charge(this.#outgoing) < this.sendBufferBytes && !this.#isPeerFull) events |= EPOLLOUT;
    return events;
  }

  override connect(address: SocketAddress | null): number {
    if (address === null) {
      this.remote = null;
      return 0;
    }
    if (!isInternet(address)) {
      const peer = this.#unixReceiver(address.path);
      if (typeof peer === 'number') return peer;
      this.remote = address;
      return 0;
    }
    const remote = inFamily(this.network.destination(address), this.family);
    const route = this.network.routeTo(remote.address);
    if (route < 0) return route;
    const bound = this.network.autobind(this, remote);
    if (bound < 0) return bound;
    this.remote = remote;
    return 0;
  }

  override shutdown(how: number): number {
    if (how !== SHUT_WR) this.isReadShut = true;
    if (how !== SHUT_RD) this.isWriteShut = true;
    return this.remote === null && this.family !== AF_UNIX ? -ENOTCONN : 0;
  }

  /** Unlike a stream, it tells the error before what had arrived. */
  override receive(target: Uint8Array, isPeek: boolean, wantsTrueLength: boolean): Received {
    if (this.error !== 0) return { result: -this.takeError() };
    const datagram = this.#incoming[0];
    if (datagram === undefined) return { result: this.isReadShut && !this.nonBlocking ? 0 : -EAGAIN };
    if (!isPeek) this.#incoming.shift();
    const part = datagram.bytes.subarray(0, target.length);
    target.set(part);
    const result = wantsTrueLength ? datagram.bytes.length : part.length;
    if (datagram.from === null) return { result };
    return { result, from: isInternet(datagram.from) ? inFamily(datagram.from, this.family) : datagram.from };
  }

  override send(bytes: Uint8Array, to: SocketAddress | null): number {
    if (this.family === AF_UNIX) return this.#sendUnix(bytes, to);
    if (this.local === null) {
      const bound = this.network.autobind(this, null);
      if (bound < 0) return bound;
    }
    if (bytes.length > MAX_BYTES) return -EMSGSIZE;
    const target = (to ?? this.remote) as InternetAddress | null;
    if (target === null) return -EDESTADDRREQ;
    if (target.port === 0) return -EINVAL;
    const remote = inFamily(this.network.destination(target), this.family);
    const route = this.network.routeTo(remote.address);
    if (route < 0) return route;
    if (this.error !== 0) return -this.takeError();
    if (this.isWriteShut) return -EPIPE;
    if (charge(this.#outgoing) >= this.sendBufferBytes) return -EAGAIN;
    this.#outgoing.push({ bytes: Buffer.from(bytes), from: this.#source(remote), to: remote });
    this.network.wire.carry(this);
    return bytes.length;
  }

  override close(): void {
    this.network.release(this);
  }

  get isEmpty(): boolean {
    return this.#outgoing.length === 0;
  }

  get canDeliver(): boolean {
    return this.#outgoing.length > 0;
  }

  deliver(): void {
    const datagram = this.#outgoing.shift() as Datagram;
    const to = datagram.to as InternetAddress;
    if (this.network.isSilent(to.address)) return;
    const receiver = this.network.receiverAt(to, datagram.from as InternetAddress, this.type);
    if (receiver !== null) {
      (receiver as SimulatedDatagramSocket).#arrive(datagram);
    } else if (this.remote !== null) {
      this.error = ECONNREFUSED;
    }
  }

  #arrive(datagram: Datagram): void {
    // Linux looks at what is there already, so one datagram of any size always fits into an empty queue.
    if (charge(this.#incoming) <= this.receiveBufferBytes) this.#incoming.push(datagram);
  }

  /** A socket bound to all addresses sends from the one that leads to the receiver. */
  #source(remote: InternetAddress): InternetAddress {
    const local = this.local as InternetAddress;
    if (local.address !== '0.0.0.0' && local.address !== '::') return local;
    return { address: remote.address === '::1' ? '::1' : '127.0.0.1', port: local.port };
  }

  #sendUnix(bytes: Uint8Array, to: SocketAddress | null): number {
    const target = to ?? this.remote;
    if (target === null || !('path' in target)) return -ENOTCONN;
    if (this.isWriteShut) return -EPIPE;
    const receiver = this.#unixReceiver(target.path);
    if (typeof receiver === 'number') return receiver;
    if (receiver.isReadShut) return -EPIPE;
    if (receiver.#incoming.length >= UNIX_QUEUE) return -EAGAIN;
    receiver.#incoming.push({ bytes: Buffer.from(bytes), from: this.local, to: target });
    return bytes.length;
  }

  get #isPeerFull(): boolean {
    if (this.remote === null || !('path' in this.remote)) return false;
    const peer = this.#unixReceiver(this.remote.path);
    return typeof peer !== 'number' && peer.#incoming.length >= UNIX_QUEUE;
  }

  #unixReceiver(path: string): SimulatedDatagramSocket | number {
    const socket = this.network.findUnix(path, this.type);
    if (typeof socket === 'number') return socket;
    if (!(socket instanceof SimulatedDatagramSocket)) return -EPROTOTYPE;
    // unix(7): a socket connected to somebody takes datagrams from nobody else.
    const isOthers = socket.remote !== null && JSON.stringify(socket.remote) !== JSON.stringify(this.local);
    return isOthers ? -EPERM : socket;
  }
}

function charge(datagrams: readonly Datagram[]): number {
  let bytes = 0;
  for (const datagram of datagrams) bytes += datagram.bytes.length + OVERHEAD;
  return bytes;
}
