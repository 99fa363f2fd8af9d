/**
 * EpollLoop: the event loop over epoll(7). A turn asks epoll which descriptors are ready, and calls their members. The host calls
 * `#runTurn` for each turn.
 *
 * Next: ../io-uring/ring-layout.ts
 */

import { EPOLLIN, EPOLLOUT } from '../kernel/abi.ts';
import { preventTransfer } from '../kernel/intrinsic-bytes.ts';
import { LastView } from '../kernel/last-view.ts';
import type { Libc } from '../kernel/libc.ts';
import type { SocketAddress } from '../kernel/socket-address.ts';
import { SystemError } from '../kernel/system-error.ts';
import type { Listener, Stream, StreamHandler, UdpHandler, UdpPort } from '../loop/event-loop.ts';
import type { Host } from '../loop/host.ts';
import { defaultLoopLimits, type LoopLimits } from '../loop/loop-limits.ts';
import { handlerToCome } from '../loop/loop-stream.ts';
import type { ListenerSetup } from '../loop/member.ts';
import { closingOnError, NO_GUEST, SocketLoop } from '../loop/socket-loop.ts';
import { SocketUdpPort } from '../loop/socket-udp-port.ts';
import type { NetSocket } from '../sockets/net-socket.ts';
import type { Socket } from '../sockets/socket.ts';
import type { SocketFile } from '../sockets/socket-file.ts';
import type { UdpSocket } from '../sockets/udp-socket.ts';
import { Burst } from './burst.ts';
import { Epoll } from './epoll.ts';
import { EpollListener } from './epoll-listener.ts';
import type { EpollContext, EpollMember } from './epoll-member.ts';
import { EpollStream } from './epoll-stream.ts';
import { SendBatch } from './send-batch.ts';

/** connect(2). Returns an error and does not throw it, because `onClose` reports all failures of a connection. */
function tryConnect(socket: NetSocket, address: SocketAddress): SystemError | null {
  try {
    socket.connect(address);
    return null;
  } catch (error) {
    if (error instanceof SystemError) return error;
    throw error;
  }
}

/** The open loops of this thread. If a program calls process.exit, they send what they have put off to a later turn. */
const openLoops = new Set<EpollLoop>();
process.once('exit', () => {
  for (const loop of openLoops) loop.flushLast();
});

/** A turn with at least this many events is followed by another: during it, new events have probably come. */
const EVENTS_FOR_ANOTHER_TURN = 4;

export class EpollLoop extends SocketLoop<EpollMember> implements EpollContext {
  readonly epoll: Epoll;
  readonly batch = new SendBatch((sender, error) => this.turn.callbackThrew(sender, error));
  readonly burst = new Burst(() => this.turn.settleSoon());
  readonly receiveBuffer: Buffer;
  protected override readonly membersPerLook: number;
  readonly #lastView: LastView<Buffer>;
  /**
   * The events for which a turn had no time. They are kept by member, because a descriptor may have another owner in the
   * next turn. They are delivered before epoll_wait(2) is called again: it would report the first descriptors again, and
   * the last ones would wait without end.
   */
  #leftover: { readonly member: EpollMember; readonly events: number }[] = [];

  constructor(libc: Libc, host: Host, limits: LoopLimits = defaultLoopLimits) {
    super(libc, host, limits);
    this.membersPerLook = limits.maxEventsPerTurn;
    // Memory of its own: in Node's pool of small buffers it would lie beside bytes of other code.
    this.receiveBuffer = Buffer.allocUnsafeSlow(limits.receiveBufferBytes);
    // A program could transfer it with postMessage, and no stream could receive any more.
    preventTransfer(this.receiveBuffer.buffer);
    this.#lastView = new LastView(this.receiveBuffer);
    this.epoll = new Epoll({ libc, maxEvents: limits.maxEventsPerTurn });
    this.watch(this.epoll.fd, () => this.#runTurn());
    openLoops.add(this);
  }

  /** At the end of the process or the worker: sends what the streams still have, as far as the kernel has room. */
  flushLast(): void {
    this.batch.close(); // for good: a listener of 'exit' may still write
    this.burst.endForGood();
    for (const member of this.members) if (member instanceof EpollStream) member.flushLast();
  }

  // For the members of the loop.

  received(length: number): Buffer {
    return this.#lastView.of(this.receiveBuffer, length);
  }

  addStream(socket: NetSocket, peer: string): EpollStream {
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
    const refusal = tryConnect(socket, address);
    const interest = EPOLLIN | EPOLLOUT;
    const stream = this.#watching(socket, interest, new EpollStream(this, socket, address, interest, handler));
    stream.connecting(timeoutMs, refusal);
    return stream;
  }

  protected override openUdpPort(socket: UdpSocket, handler: UdpHandler, file: SocketFile | null): UdpPort {
    return this.#watching(socket, EPOLLIN, new SocketUdpPort(this, socket, handler, file));
  }

  override afterSettle(): void {
    this.burst.end();
  }

  protected override dispose(): void {
    openLoops.delete(this);
    this.epoll.close();
  }

  #watching<M extends EpollMember>(socket: Socket, interest: number, member: M): M {
    this.epoll.add(socket.fd, interest);
    return this.add(socket, member);
  }

  /** Nothing to do: close(2) removes the sockets from the epoll set. */
  protected override abandon(): void {}

  // For the host.

  override admitGuest(fd: number): boolean {
    if (!this.epoll.tryAdd(fd, EPOLLIN)) return false;
    this.guestFd = fd;
    return true;
  }

  override dismissGuest(): void {
    this.epoll.forget(this.guestFd);
    this.guestFd = NO_GUEST;
  }

  #runTurn(): boolean {
    const count = this.waitAndTakeTurn(0);
    return this.isMoreToDo || (count >= EVENTS_FOR_ANOTHER_TURN && !this.isClosed);
  }

  /** epoll_wait(2). Returns 0 if the kernel refuses the call. */
  #wait(waitMs: number): number {
    try {
      const count = this.epoll.wait(waitMs);
      this.callSucceeded();
      return count;
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      this.callRefused('epoll_wait', error.errno);
      return 0;
    }
  }

  protected override waitAndTakeTurn(waitMs: number): number {
    const count = this.#leftover.length > 0 ? 0 : this.#wait(waitMs);
    this.turn.begin();
    const isWhole = this.#leftover.length === 0;
    if (count > 1 || !isWhole) this.batch.open(); // with one event there is nothing to gather
    const delivered = isWhole ? this.#deliver(count) : this.#deliverLeftover();
    this.batch.close();
    this.turn.continueStreams();
    const isCut = this.#leftover.length > 0;
    const isWholeLook = isWhole && !isCut && !this.isBlind;
    const isQuiet = isWholeLook && count < this.membersPerLook;
    const isStillDue = this.endLook(isQuiet, isWholeLook ? null : delivered);
    this.isMoreToDo = isCut || this.turn.hasContinuing || (isStillDue && !this.isClosed);
    return count;
  }

  /** Returns how many events were delivered. Keeps the others, if there was no time for all. */
  #deliver(count: number): number {
    for (let i = 0; i < count; i++) {
      const fd = this.epoll.fdOf(i);
      const member = this.members[fd];
      if (member === undefined) {
        if (fd === this.guestFd) this.isGuestReady = true;
        continue;
      }
      this.#dispatch(member, this.epoll.eventsOf(i));
      if (!this.budget.isSpentByEvent()) continue;
      this.#keepLeftover(i + 1, count);
      return i + 1;
    }
    return count;
  }

  #keepLeftover(from: number, to: number): void {
    for (let i = from; i < to; i++) {
      const fd = this.epoll.fdOf(i);
      const member = this.members[fd];
      if (member !== undefined) this.#leftover.push({ member, events: this.epoll.eventsOf(i) });
      else if (fd === this.guestFd) this.isGuestReady = true;
    }
  }

  #deliverLeftover(): number {
    let delivered = 0;
    for (const { member, events } of this.#leftover) {
      this.#dispatch(member, events);
      delivered++;
      if (this.budget.isSpentByEvent()) break;
    }
    this.#leftover = this.#leftover.slice(delivered);
    return delivered;
  }

  #dispatch(member: EpollMember, events: number): void {
    try {
      member.onEvents(events, this.turn.count);
    } catch (error) {
      this.turn.callbackThrew(member, error);
    }
  }
}
