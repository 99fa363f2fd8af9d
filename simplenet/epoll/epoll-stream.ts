/**
 * EpollStream: one connection on the epoll loop. It reads when epoll reports that the socket is readable.
 *
 * Most of the cost of a server is here, so a stream makes few calls. Each report costs one recv(2), into the buffer of the loop,
 * and no second one that would return EAGAIN. A short write goes to the batch of the turn (send-batch.ts), and those behind it
 * leave together (burst.ts); any other one calls send(2) at once. None of them waits for EPOLLOUT, which is watched only while something is queued. An
 * idle connection owns no buffer.
 *
 * A stream closes its descriptor when the turn ends (`settle`): turn.ts says why. Its interest changes then, too, so pausing and resuming
 * within one callback costs no system call.
 *
 * Next: epoll-listener.ts
 */

import { EINTR, ENOBUFS, ENODATA, EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, MSG_MORE } from '../kernel/abi.ts';
import { preventTransfer } from '../kernel/intrinsic-bytes.ts';
import type { SocketAddress } from '../kernel/socket-address.ts';
import type { SystemError } from '../kernel/system-error.ts';
import type { StreamHandler } from '../loop/event-loop.ts';
import { isPassing, MAX_ATTEMPTS_AT_ONCE } from '../loop/setbacks.ts';
import { SocketStream } from '../loop/socket-stream.ts';
import { NO_FILE, WriteQueue } from '../loop/write-queue.ts';
import type { NetSocket } from '../sockets/net-socket.ts';
import { MAX_HELD_BYTES } from './burst.ts';
import { NO_EVENTS } from './epoll.ts';
import type { EpollContext, EpollMember } from './epoll-member.ts';
import { type BatchedSender, MAX_SHORT_BYTES } from './send-batch.ts';

/** Writes up to this size are sent even if the byte budget of the turn is spent: queueing them would cost more. */
const MAX_SMALL_BYTES = 16_384;

/** Owned bytes above this size wait for the second part of the turn, so that other clients get their responses first. */
const MAX_BYTES_AMONG_NEWS = 65_536;

export class EpollStream extends SocketStream<EpollContext> implements EpollMember, BatchedSender {
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
  /** Where in the batch of the turn a write of this stream lies, and how long it is; 0 if there is none. */
  #gatheredAt = 0;
  #gatheredBytes = 0;
  /** The burst of the last short write. */
  #burst = 0;
  /** Short writes that leave when the burst ends. While there is one, nothing is in the batch and nothing is queued. */
  #held: Uint8Array[] | null = null;
  #heldBytes = 0;
  /** How many bytes at the head of the queue come from the batch or were held. The program counts them as sent, so they leave even after `close`. */
  #acceptedBytes = 0;

  /** `socket` is in the epoll set with the mask `interest`. EPOLLOUT in it means that the socket is connecting. */
  constructor(
    context: EpollContext,
    socket: NetSocket,
    peer: SocketAddress | string,
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

  /** Queued bytes that take memory. */
  get #memoryBytes(): number {
    return this.#queue === null ? 0 : this.#queue.memoryBytes;
  }

  protected get isSending(): boolean {
    return this.queuedBytes > 0 || this.#gatheredBytes > 0 || this.#heldBytes > 0;
  }

  /** The stream is closing, and none of the bytes that the program counts as sent is left. */
  get #isDone(): boolean {
    return this.isClosing && this.#acceptedBytes === 0;
  }

  write(bytes: Uint8Array, length = bytes.length, hasMore = false): boolean {
    return this.#write(bytes, length, false, hasMore ? MSG_MORE : 0);
  }

  writeOwned(bytes: Uint8Array): boolean {
    return this.#write(bytes, bytes.length, true, 0);
  }

  sendFile(fd: number, offset: number, length: number): boolean {
    if (!this.checkSendFile(fd, offset, length)) return false;
    if (length === 0) return this.queuedBytes === 0;
    if (!this.#sendAcceptedFirst()) return false;
    let sent = 0;
    if (!this.isConnecting && this.queuedBytes === 0) {
      const isForLater = length > MAX_BYTES_AMONG_NEWS && this.context.budget.isForNews;
      const max = isForLater ? 0 : this.#allowance(length);
      if (max > 0) sent = this.#sendFile(fd, offset, max);
      if (sent === length) return true;
      if (sent < 0) {
        this.#sendFailed(sent);
        return false;
      }
    }
    this.#queue ??= new WriteQueue();
    this.#queue.pushFile(fd, offset + sent, length - sent);
    this.outputQueued();
    this.#continueLater();
    return false;
  }

  /**
   * `refusal` is the error that connect(2) has already returned. `onClose` reports it in the next turn, so that a program which
   * connects again at once does not hold up other streams.
   */
  connecting(timeoutMs: number, refusal: SystemError | null): void {
    this.error = refusal;
    this.connectWithin(timeoutMs);
  }

  override lose(error: SystemError): void {
    super.lose(error);
    if (this.isLingering) this.abandonOutput();
    else this.dropOutput();
  }

  onEvents(events: number): void {
    if (this.isClosing) {
      if (this.#acceptedBytes > 0) this.#roomReported();
      return;
    }
    if (this.isConnecting) {
      this.#connectEnded();
      return;
    }
    if ((events & EPOLLOUT) !== 0) this.#roomReported();
    if ((events & EPOLLIN) !== 0) {
      if (!this.isPaused) this.#receive(); // paused in this turn: `settle` will change the interest
    } else if ((events & (EPOLLERR | EPOLLHUP)) !== 0 && !this.checkHangUp()) {
      this.#park();
    }
  }

  override onTurn(): void {
    if (this.#isDone) return;
    if (!this.#hasNoRoom && !this.isConnecting) this.#drain();
    super.onTurn();
  }

  /** At the end of the process: sends as much of the queue as the kernel has room for. Calls no callback. */
  flushLast(): void {
    this.#sendHeld();
    if (this.#isDone || this.isConnecting) return;
    this.#sendQueued(Number.POSITIVE_INFINITY);
    if (this.isClosing) this.settleLater(); // it has lingered
  }

  settle(): void {
    this.#sendHeld();
    if (this.needsSettle) return; // it has ended the stream or queued the rest, and `settle` is called again
    if (this.isClosing && !this.isLingering && this.#acceptedBytes > 0) this.#beginLingering();
    if (!this.#isDone) {
      this.#applyInterest(); // it may end the stream
      if (!this.#isDone) return;
    }
    if (this.#isAdopted && !this.#isParked) this.context.epoll.forget(this.socket.fd);
    this.#queue = null;
    this.dispose();
  }

  /** The batch of the turn is sent. */
  sendGathered(batch: Uint8Array): void {
    const length = this.#gatheredBytes;
    if (length === 0) return;
    this.#gatheredBytes = 0;
    this.#sendAccepted(batch, this.#gatheredAt, length);
  }

  /** The burst ends, or something else is to leave. */
  #sendHeld(): void {
    const pieces = this.#held;
    if (pieces === null) return;
    const length = this.#heldBytes;
    this.#held = null;
    this.#heldBytes = 0;
    this.#sendAccepted(this.context.burst.joined(pieces), 0, length);
  }

  /** Sends bytes that the program counts as sent. Nothing is queued. */
  #sendAccepted(bytes: Uint8Array, start: number, length: number): void {
    const max = this.#allowance(length);
    const sent = max === 0 ? 0 : this.#send(bytes, start, max, 0);
    if (sent < 0) {
      this.fail('send', sent);
    } else if (sent < length) {
      this.#acceptedBytes = length - sent;
      this.#enqueue(bytes, start + sent, start + length, false);
    } else if (this.hasEnded && !this.isFinSent && !this.isClosing) this.sendFin();
  }

  #write(bytes: Uint8Array, length: number, isOwned: boolean, flags: number): boolean {
    if (!this.checkWrite(bytes, length)) return false;
    if (length === 0) return this.queuedBytes === 0;
    const isShort = flags === 0 && length <= MAX_SHORT_BYTES && this.queuedBytes === 0 && !this.isConnecting;
    if (isShort && (this.#isFurtherWrite() ? this.#hold(bytes, length, isOwned) : this.#gather(bytes, length)))
      return true;
    if (!this.#sendAcceptedFirst()) return false;
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
    } else if (this.#memoryBytes > this.context.maxQueuedBytes) {
      this.fail('send', -ENOBUFS);
      return false;
    }
    this.#enqueue(bytes, sent, length, isOwned);
    return false;
  }

  /** Keeps the order: what the program counts as sent leaves before other bytes. Returns false if the stream ends with that. */
  #sendAcceptedFirst(): boolean {
    this.sendGathered(this.context.batch.bytes);
    this.#sendHeld();
    return !this.isClosing;
  }

  /** Whether the stream has made a short write before in this burst. */
  #isFurtherWrite(): boolean {
    const before = this.#burst;
    this.#burst = this.context.burst.join();
    return this.#burst === before;
  }

  /** Returns false if too much is held already. */
  #hold(bytes: Uint8Array, length: number, isOwned: boolean): boolean {
    if (this.#heldBytes + length > MAX_HELD_BYTES) return false;
    const { batch, burst } = this.context;
    if (this.#held === null) {
      this.#held = [];
      this.settleLater();
    }
    if (this.#gatheredBytes > 0) {
      const end = this.#gatheredAt + this.#gatheredBytes;
      this.#held.push(burst.copyOf(batch.bytes.subarray(this.#gatheredAt, end), this.#gatheredBytes, false));
      this.#heldBytes = this.#gatheredBytes;
      this.#gatheredBytes = 0; // the batch leaves it out
    }
    this.#held.push(burst.copyOf(bytes, length, isOwned));
    this.#heldBytes += length;
    return true;
  }

  #gather(bytes: Uint8Array, length: number): boolean {
    const at = this.context.batch.add(this, bytes, length);
    if (at < 0) return false;
    this.#gatheredAt = at;
    this.#gatheredBytes = length;
    return true;
  }

  #enqueue(bytes: Uint8Array, start: number, end: number, isOwned: boolean): void {
    this.#queue ??= new WriteQueue();
    if (isOwned) {
      preventTransfer(bytes.buffer); // a program could transfer them with postMessage before they are sent
      this.#queue.pushOwned(bytes, start, end);
    } else this.#queue.pushCopy(bytes, start, end);
    this.outputQueued();
    this.#continueLater();
  }

  /** epoll has reported room, or an error that the next send will return. */
  #roomReported(): void {
    this.#hasNoRoom = false;
    this.context.turn.awaitTurn(this);
  }

  /** Something is queued. Sends more of it after EPOLLOUT if the kernel has no room, else in this stream's next share of a turn. */
  #continueLater(): void {
    if (this.#hasNoRoom || this.isConnecting) this.settleLater();
    else this.context.turn.awaitTurn(this);
  }

  /** How many of `length` bytes may be sent now: the rest of this stream's share (TurnBudget), or 0 if the budget of all streams is spent. */
  #allowance(length: number): number {
    const { budget } = this.context;
    if (this.#part !== budget.part) {
      this.#part = budget.part;
      this.#sentInPart = 0;
    }
    if (length > MAX_SMALL_BYTES && budget.areBytesSpent) return 0;
    return budget.shareOf(length, this.#sentInPart);
  }

  /** send(2). Returns 0 if the kernel has no room or is short of memory, and -errno for other errors. */
  #send(bytes: Uint8Array, offset: number, length: number, flags: number): number {
    let sent = this.socket.tryWrite(bytes, offset, length, flags);
    for (let attempts = 1; sent === -EINTR && attempts < MAX_ATTEMPTS_AT_ONCE; attempts++) {
      sent = this.socket.tryWrite(bytes, offset, length, flags);
    }
    return this.#sent(sent, length);
  }

  /** sendfile(2). Returns what `#send` does. */
  #sendFile(fd: number, offset: number, length: number): number {
    return this.#sent(this.trySendFile(fd, offset, length), length);
  }

  #sent(result: number, length: number): number {
    const sent = isPassing(result) ? 0 : result;
    this.#hasNoRoom = sent < length;
    if (sent < 0) return sent;
    this.#sentInPart += sent;
    this.context.budget.sent(sent);
    return sent;
  }

  /** A send or sendfile has failed. With RST the peer knows that bytes are missing. */
  #sendFailed(result: number): void {
    this.isAborted = true;
    this.dropOutput();
    this.fail(result === -ENODATA ? 'sendfile' : 'send', result);
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

  /** Sends from the queue. Returns 0, or -errno. */
  #sendQueued(maxBytes: number): number {
    const before = this.queuedBytes;
    const send = (bytes: Uint8Array, offset: number, length: number, fd: number) =>
      fd === NO_FILE ? this.#send(bytes, offset, length, 0) : this.#sendFile(fd, offset, length);
    const result = this.#queue?.drain(send, maxBytes) ?? 0;
    const sent = before - this.queuedBytes;
    this.#acceptedBytes = Math.max(0, this.#acceptedBytes - sent);
    this.outputSent(sent);
    return result;
  }

  #drain(): void {
    const before = this.queuedBytes;
    if (before === 0) return;
    const max = this.#allowance(before);
    const result = this.#sendQueued(max);
    if (result < 0) {
      this.#sendFailed(result);
      this.settleLater(); // it may be lingering
      return;
    }
    if (this.queuedBytes < before) this.callSucceeded();
    else if (max > 0) this.callRefused();
    if (this.queuedBytes > 0) {
      this.#continueLater();
      return;
    }
    this.settleLater();
    if (this.isClosing) return;
    if (this.hasEnded) this.sendFin();
    else this.handler.onDrain?.(this);
  }

  /** The program has closed the stream. Only what it counts as sent is still sent. */
  #beginLingering(): void {
    if (this.isAborted || this.error !== null) this.dropOutput();
    else {
      this.#queue?.truncate(this.#acceptedBytes);
      this.linger();
    }
  }

  protected override dropOutput(): void {
    this.#acceptedBytes = 0;
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
    else if (this.hasEnded && !this.isFinSent && !this.isSending) this.sendFin();
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
    const watchesIn = !this.isPaused && !this.isPeerEnded && !this.isClosing;
    const wanted = this.isResting ? NO_EVENTS : (watchesIn ? EPOLLIN : NO_EVENTS) | (watchesOut ? EPOLLOUT : NO_EVENTS);
    if (this.#isParked ? wanted === NO_EVENTS : wanted === this.#interest) return;
    try {
      if (this.#isParked) this.context.epoll.add(this.socket.fd, wanted);
      else this.context.epoll.modify(this.socket.fd, wanted);
      this.#isParked = false;
      this.#interest = wanted;
    } catch (error) {
      // epoll_ctl(2): ENOMEM, or ENOSPC if the user has too many watches
      if (this.isLingering) this.abandonOutput();
      else this.finish(error as SystemError);
    }
  }
}
