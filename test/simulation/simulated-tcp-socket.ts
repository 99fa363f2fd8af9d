/**
 * SimulatedTcpSocket: one end of a TCP connection, or a listener. It is also the lane of what it sends.
 *
 * Sent bytes stay in the send buffer until they arrive, and arrive while the peer's receive buffer has room. FIN follows
 * the last byte; RST throws away what has not arrived yet. What has arrived stays readable even after an RST. A socket
 * that is closed lives on without a descriptor until its last bytes and its FIN have arrived, and answers bytes that come
 * for it meanwhile with RST: that is how a program that closes too early destroys its own answer.
 *
 * There are no packets here: no loss, no Nagle, no urgent data, no keep-alive, and an address in TIME_WAIT is free.
 * linux-scenarios.ts holds all of it to what Linux does.
 *
 * Next: simulated-unix-socket.ts
 */

import { constants } from 'node:os';
import {
  EAGAIN,
  ECONNABORTED,
  ECONNRESET,
  EINPROGRESS,
  EINVAL,
  EPIPE,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  IPPROTO_TCP,
  SHUT_RD,
  SHUT_WR,
  SK_MEMINFO_VARS,
  SK_MEMINFO_WMEM_QUEUED,
  SO_MEMINFO,
  SOL_SOCKET,
  TCP_INFO,
  TCP_INFO_BYTES_ACKED,
  TCP_INFO_BYTES_ACKED_END,
} from '../../simplenet/kernel/abi.ts';
import type { InternetAddress, SocketAddress } from '../../simplenet/kernel/socket-address.ts';
import { ByteQueue } from './byte-queue.ts';
import { EPOLLRDHUP } from './simulated-file.ts';
import type { SimulatedFilter } from './simulated-filter.ts';
import { inFamily } from './simulated-network.ts';
import type { Received } from './simulated-socket.ts';
import { SimulatedStreamSocket } from './simulated-stream-socket.ts';
import type { Lane } from './simulated-wire.ts';

const { EADDRINUSE, EALREADY, ECONNREFUSED, EISCONN, ENOTCONN } = constants.errno;

/** A TCP header that has the flag SYN and no other: of all segments, the one that a filter here may see. */
const SYN = Buffer.alloc(20);
SYN[13] = 0x02;

/** `over` is TCP_CLOSE of a socket that was connected once, or that was refused. */
type Stage = 'new' | 'listening' | 'connecting' | 'connected' | 'over';

export class SimulatedTcpSocket extends SimulatedStreamSocket implements Lane {
  /** A fault has ended the connection, and neither of those who talked. */
  wasBroken = false;
  /** Of a listener: what it does to segments. Only those that begin a connection are simulated. */
  filter: SimulatedFilter | null = null;
  protected override stage: Stage = 'new';
  readonly #outgoing = new ByteQueue();
  #peer: SimulatedTcpSocket | null = null;
  /** A connect was made whose outcome was not asked for yet: the socket layer's own view, beside the protocol's. */
  #isOutcomeUnread = false;
  #ackedBytes = 0;
  #isFinQueued = false;
  #hasFinArrived = false;
  #hasPeerEnded = false;
  #isResetQueued = false;
  /** No descriptor refers to it any more. */
  #isOrphan = false;

  override get isListening(): boolean {
    return this.stage === 'listening';
  }

  get isConnecting(): boolean {
    return this.stage === 'connecting';
  }

  get isConnected(): boolean {
    return this.stage === 'connected';
  }

  override get peerName(): SocketAddress | null {
    return this.stage === 'connected' ? this.remote : null;
  }

  override get sendRoom(): number {
    return Math.max(0, this.sendBufferBytes - this.#outgoing.length);
  }

  /** Of TCP_INFO only what has arrived at the peer: its kernel acknowledges that. Of SO_MEMINFO only what has not. */
  override getOption(level: number, option: number): Buffer | number {
    if (level === SOL_SOCKET && option === SO_MEMINFO) {
      const info = Buffer.alloc(4 * SK_MEMINFO_VARS);
      info.writeUInt32LE(this.#outgoing.length, 4 * SK_MEMINFO_WMEM_QUEUED);
      return info;
    }
    if (level !== IPPROTO_TCP || option !== TCP_INFO) return super.getOption(level, option);
    const info = Buffer.alloc(TCP_INFO_BYTES_ACKED_END);
    info.writeBigUInt64LE(BigInt(this.#ackedBytes), TCP_INFO_BYTES_ACKED);
    return info;
  }

  /** tcp_poll in the Linux sources. */
  override readiness(): number {
    if (this.stage === 'listening') return this.hasConnection ? EPOLLIN : 0;
    let events = this.error === 0 ? 0 : EPOLLERR;
    const isClosed = this.stage === 'new' || this.stage === 'over';
    if (isClosed || (this.isReadShut && this.isWriteShut)) events |= EPOLLHUP;
    if (this.isReadShut) events |= EPOLLIN | EPOLLRDHUP;
    if (this.stage === 'connecting') return events;
    if (this.incoming.length > 0) events |= EPOLLIN;
    // Writable again when a third of the buffer is free: waking up for each byte would cost more than it sends.
    if (this.isWriteShut || this.sendRoom > this.#outgoing.length / 2) events |= EPOLLOUT;
    return events;
  }

  override listen(backlog: number): number {
    if (this.stage !== 'new' && this.stage !== 'listening') return -EINVAL;
    if (this.local === null) {
      const bound = this.network.autobind(this, null);
      if (bound < 0) return bound;
    }
    if (this.stage === 'new' && this.network.conflicts(this, this.local as InternetAddress)) return -EADDRINUSE;
    this.stage = 'listening';
    this.startListening(backlog);
    return 0;
  }

  override connect(address: SocketAddress | null): number {
    if (address === null || 'path' in address) return -EINVAL;
    if (this.#isOutcomeUnread) return this.#outcome();
    if (this.stage !== 'new') return -EISCONN;
    const remote = inFamily(this.network.destination(address), this.family);
    const route = this.network.routeTo(remote.address);
    if (route < 0) return route;
    const bound = this.network.autobind(this, remote);
    if (bound < 0) return bound;
    this.remote = remote;
    this.isReadShut = false;
    this.isWriteShut = false;
    this.stage = 'connecting';
    this.#isOutcomeUnread = true;
    this.network.wire.carry(this);
    return -EINPROGRESS;
  }

  /** connect(2), made again, tells what became of the first one. After a failure the socket is as new. */
  #outcome(): number {
    if (this.stage === 'connecting') return -EALREADY;
    this.#isOutcomeUnread = false;
    if (this.stage === 'connected') return 0;
    const error = this.takeError() || ECONNABORTED;
    this.#becomeNew();
    return -error;
  }

  /** tcp_disconnect in the Linux sources. */
  #becomeNew(): void {
    this.stage = 'new';
    this.remote = null;
    this.isReadShut = false;
    this.isWriteShut = false;
    this.#isOutcomeUnread = false;
  }

  override shutdown(how: number): number {
    if (this.stage === 'listening') {
      if (how !== SHUT_WR) this.#stopAccepting();
      return 0;
    }
    if (this.stage === 'connecting') {
      this.#becomeNew();
      this.error = ECONNRESET;
      return 0;
    }
    this.#isOutcomeUnread = false;
    if (how !== SHUT_WR) this.isReadShut = true;
    if (how !== SHUT_RD) this.isWriteShut = true;
    if (this.stage !== 'connected') return -ENOTCONN;
    if (how !== SHUT_RD) this.#end();
    return 0;
  }

  /** tcp_recvmsg in the Linux sources: bytes first, then the end, then the error. */
  override receive(target: Uint8Array, isPeek: boolean): Received {
    if (this.stage === 'listening') return { result: -ENOTCONN };
    if (this.incoming.length > 0) {
      if (isPeek) return { result: this.incoming.peek(target) };
      const result = this.incoming.read(target);
      if (this.#peer !== null && !this.#peer.isEmpty) this.network.wire.carry(this.#peer);
      return { result };
    }
    if (this.#hasPeerEnded) return { result: 0 };
    if (this.error !== 0) return { result: -this.takeError() };
    if (this.isReadShut) return { result: 0 };
    return { result: this.stage === 'new' ? -ENOTCONN : -EAGAIN };
  }

  /** tcp_sendmsg. An address is ignored, as TCP does. */
  override send(bytes: Uint8Array): number {
    if (this.error !== 0) return -this.takeError();
    if (this.isWriteShut) return -EPIPE;
    if (this.stage === 'connecting') return -EAGAIN;
    if (this.stage !== 'connected') return -EPIPE;
    if (bytes.length === 0) return 0;
    const room = this.sendRoom;
    if (room === 0) return -EAGAIN;
    const taken = bytes.subarray(0, room);
    this.#outgoing.push(taken);
    this.network.wire.carry(this);
    return taken.length;
  }

  /** RFC 1122 section 4.2.2.13: closing with unread bytes is an RST, for they are lost and the peer must know. */
  override close(): void {
    this.#isOrphan = true;
    if (this.stage === 'listening') this.#stopAccepting();
    if (this.stage === 'connected') {
      if (this.incoming.length > 0 || this.closesWithReset) this.#reset();
      else this.#end();
      this.isReadShut = true;
    } else {
      this.stage = 'over';
    }
    this.#releaseIfOver();
  }

  /** Something between the two ends destroys the connection: both get an RST. */
  breakConnection(): void {
    if (this.stage !== 'connected' || this.#peer === null) return;
    const peer = this.#peer;
    this.wasBroken = true;
    peer.wasBroken = true;
    this.#receiveReset();
    peer.#receiveReset();
  }

  /** Nobody will accept it any more: our end is dropped, the other one gets an RST. */
  abort(isFault = false): void {
    this.#isOrphan = true;
    if (isFault && this.#peer !== null) this.#peer.wasBroken = true;
    if (this.stage === 'connected') this.#reset();
    this.#releaseIfOver();
  }

  get isEmpty(): boolean {
    if (this.#isResetQueued || this.stage === 'connecting') return false;
    return this.stage !== 'connected' || (this.#outgoing.length === 0 && !this.#isFinOnItsWay);
  }

  get canDeliver(): boolean {
    if (this.#isResetQueued) return true;
    if (this.stage === 'connecting') return this.#canShakeHands;
    if (this.stage !== 'connected') return false;
    if (this.#outgoing.length === 0) return this.#isFinOnItsWay;
    const peer = this.#peer as SimulatedTcpSocket;
    return peer.#refusesBytes || peer.#receiveRoom > 0;
  }

  deliver(portion: (most: number) => number): void {
    const peer = this.#peer as SimulatedTcpSocket;
    if (this.#isResetQueued) {
      this.#isResetQueued = false;
      peer.#receiveReset();
    } else if (this.stage === 'connecting') {
      this.#shakeHands();
    } else if (this.#outgoing.length === 0) {
      this.#hasFinArrived = true;
      peer.#receiveFin();
    } else if (peer.#refusesBytes) {
      peer.#refuseBytes();
    } else {
      const arriving = this.#outgoing.take(portion(Math.min(this.#outgoing.length, peer.#receiveRoom)));
      this.#ackedBytes += arriving.length;
      peer.incoming.push(arriving);
    }
  }

  get #isFinOnItsWay(): boolean {
    return this.#isFinQueued && !this.#hasFinArrived;
  }

  get #receiveRoom(): number {
    return Math.max(0, this.receiveBufferBytes - this.incoming.length);
  }

  /** tcp_rcv_state_process: who has ended his side and reads no more has no use for bytes. */
  get #refusesBytes(): boolean {
    return this.stage === 'over' || (this.#isFinQueued && this.isReadShut && !this.#hasPeerEnded);
  }

  #refuseBytes(): void {
    const peer = this.#peer as SimulatedTcpSocket;
    if (this.stage === 'over') {
      // Our RST is on its way to the sender already; what he sent before it came is lost.
      peer.#outgoing.clear();
      return;
    }
    const error = this.#errorOfReset;
    this.#reset();
    if (!this.#isOrphan) this.error = error;
  }

  get #canShakeHands(): boolean {
    const remote = this.remote as InternetAddress;
    if (this.network.isSilent(remote.address)) return false;
    const listener = this.network.listenerAt(remote, this.type);
    // A full queue does not refuse: the SYN is dropped, and sent again, until there is room or the caller gives up.
    if (listener === null) return true;
    const { hasRoomForConnection, filter } = listener as SimulatedTcpSocket;
    return hasRoomForConnection && filter?.run(SYN) !== 0;
  }

  #shakeHands(): void {
    const remote = this.remote as InternetAddress;
    const listener = this.network.listenerAt(remote, this.type) as SimulatedTcpSocket | null;
    if (listener === null) {
      this.#finish(ECONNREFUSED);
      return;
    }
    const server = new SimulatedTcpSocket(this.network, listener.family);
    server.inheritOptions(listener);
    this.network.register(server, inFamily(remote, listener.family));
    server.remote = inFamily(this.local as InternetAddress, listener.family);
    server.#peer = this;
    server.stage = 'connected';
    this.#peer = server;
    this.stage = 'connected';
    listener.enqueue(server);
  }

  #stopAccepting(): void {
    this.#becomeNew();
    for (const connection of this.stopListening()) (connection as SimulatedTcpSocket).abort();
  }

  #end(): void {
    this.isWriteShut = true;
    if (this.#isFinQueued) return;
    this.#isFinQueued = true;
    this.network.wire.carry(this);
  }

  #receiveFin(): void {
    if (this.stage !== 'connected') return;
    this.#hasPeerEnded = true;
    this.isReadShut = true;
    if (!this.#hasFinArrived) return;
    const peer = this.#peer as SimulatedTcpSocket;
    this.#finish(0);
    peer.#finish(0);
  }

  /** Sends RST. */
  #reset(): void {
    this.#finish(0);
    this.#isResetQueued = true;
    this.network.wire.carry(this);
  }

  #receiveReset(): void {
    if (this.stage === 'connected') this.#finish(this.#errorOfReset);
  }

  /** tcp_reset: to one whose peer has ended, writing into nothing is all that can have happened. */
  get #errorOfReset(): number {
    return this.#hasPeerEnded && !this.#isFinQueued ? EPIPE : ECONNRESET;
  }

  /** tcp_done. What has arrived stays readable. */
  #finish(error: number): void {
    this.stage = 'over';
    this.error = error;
    this.isReadShut = true;
    this.isWriteShut = true;
    this.#outgoing.clear();
    this.#releaseIfOver();
  }

  /** A port is in use until its connection is over, with or without a descriptor. */
  #releaseIfOver(): void {
    if (this.stage === 'over' && this.#isOrphan) this.network.release(this);
  }
}
