/**
 * SocketUdpPort: a UDP socket on a loop that reports when it is readable, as epoll does.
 *
 * It does not queue. A datagram for which the kernel has no room is lost, and `send` returns false. The network may lose it at any
 * other place as well, so every protocol over UDP can handle that. A queue would only make the datagram late.
 *
 * It does not throw if the kernel refuses a datagram. A server replies to the address that a datagram names as its sender. An
 * attacker can forge port 0 there, and an exception would end every server that replies.
 *
 * Next: ../epoll/epoll.ts
 */

import { EAGAIN, EINTR, EINVAL, EMSGSIZE } from '../kernel/abi.ts';
import { tryDespiteEintr } from '../kernel/interruption.ts';
import type { SocketAddress } from '../kernel/socket-address.ts';
import { SystemError } from '../kernel/system-error.ts';
import type { SocketFile } from '../sockets/socket-file.ts';
import type { UdpSocket } from '../sockets/udp-socket.ts';
import type { UdpHandler, UdpPort } from './event-loop.ts';
import type { Alarm } from './host.ts';
import type { LoopContext, Member } from './member.ts';
import { isPassing } from './setbacks.ts';
import { SlowStart } from './slow-start.ts';

export class SocketUdpPort implements UdpPort, Member {
  readonly address: SocketAddress;
  protected readonly context: LoopContext;
  readonly #socket: UdpSocket;
  readonly #handler: UdpHandler;
  readonly #file: SocketFile | null;
  readonly #slowStart: SlowStart;
  needsSettle = false;
  protected isClosing = false;
  /** Reports a refusal when it rings. Further refusals until then are not reported. */
  #report: Alarm | null = null;

  constructor(context: LoopContext, socket: UdpSocket, handler: UdpHandler, file: SocketFile | null) {
    this.address = socket.localAddress;
    this.context = context;
    this.#socket = socket;
    this.#handler = handler;
    this.#file = file;
    this.#slowStart = new SlowStart(context.datagramsPerTurn);
  }

  send(bytes: Uint8Array, to: SocketAddress): boolean {
    if (this.isClosing) return false;
    const sockaddr = this.#encode(to);
    const result = sockaddr === null ? -EINVAL : tryDespiteEintr(() => this.#socket.trySendTo(bytes, sockaddr));
    if (result >= 0) return true;
    if (!isPassing(result)) this.#reportSoon(new SystemError('sendto', result, to));
    return false;
  }

  onEvents(_events: number, turn: number): void {
    this.#slowStart.run(turn, () => this.#receiveOne());
  }

  /** The handler threw. The port goes on with the next datagram. */
  onThrow(): void {}

  close(): void {
    if (this.isClosing) return;
    this.isClosing = true;
    this.#report?.cancel();
    this.context.turn.settleLater(this);
  }

  lose(error: SystemError): void {
    if (this.isClosing) return;
    this.close();
    this.#handler.onError?.(this, error);
  }

  settle(): void {
    const { fd } = this.#socket;
    this.#file?.remove();
    this.#socket.close();
    this.context.forget(fd);
  }

  /** Null for a Unix address that cannot be encoded: a sender without a name, or with a name that is not text. */
  #encode(to: SocketAddress): Buffer | null {
    try {
      return this.#socket.encode(to);
    } catch (error) {
      if ('path' in to && typeof to.path === 'string') return null;
      throw error;
    }
  }

  /** Reports with an alarm, not at the end of the turn: a program that sends again on each report would hold the thread. */
  #reportSoon(error: SystemError): void {
    if (this.#handler.onError === undefined || this.#report !== null) return;
    this.#report = this.context.host.alarm(0, () => {
      this.#report = null;
      this.context.turn.guard(this, () => this.#handler.onError?.(this, error));
    });
  }

  /** Returns whether another call may bring a datagram. */
  #receiveOne(): boolean {
    if (this.isClosing) return false;
    const size = this.#socket.tryReceive(this.context.receiveBuffer, 0);
    if (size > this.context.receiveBuffer.length) {
      this.#handler.onError?.(this, new SystemError('recvfrom', -EMSGSIZE, this.#socket.lastSender));
      return true;
    }
    if (size >= 0) {
      this.#handler.onMessage(this, this.context.received(size), this.#socket.lastSender);
      return true;
    }
    if (size === -EAGAIN || size === -EINTR) return false;
    this.#handler.onError?.(this, new SystemError('recvfrom', size, this.address));
    return true;
  }
}
