/**
 * SimulatedUnixStreamSocket: a stream within the machine, unix(7).
 *
 * Bytes go straight into the peer's queue and are charged to the sender's buffer until they are read. There is no wire
 * between the two, so nothing is ever under way, and no RST: closing makes the peer's calls fail at once.
 *
 * Next: simulated-datagram-socket.ts
 */

import { constants } from 'node:os';
import {
  EAGAIN,
  ECONNRESET,
  EINVAL,
  EOPNOTSUPP,
  EPIPE,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  IPPROTO_TCP,
  SHUT_RD,
  SHUT_WR,
  SK_MEMINFO_VARS,
  SK_MEMINFO_WMEM_ALLOC,
  SO_MEMINFO,
  SOL_SOCKET,
  TCP_INFO,
} from '../../simplenet/kernel/abi.ts';
import type { SocketAddress } from '../../simplenet/kernel/socket-address.ts';
import { EPOLLRDHUP } from './simulated-file.ts';
import type { Received } from './simulated-socket.ts';
import { SimulatedStreamSocket } from './simulated-stream-socket.ts';

const { ECONNREFUSED, EISCONN, ENOTCONN, EPROTOTYPE } = constants.errno;

export class SimulatedUnixStreamSocket extends SimulatedStreamSocket {
  #peer: SimulatedUnixStreamSocket | null = null;
  #isClosed = false;

  protected override get stage(): string {
    if (this.isListening) return 'listening';
    return this.#peer === null ? 'new' : 'connected';
  }

  override get sendRoom(): number {
    return this.#peer === null ? 0 : Math.max(0, this.sendBufferBytes - this.#peer.incoming.length);
  }

  /** Of SO_MEMINFO only what is charged to the sender. A Unix socket has no options of TCP. */
  override getOption(level: number, option: number): Buffer | number {
    if (level === IPPROTO_TCP && option === TCP_INFO) return -EOPNOTSUPP;
    if (level !== SOL_SOCKET || option !== SO_MEMINFO) return super.getOption(level, option);
    const info = Buffer.alloc(4 * SK_MEMINFO_VARS);
    info.writeUInt32LE(this.#peer?.incoming.length ?? 0, 4 * SK_MEMINFO_WMEM_ALLOC);
    return info;
  }

  /** unix_poll in the Linux sources. */
  override readiness(): number {
    if (this.isListening) {
      const shut = (this.isReadShut ? EPOLLIN | EPOLLRDHUP : 0) | (this.isReadShut && this.isWriteShut ? EPOLLHUP : 0);
      return (this.hasConnection ? EPOLLIN : 0) | shut;
    }
    let events = this.error === 0 ? 0 : EPOLLERR;
    if (this.#peer === null || (this.isReadShut && this.isWriteShut)) events |= EPOLLHUP;
    if (this.isReadShut) events |= EPOLLIN | EPOLLRDHUP;
    if (this.incoming.length > 0) events |= EPOLLIN;
    const unread = this.#peer === null || this.#peer.#isClosed ? 0 : this.#peer.incoming.length;
    if (4 * unread <= this.sendBufferBytes) events |= EPOLLOUT;
    return events;
  }

  override listen(backlog: number): number {
    if (this.local === null || this.#peer !== null) return -EINVAL;
    this.startListening(backlog);
    return 0;
  }

  override connect(address: SocketAddress | null): number {
    if (this.#peer !== null) return -EISCONN;
    if (address === null || !('path' in address) || this.isListening) return -EINVAL;
    const listener = this.network.findUnix(address.path, this.type);
    if (typeof listener === 'number') return listener;
    if (!(listener instanceof SimulatedUnixStreamSocket)) return -EPROTOTYPE;
    if (!listener.isListening || listener.isReadShut) return -ECONNREFUSED;
    if (!listener.hasRoomForConnection) return -EAGAIN;
    const server = new SimulatedUnixStreamSocket(this.network, this.family);
    server.inheritOptions(listener);
    server.local = listener.local;
    server.remote = this.local ?? { path: '' };
    server.#peer = this;
    this.#peer = server;
    this.remote = address;
    listener.enqueue(server);
    return 0;
  }

  override shutdown(how: number): number {
    const peer = this.#peer;
    if (how !== SHUT_WR) {
      this.isReadShut = true;
      if (peer !== null) peer.isWriteShut = true;
    }
    if (how !== SHUT_RD) {
      this.isWriteShut = true;
      if (peer !== null) peer.isReadShut = true;
    }
    return 0;
  }

  override receive(target: Uint8Array, isPeek: boolean): Received {
    if (this.#peer === null) return { result: -EINVAL };
    if (this.incoming.length > 0) return { result: isPeek ? this.incoming.peek(target) : this.incoming.read(target) };
    if (this.error !== 0) return { result: -this.takeError() };
    return { result: this.isReadShut ? 0 : -EAGAIN };
  }

  override send(bytes: Uint8Array, to: SocketAddress | null): number {
    if (to !== null) return this.#peer === null ? -EOPNOTSUPP : -EISCONN;
    if (this.#peer === null) return -ENOTCONN;
    if (this.isWriteShut || this.#peer.#isClosed) return -EPIPE;
    if (bytes.length === 0) return 0;
    const room = this.sendRoom;
    if (room === 0) return -EAGAIN;
    const taken = bytes.subarray(0, room);
    this.#peer.incoming.push(taken);
    return taken.length;
  }

  override close(): void {
    const waiting = this.stopListening();
    this.#leave(this.incoming.length > 0);
    for (const connection of waiting) (connection as SimulatedUnixStreamSocket).#leave(true);
    this.network.release(this);
  }

  #leave(isReset: boolean): void {
    this.#isClosed = true;
    const peer = this.#peer;
    if (peer === null || peer.#isClosed) return;
    peer.isReadShut = true;
    peer.isWriteShut = true;
    if (isReset) peer.error = ECONNRESET;
  }
}
