/**
 * EpollLoop: the event loop over epoll(7). It asks which descriptors have news and lets each act; one call of `#runTurn` is one
 * turn, and the host says when.
 *
 * Next: ../io-uring/ring-layout.ts
 */

import { markAsUntransferable } from 'node:worker_threads';
import { EPOLLIN, EPOLLOUT } from '../kernel/abi.ts';
import type { Libc } from '../kernel/libc.ts';
import type { SocketAddress } from '../kernel/socket-address.ts';
import { SystemError } from '../kernel/system-error.ts';
import type { Listener, Stream, StreamHandler, UdpHandler, UdpPort } from '../loop/event-loop.ts';
import type { Host } from '../loop/host.ts';
import { defaultLoopLimits, type LoopLimits } from '../loop/loop-limits.ts';
import type { ListenerSetup } from '../loop/member.ts';
import { closingOnError, handlerToCome, SocketLoop } from '../loop/socket-loop.ts';
import { SocketUdpPort } from '../loop/socket-udp-port.ts';
import type { NetSocket } from '../sockets/net-socket.ts';
import type { Socket } from '../sockets/socket.ts';
import type { SocketFile } from '../sockets/socket-file.ts';
import type { UdpSocket } from '../sockets/udp-socket.ts';
import { Epoll } from './epoll.ts';
import { EpollListener } from './epoll-listener.ts';
import type { EpollContext, EpollMember } from './epoll-member.ts';
import { EpollStream } from './epoll-stream.ts';

/** connect(2), whose refusal is told by `onClose` as all others are, and so not thrown here. */
function refusalOf(socket: NetSocket, address: SocketAddress): SystemError | null {
  try {
    socket.connect(address);
    return null;
  } catch (error) {
    if (error instanceof SystemError) return error;
    throw error;
  }
}

/** A program may answer and call process.exit: what was put off to a later turn would be lost, though the kernel has room for it. */
const openLoops = new Set<EpollLoop>();
process.once('exit', () => {
  for (const loop of openLoops) loop.flushLast();
});

/** While so many events were dealt with, others have probably come; behind a lone one it is too early. */
const WORTH_LOOKING_AGAIN = 4;

export class EpollLoop extends SocketLoop<EpollMember> implements EpollContext {
  readonly epoll: Epoll;
  readonly receiveBuffer: Buffer;
  protected override readonly heardPerLook: number;
  #view: Buffer;
  /**
   * The rest of a batch for which a turn had no time. It is kept by member, as a descriptor may have another owner by the next turn.
   * And it comes before epoll is asked again, which would name the first of the batch once more and never come to the last.
   */
  #rest: { readonly member: EpollMember; readonly events: number }[] = [];

  constructor(libc: Libc, host: Host, limits: LoopLimits = defaultLoopLimits) {
    super(libc, host, limits);
    this.heardPerLook = limits.maxEventsPerTurn;
    // Memory of its own: in Node's pool of small buffers its neighbours would be other people's bytes.
    this.receiveBuffer = Buffer.allocUnsafeSlow(limits.receiveBufferBytes);
    // Given away by a program, postMessage with a transfer list, it would leave every stream with nothing to read into.
    markAsUntransferable(this.receiveBuffer.buffer);
    this.#view = this.receiveBuffer;
    this.epoll = new Epoll({ libc, maxEvents: limits.maxEventsPerTurn });
    this.watch(this.epoll.fd, () => this.#runTurn());
    openLoops.add(this);
  }

  /** The process, or the worker, ends. Nobody waits for a peer that does not read. */
  flushLast(): void {
    for (const member of this.members) if (member instanceof EpollStream) member.flushLast();
  }

  // For those who live on the loop.

  /** Requests of one kind are often equally long: then the last view serves again, and none is made. */
  received(length: number): Buffer {
    if (this.#view.length !== length) this.#view = this.receiveBuffer.subarray(0, length);
    return this.#view;
  }

  addStream(socket: NetSocket, peer: Uint8Array): EpollStream {
    return closingOnError(socket, () =>
      this.#watching(socket, EPOLLIN, new EpollStream(this, socket, peer, EPOLLIN, handlerToCome)),
    );
  }

  protected override openListener(socket: NetSocket, setup: ListenerSetup): Listener {
    return this.#watching(socket, EPOLLIN, new EpollListener(this, socket, setup));
  }

  protected override openStream(socket: NetSocket, peer: SocketAddress, handler: StreamHandler): Stream {
    return this.#watching(socket, EPOLLIN, new EpollStream(this, socket, peer, EPOLLIN, handler, true));
  }

  protected override openConnection(
    socket: NetSocket,
    address: SocketAddress,
    handler: StreamHandler,
    timeoutMs: number,
  ): Stream {
    const refusal = refusalOf(socket, address);
    const interest = EPOLLIN | EPOLLOUT;
    const stream = this.#watching(socket, interest, new EpollStream(this, socket, address, interest, handler));
    stream.connecting(timeoutMs, refusal);
    return stream;
  }

  protected override openUdpPort(socket: UdpSocket, handler: UdpHandler, file: SocketFile | null): UdpPort {
    return this.#watching(socket, EPOLLIN, new SocketUdpPort(this, socket, handler, file));
  }

  override afterSettle(): void {}

  protected override dispose(): void {
    openLoops.delete(this);
    this.epoll.close();
  }

  #watching<M extends EpollMember>(socket: Socket, interest: number, member: M): M {
    this.epoll.add(socket.fd, interest);
    return this.add(socket, member);
  }

  /** Nothing is to be taken back: sockets that are closed leave the epoll set. */
  protected override abandon(): void {}

  /** epoll_wait(2). Where it is refused, a turn without news. */
  #wait(): number {
    try {
      const count = this.epoll.wait(0);
      this.goAhead();
      return count;
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.stumble('epoll_wait', error.errno);
      return 0;
    }
  }

  #runTurn(): boolean {
    const count = this.#rest.length > 0 ? 0 : this.#wait();
    this.turn.begin();
    const isWhole = this.#rest.length === 0;
    const told = isWhole ? this.#deliver(count) : this.#deliverRest();
    this.turn.continueStreams();
    const isCut = this.#rest.length > 0;
    const isQuiet = isWhole && !isCut && count < this.heardPerLook && !this.isPausing;
    const isStillDue = this.endLook(isQuiet, isWhole && !isCut ? null : told);
    if (isCut || this.turn.hasContinuing) return true;
    return (count >= WORTH_LOOKING_AGAIN || isStillDue) && !this.isClosed;
  }

  /** Answers how many have been told. What is left, if there was no time for all, is the new rest. */
  #deliver(count: number): number {
    for (let i = 0; i < count; i++) {
      const member = this.members[this.epoll.fdOf(i)];
      if (member === undefined) continue;
      this.#tell(member, this.epoll.eventsOf(i));
      if (!this.budget.isSpentByEvent()) continue;
      this.#keepRest(i + 1, count);
      return i + 1;
    }
    return count;
  }

  #keepRest(from: number, to: number): void {
    for (let i = from; i < to; i++) {
      const member = this.members[this.epoll.fdOf(i)];
      if (member !== undefined) this.#rest.push({ member, events: this.epoll.eventsOf(i) });
    }
  }

  #deliverRest(): number {
    let told = 0;
    for (const { member, events } of this.#rest) {
      this.#tell(member, events);
      told++;
      if (this.budget.isSpentByEvent()) break;
    }
    this.#rest = this.#rest.slice(told);
    return told;
  }

  #tell(member: EpollMember, events: number): void {
    try {
      member.onEvents(events, this.turn.count);
    } catch (error) {
      this.turn.callbackThrew(member, error);
    }
  }
}
