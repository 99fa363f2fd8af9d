/**
 * EpollStream: one connection on the epoll loop. Turns "you may read", "you may write" into bytes received and sent.
 *
 * What it costs is most of what a server costs, so: one recv(2) per report, into the loop's one buffer, and no second one
 * to be told EAGAIN; a write goes to the kernel at once, without asking whether it may; EPOLLOUT is watched only while
 * something is queued; an idle connection owns no buffer.
 *
 * Closing and changes of interest are not carried out at once but when the turn ends (`settle`). So a descriptor's number
 * cannot come back while events of its former life are still in the batch, and pausing and resuming within one callback
 * cost no system call.
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
import type { EpollContext, EpollMember } from './epoll-member.ts';

/** No events. */
const NOTHING = 0;

/** Small writes do not wait for a turn whose bytes are spent: they would cost more as part of a queue. */
const MAX_SMALL_BYTES = 16_384;

/** Larger bytes that were given away wait for the second part of the turn: it is soon, and other clients are answered before. */
const MAX_BYTES_AMONG_NEWS = 65_536;

export class EpollStream extends SocketStream<EpollContext> implements EpollMember {
  /** Somebody else may hold the same open socket: then close(2) alone would leave it in the epoll set. */
  readonly #isAdopted: boolean;
  #queue: WriteQueue | null = null;
  /** The mask that epoll has for the descriptor. */
  #interest: number;
  /** Out of the epoll set, until `resume`. */
  #isParked = false;
  /** The kernel has not taken all of the last send, and EPOLLOUT is to say when it would take more. */
  #hasNoRoom = false;
  /** How much was sent in which part of a turn. */
  #part = 0;
  #sentInPart = 0;

  /** `socket` is in the epoll set with the mask `interest`: with EPOLLOUT, its connection is on the way. */
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
   * `refusal` is what connect(2) has answered already: it is told in the next turn, so that a program which tries again at once
   * leaves time for others.
   */
  connecting(timeoutMs: number, refusal: SystemError | null): void {
    this.error = refusal;
    this.connectWithin(timeoutMs);
  }

  onEvents(events: number): void {
    if (this.isClosing) return;
    if (this.isConnecting) {
      this.#connected();
      return;
    }
    if ((events & EPOLLOUT) !== 0) {
      this.#hasNoRoom = false;
      this.context.awaitTurn(this);
    }
    if ((events & EPOLLIN) !== 0) {
      if (!this.isPaused) this.#receive(); // paused within this turn: the next one knows
    } else if ((events & (EPOLLERR | EPOLLHUP)) !== 0 && !this.hungUp()) {
      this.#park();
    }
  }

  override onTurn(): void {
    if (this.isClosing) return;
    if (!this.#hasNoRoom && !this.isConnecting) this.#drain();
    super.onTurn();
  }

  /** The process ends: the kernel gets what is queued, as far as it has room. No callback runs. */
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
    this.leave();
  }

  #write(bytes: Uint8Array, length: number, isOwned: boolean, flags: number): boolean {
    if (!this.mayWrite(bytes, length)) return false;
    if (length === 0) return this.queuedBytes === 0;
    let sent = 0;
    if (!this.isConnecting && this.queuedBytes === 0) {
      const isForLater = isOwned && length > MAX_BYTES_AMONG_NEWS && this.context.budget.isForNews;
      const most = isForLater ? 0 : this.#allowance(length);
      if (most > 0) sent = this.#send(bytes, 0, most, most < length ? MSG_MORE : flags);
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
      markAsUntransferable(bytes.buffer); // postMessage with a transfer list would take them away
      this.#queue.pushOwned(bytes, sent, length);
    } else this.#queue.pushCopy(bytes, sent, length);
    this.outputQueued();
    this.#goOnLater();
    return false;
  }

  /** Something is queued: it goes on when the kernel has room, and where it has, in the next turn. */
  #goOnLater(): void {
    if (this.#hasNoRoom || this.isConnecting) this.settleLater();
    else this.context.awaitTurn(this);
  }

  /** How many of so many bytes may be sent now: what is left of the share of this stream. */
  #allowance(length: number): number {
    const { budget } = this.context;
    if (this.#part !== budget.part) {
      this.#part = budget.part;
      this.#sentInPart = 0;
    }
    if (length > MAX_SMALL_BYTES && budget.areBytesSpent) return 0;
    return Math.min(length, budget.streamBytes - this.#sentInPart);
  }

  /** send(2). No room is 0 bytes sent, and so is a kernel that is short of memory for the moment. */
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
      this.goAhead();
      this.handler.onData(this, this.context.received(length));
    } else if (length === 0) this.peerEnded();
    // Nothing there after all, a signal, no memory: epoll will report it again.
    else if (isPassing(length)) this.setBack();
    else this.fail('recv', length);
  }

  #drain(): void {
    const queue = this.#queue;
    if (queue === null || queue.byteLength === 0) return;
    const before = queue.byteLength;
    const most = this.#allowance(before);
    const result = queue.drain((bytes, offset, length) => this.#send(bytes, offset, length, 0), most);
    this.outputSent(before - queue.byteLength);
    if (result < 0) {
      this.isAborted = true; // the peer must not take what it has got for the whole
      this.fail('send', result);
      return;
    }
    if (queue.byteLength < before) this.goAhead();
    else if (most > 0) this.setBack();
    if (queue.byteLength > 0) {
      this.#goOnLater();
      return;
    }
    this.settleLater();
    if (this.hasEnded) this.sendFin();
    else this.handler.onDrain?.(this);
  }

  /** The connection attempt has ended, in one way or the other. */
  #connected(): void {
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

  /** It is over, and bytes may still wait to be read: epoll would report that for ever, paused or not. */
  #park(): void {
    this.#isParked = true;
    this.context.epoll.forget(this.socket.fd);
  }

  #applyInterest(): void {
    if (this.isConnecting) return;
    // While something is queued, an EPOLLOUT that is watched stays so: the kernel will soon be full again.
    const watchesOut = this.queuedBytes > 0 && (this.#hasNoRoom || (this.#interest & EPOLLOUT) !== 0);
    const wanted = this.isResting
      ? NOTHING
      : (this.isPaused || this.isPeerEnded ? NOTHING : EPOLLIN) | (watchesOut ? EPOLLOUT : NOTHING);
    if (this.#isParked ? wanted === NOTHING : wanted === this.#interest) return;
    try {
      if (this.#isParked) this.context.epoll.add(this.socket.fd, wanted);
      else this.context.epoll.modify(this.socket.fd, wanted);
      this.#isParked = false;
      this.#interest = wanted;
    } catch (error) {
      this.finish(error as SystemError); // no memory for it, or as many watches as a user may have: epoll_ctl(2)
    }
  }
}
