/**
 * EpollStream: one connection on the epoll loop. It reads when epoll reports that the socket is readable.
 *
 * Most of the cost of a server is here, so a stream makes few calls. Each report costs one recv(2), into the buffer of the loop,
 * and no second one that would return EAGAIN. A write calls send(2) at once and does not wait for EPOLLOUT. EPOLLOUT is watched
 * only while something is queued. An idle connection owns no buffer.
 *
 * A stream closes its descriptor when the turn ends (`settle`): turn.ts says why. Its interest changes then, too, so pausing and resuming
 * within one callback costs no system call.
 *
 * Next: epoll-listener.ts
 */

import { markAsUntransferable } from 'node:worker_threads';
import { EINTR, ENOBUFS, EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, MSG_MORE } from '../kernel/abi.ts';
import type { SocketAddress } from '../kernel/socket-address.ts';
import type { SystemError } from '../kernel/system-error.ts';
import type { StreamHandler } from '../loop/event-loop.ts';
import { isPassing, MAX_ATTEMPTS_AT_ONCE } from '../loop/setbacks.ts';
import { SocketStream } from '../loop/socket-stream.ts';
import { WriteQueue } from '../loop/write-queue.ts';
import type { NetSocket } from '../sockets/net-socket.ts';
import { NO_EVENTS } from './epoll.ts';
import type { EpollContext, EpollMember } from './epoll-member.ts';

/** Writes up to this size are sent even if the byte budget of the turn is spent: queueing them would cost more. */
const MAX_SMALL_BYTES = 16_384;

/** Owned bytes above this size wait for the second part of the turn, so that other clients get their responses first. */
const MAX_BYTES_AMONG_NEWS = 65_536;

export class EpollStream extends SocketStream<EpollContext> implements EpollMember {
  /** Another process may share the socket. Then close(2) alone does not remove it from the epoll set. */
  readonly #isAdopted: boolean;
  #queue: WriteQueue | null = null;
  /** The mask that the epoll set has for the descriptor. */
  #interest: number;
  /** The descriptor is out of the epoll set, until `resume`. */
  #isParked = false;
  /** The kernel did not take all of the last send. EPOLLOUT reports when there is room. */
  #hasNoRoom = false;
  /** The last part of a turn in which the stream sent something, and how much it sent then. */
  #part = 0;
  #sentInPart = 0;

  /** `socket` is in the epoll set with the mask `interest`. EPOLLOUT in it means that the socket is connecting. */
  constructor(
    context: EpollContext,
    socket: NetSocket,
    peer: SocketAddress | Uint8Array,
    interest: number,
    handler: StreamHandler,
    isAdopted = false,
  ) {
    super(context, socket, peer, handler, (interest & EPOLLOUT) !== 0);
    this.#interest = interest;
    this.#isAdopted = isAdopted;
  }

  get queuedBytes(): number {
    return this.#queue === null ? 0 : this.#queue.byteLength;
  }

  protected get isSending(): boolean {
    return this.queuedBytes > 0;
  }

  write(bytes: Uint8Array, length = bytes.length, hasMore = false): boolean {
    return this.#write(bytes, length, false, hasMore ? MSG_MORE : 0);
  }

  writeOwned(bytes: Uint8Array): boolean {
    return this.#write(bytes, bytes.length, true, 0);
  }

  /**
   * `refusal` is the error that connect(2) has already returned. `onClose` reports it in the next turn, so that a program which
   * connects again at once does not hold up other streams.
   */
  connecting(timeoutMs: number, refusal: SystemError | null): void {
    this.error = refusal;
    this.connectWithin(timeoutMs);
  }

  onEvents(events: number): void {
    if (this.isClosing) return;
    if (this.isConnecting) {
      this.#connectEnded();
      return;
    }
    if ((events & EPOLLOUT) !== 0) {
      this.#hasNoRoom = false;
      this.context.turn.awaitTurn(this);
    }
    if ((events & EPOLLIN) !== 0) {
      if (!this.isPaused) this.#receive(); // paused in this turn: `settle` will change the interest
    } else if ((events & (EPOLLERR | EPOLLHUP)) !== 0 && !this.checkHangUp()) {
      this.#park();
    }
  }

  override onTurn(): void {
    if (this.isClosing) return;
    if (!this.#hasNoRoom && !this.isConnecting) this.#drain();
    super.onTurn();
  }

  /** At the end of the process: sends as much of the queue as the kernel has room for. Calls no callback. */
  flushLast(): void {
    if (this.isClosing || this.isConnecting) return;
    this.#queue?.drain((bytes, offset, length) => this.#send(bytes, offset, length, 0));
  }

  settle(): void {
    if (!this.isClosing) {
      this.#applyInterest();
      if (!this.isClosing) return;
    }
    if (this.#isAdopted && !this.#isParked) this.context.epoll.forget(this.socket.fd);
    this.#queue = null;
    this.dispose();
  }

  #write(bytes: Uint8Array, length: number, isOwned: boolean, flags: number): boolean {
    if (!this.checkWrite(bytes, length)) return false;
    if (length === 0) return this.queuedBytes === 0;
    let sent = 0;
    if (!this.isConnecting && this.queuedBytes === 0) {
      const isForLater = isOwned && length > MAX_BYTES_AMONG_NEWS && this.context.budget.isForNews;
      const max = isForLater ? 0 : this.#allowance(length);
      if (max > 0) sent = this.#send(bytes, 0, max, max < length ? MSG_MORE : flags);
      if (sent === length) return true;
      if (sent < 0) {
        this.fail('send', sent);
        return false;
      }
    } else if (this.queuedBytes > this.context.maxQueuedBytes) {
      this.fail('send', -ENOBUFS);
      return false;
    }
    this.#queue ??= new WriteQueue();
    if (isOwned) {
      markAsUntransferable(bytes.buffer); // a program could transfer them with postMessage before they are sent
      this.#queue.pushOwned(bytes, sent, length);
    } else this.#queue.pushCopy(bytes, sent, length);
    this.outputQueued();
    this.#continueLater();
    return false;
  }

  /** Something is queued. Sends more of it after EPOLLOUT if the kernel has no room, else in this stream's next share of a turn. */
  #continueLater(): void {
    if (this.#hasNoRoom || this.isConnecting) this.settleLater();
    else this.context.turn.awaitTurn(this);
  }

  /** How many of `length` bytes may be sent now: the rest of this stream's share, or 0 if the budget of all streams is spent. */
  #allowance(length: number): number {
    const { budget } = this.context;
    if (this.#part !== budget.part) {
      this.#part = budget.part;
      this.#sentInPart = 0;
    }
    if (length > MAX_SMALL_BYTES && budget.areBytesSpent) return 0;
    return Math.min(length, budget.streamBytes - this.#sentInPart);
  }

  /** send(2). Returns 0 if the kernel has no room or is short of memory, and -errno for other errors. */
  #send(bytes: Uint8Array, offset: number, length: number, flags: number): number {
    let sent = this.socket.tryWrite(bytes, offset, length, flags);
    for (let attempts = 1; sent === -EINTR && attempts < MAX_ATTEMPTS_AT_ONCE; attempts++) {
      sent = this.socket.tryWrite(bytes, offset, length, flags);
    }
    if (isPassing(sent)) sent = 0;
    this.#hasNoRoom = sent < length;
    if (sent < 0) return sent;
    this.#sentInPart += sent;
    this.context.budget.sent(sent);
    return sent;
  }

  #receive(): void {
    const { receiveBuffer } = this.context;
    const length = this.socket.tryRead(receiveBuffer, 0, receiveBuffer.length);
    if (length > 0) {
      this.callSucceeded();
      this.handler.onData(this, this.context.received(length));
    } else if (length === 0) this.peerEnded();
    // No bytes after all, a signal, or no memory: epoll will report the descriptor again.
    else if (isPassing(length)) this.callRefused();
    else this.fail('recv', length);
  }

  #drain(): void {
    const queue = this.#queue;
    if (queue === null || queue.byteLength === 0) return;
    const before = queue.byteLength;
    const max = this.#allowance(before);
    const result = queue.drain((bytes, offset, length) => this.#send(bytes, offset, length, 0), max);
    this.outputSent(before - queue.byteLength);
    if (result < 0) {
      this.isAborted = true; // with RST the peer knows that bytes are missing
      this.fail('send', result);
      return;
    }
    if (queue.byteLength < before) this.callSucceeded();
    else if (max > 0) this.callRefused();
    if (queue.byteLength > 0) {
      this.#continueLater();
      return;
    }
    this.settleLater();
    if (this.hasEnded) this.sendFin();
    else this.handler.onDrain?.(this);
  }

  /** The connection attempt has ended: it failed, or the connection is open. */
  #connectEnded(): void {
    if (this.error !== null) {
      this.finish(this.error);
      return;
    }
    const error = this.socket.takeError();
    if (error !== 0) {
      this.fail('connect', -error);
      return;
    }
    this.opened();
    if (this.isClosing) return;
    if (this.queuedBytes > 0) this.#drain();
    else if (this.hasEnded && !this.isFinSent) this.sendFin();
  }

  /**
   * The connection has ended, but bytes may still wait to be read. epoll would report that in each turn, even of a paused stream.
   *
   * If a turn had no time for the report, it can be older than `resume`. `settle` then puts the stream back into the set; nothing else would.
   */
  #park(): void {
    this.#isParked = true;
    this.context.epoll.forget(this.socket.fd);
    this.settleLater();
  }

  #applyInterest(): void {
    if (this.isConnecting) return;
    // While something is queued, EPOLLOUT stays in the mask: the kernel's buffer will soon be full again.
    const watchesOut = this.queuedBytes > 0 && (this.#hasNoRoom || (this.#interest & EPOLLOUT) !== 0);
    const wanted = this.isResting
      ? NO_EVENTS
      : (this.isPaused || this.isPeerEnded ? NO_EVENTS : EPOLLIN) | (watchesOut ? EPOLLOUT : NO_EVENTS);
    if (this.#isParked ? wanted === NO_EVENTS : wanted === this.#interest) return;
    try {
      if (this.#isParked) this.context.epoll.add(this.socket.fd, wanted);
      else this.context.epoll.modify(this.socket.fd, wanted);
      this.#isParked = false;
      this.#interest = wanted;
    } catch (error) {
      this.finish(error as SystemError); // epoll_ctl(2): ENOMEM, or ENOSPC if the user has too many watches
    }
  }
}
