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

import {
  EAGAIN,
  EINTR,
  ENOBUFS,
  ENOMEM,
  EPIPE,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  ETIMEDOUT,
  MSG_MORE,
  SHUT_WR,
} from './abi.ts';
import type { Deadlines, Timed } from './deadlines.ts';
import type { Epoll } from './epoll.ts';
import type { Stream, StreamHandler } from './event-loop.ts';
import type { NetSocket, PeerCredentials } from './net-socket.ts';
import { decodeSocketAddress, type SocketAddress } from './socket-address.ts';
import { SystemError } from './system-error.ts';
import { WriteQueue } from './write-queue.ts';

/** Something with a descriptor in the epoll set. */
export interface Watched {
  /** `events` is its mask in the turn of that number. */
  onEvents(events: number, turn: number): void;
  /** One of its callbacks threw: nobody knows what state the program behind it is in. */
  onThrow(): void;
  /** Carries out what was decided during the turn. */
  settle(): void;
  close(): void;
}

/** What everything on a loop needs from it. */
export interface Home {
  readonly epoll: Epoll;
  /** All receive into this buffer, one after the other. */
  readonly receiveBuffer: Buffer;
  /** Its first `length` bytes. */
  received(length: number): Buffer;
  /** Calls `settle` when this turn ends, or soon if there is none. */
  unsettled(watched: Watched): void;
  /** The descriptor is closed. */
  gone(fd: number): void;
  /** Runs a callback; what it throws ends `watched` and is raised. */
  guard(watched: Watched, callback: () => void): void;
}

export interface StreamHome extends Home {
  readonly deadlines: Deadlines;
  readonly maxQueuedBytes: number;
  /** The host's clock, read once a turn. */
  now(): number;
}

/** No events. */
const NOTHING = 0;

/** Chunks sent in one turn: others wait, too. */
const MOST_SENDS = 64;

export class EpollStream implements Stream, Watched, Timed {
  handler: StreamHandler;
  deadlineAt = Number.POSITIVE_INFINITY;
  deadlineSlot = -1;

  readonly #home: StreamHome;
  readonly #socket: NetSocket;
  /** Somebody else may hold the same open socket: then close(2) alone would leave it in the epoll set. */
  readonly #isAdopted: boolean;
  /** A struct sockaddr until somebody asks, which in most connections nobody does. */
  #peer: SocketAddress | Uint8Array;
  #queue: WriteQueue | null = null;
  /** The mask that epoll has for the descriptor. */
  #interest: number;
  #isConnecting: boolean;
  /** A deadline that was set before the connection stood counts from then. */
  #delayOnceOpenMs = Number.POSITIVE_INFINITY;
  #isPaused = false;
  /** Out of the epoll set, until `resume`. */
  #isParked = false;
  #isEnded = false;
  #isFinSent = false;
  #isPeerEnded = false;
  #isUnsettled = false;
  #isSettled = false;
  #isClosing = false;
  #isAborted = false;
  #error: SystemError | null = null;

  /** `socket` is in the epoll set with the mask `interest`: with EPOLLOUT, its connection is on the way. */
  constructor(
    home: StreamHome,
    socket: NetSocket,
    peer: SocketAddress | Uint8Array,
    interest: number,
    handler: StreamHandler,
    isAdopted = false,
  ) {
    this.#home = home;
    this.#socket = socket;
    this.#peer = peer;
    this.#interest = interest;
    this.#isConnecting = (interest & EPOLLOUT) !== 0;
    this.handler = handler;
    this.#isAdopted = isAdopted;
  }

  get remoteAddress(): SocketAddress {
    if (this.#peer instanceof Uint8Array) this.#peer = decodeSocketAddress(this.#peer, this.#peer.byteLength);
    return this.#peer;
  }

  get localAddress(): SocketAddress {
    return this.#socket.localAddress;
  }

  get peerCredentials(): PeerCredentials | null {
    return this.#socket.peerCredentials;
  }

  get queuedBytes(): number {
    return this.#queue === null ? 0 : this.#queue.byteLength;
  }

  get isEnded(): boolean {
    return this.#isEnded || this.#isClosing;
  }

  write(bytes: Uint8Array, length = bytes.length, hasMore = false): boolean {
    return this.#write(bytes, length, false, hasMore ? MSG_MORE : 0);
  }

  writeOwned(bytes: Uint8Array): boolean {
    return this.#write(bytes, bytes.length, true, 0);
  }

  pause(): void {
    this.#isPaused = true;
    this.#unsettle();
  }

  resume(): void {
    this.#isPaused = false;
    this.#unsettle();
  }

  end(): void {
    if (this.isEnded) return;
    this.#isEnded = true;
    if (!this.#isConnecting && this.queuedBytes === 0) this.#sendFin();
  }

  close(): void {
    this.finish(null);
  }

  abort(): void {
    if (!this.#isClosing) this.#isAborted = true;
    this.finish(null);
  }

  setDeadline(delayMs: number): void {
    if (Number.isNaN(delayMs)) throw new RangeError('a delay is a number of milliseconds, not NaN');
    if (this.#isConnecting) this.#delayOnceOpenMs = delayMs;
    else if (!this.#isClosing) this.#home.deadlines.set(this, this.#home.now() + delayMs);
  }

  /**
   * The connection is on its way, for that long at most. `refusal` is what connect(2) has answered already: it is told in
   * the next turn, so that a program which tries again at once leaves time for others.
   */
  connecting(timeoutMs: number, refusal: SystemError | null): void {
    this.#error = refusal;
    this.#home.deadlines.set(this, this.#home.now() + timeoutMs);
  }

  /** Ends the stream; `onClose` will tell, with that error. The first call counts. */
  finish(error: SystemError | null): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#error = error;
    this.#unsettle();
  }

  onEvents(events: number): void {
    if (this.#isClosing) return;
    if (this.#isConnecting) {
      this.#connected();
      return;
    }
    if ((events & EPOLLOUT) !== 0) this.#drain();
    if (this.#isClosing) return;
    if ((events & EPOLLIN) !== 0) {
      if (!this.#isPaused) this.#receive(); // paused within this turn: the next one knows
    } else if ((events & (EPOLLERR | EPOLLHUP)) !== 0) {
      this.#hungUp();
    }
  }

  onThrow(): void {
    this.abort();
  }

  onDeadline(): void {
    if (this.#isClosing) return;
    if (this.#isConnecting) this.#fail('connect', -ETIMEDOUT);
    else if (this.handler.onTimeout === undefined) this.#fail('deadline', -ETIMEDOUT);
    else this.#home.guard(this, () => this.handler.onTimeout?.(this));
  }

  settle(): void {
    this.#isUnsettled = false;
    if (!this.#isClosing) {
      this.#applyInterest();
      return;
    }
    this.#isSettled = true;
    const { fd } = this.#socket;
    this.#home.deadlines.remove(this);
    if (this.#isAdopted && !this.#isParked) this.#home.epoll.delete(fd);
    if (this.#isAborted) this.#socket.reset();
    else this.#socket.close();
    this.#queue = null;
    this.#home.gone(fd);
    this.handler.onClose?.(this, this.#error);
  }

  #write(bytes: Uint8Array, length: number, isOwned: boolean, flags: number): boolean {
    if (this.#isClosing) return false; // the peer may leave at any time: writing on is no mistake of the program
    if (this.#isEnded) throw new Error('write after end: this program has ended the stream');
    if (!Number.isInteger(length) || length < 0 || length > bytes.length) {
      throw new RangeError(`${String(length)} of ${bytes.length} bytes cannot be written`);
    }
    if (length === 0) return this.queuedBytes === 0;
    let sent = 0;
    if (!this.#isConnecting && this.queuedBytes === 0) {
      sent = this.#send(bytes, 0, length, flags);
      if (sent === length) return true;
      if (sent < 0) {
        this.#fail('send', sent);
        return false;
      }
    } else if (this.queuedBytes > this.#home.maxQueuedBytes) {
      this.#fail('send', -ENOBUFS);
      return false;
    }
    this.#queue ??= new WriteQueue();
    if (isOwned) this.#queue.pushOwned(bytes, sent);
    else this.#queue.pushCopy(bytes, sent, length);
    this.#unsettle();
    return false;
  }

  /** send(2). No room is 0 bytes sent, and so is a kernel that is short of memory for the moment. */
  #send(bytes: Uint8Array, offset: number, length: number, flags: number): number {
    let sent = this.#socket.tryWrite(bytes, offset, length, flags);
    while (sent === -EINTR) sent = this.#socket.tryWrite(bytes, offset, length, flags);
    return sent === -EAGAIN || sent === -ENOBUFS || sent === -ENOMEM ? 0 : sent;
  }

  #receive(): void {
    const { receiveBuffer } = this.#home;
    const length = this.#socket.tryRead(receiveBuffer, 0, receiveBuffer.length);
    if (length > 0) this.handler.onData(this, this.#home.received(length));
    else if (length === 0) this.#peerEnded();
    // Nothing there after all, or a signal: epoll will report it again.
    else if (length !== -EAGAIN && length !== -EINTR) this.#fail('recv', length);
  }

  #peerEnded(): void {
    this.#isPeerEnded = true;
    if (this.handler.onEnd !== undefined) this.handler.onEnd(this);
    else this.end();
    if (this.#isFinSent) this.finish(null);
    // Otherwise our side is still open, and the descriptor stays readable for ever: watch it no more.
    else this.#unsettle();
  }

  #drain(): void {
    if (this.#queue === null) return;
    const result = this.#queue.drain((bytes, offset, length) => this.#send(bytes, offset, length, 0), MOST_SENDS);
    if (result < 0) {
      this.#fail('send', result);
      return;
    }
    if (this.#queue.byteLength > 0) return;
    this.#unsettle();
    if (this.#isEnded) this.#sendFin();
    else this.handler.onDrain?.(this);
  }

  /** shutdown(2). If the peer has ended too, the close(2) that follows anyway sends the same FIN. */
  #sendFin(): void {
    if (this.#isPeerEnded) {
      this.finish(null);
      return;
    }
    this.#isFinSent = true;
    const result = this.#socket.libc.shutdown(this.#socket.fd, SHUT_WR);
    if (result < 0) this.#fail('shutdown', result);
  }

  /** The connection attempt has ended, in one way or the other. */
  #connected(): void {
    if (this.#error !== null) {
      this.finish(this.#error);
      return;
    }
    const error = this.#socket.takeError();
    if (error !== 0) {
      this.#fail('connect', -error);
      return;
    }
    this.#isConnecting = false;
    this.setDeadline(this.#delayOnceOpenMs);
    this.#unsettle();
    this.handler.onOpen?.(this);
    if (this.#isClosing) return;
    if (this.queuedBytes > 0) this.#drain();
    else if (this.#isEnded && !this.#isFinSent) this.#sendFin();
  }

  /** Reported while we do not read. */
  #hungUp(): void {
    const error = this.#socket.takeError();
    if (error !== 0) this.#fail('recv', -error);
    else if (this.#isPeerEnded)
      this.#fail('send', -EPIPE); // a Unix peer has closed both ways: nobody will read
    else this.#park();
  }

  /** Both ways are shut and bytes may still wait to be read: epoll would report that for ever, paused or not. */
  #park(): void {
    this.#isParked = true;
    this.#home.epoll.delete(this.#socket.fd);
  }

  #fail(syscall: string, result: number): void {
    this.finish(new SystemError(syscall, result, this.remoteAddress));
  }

  #unsettle(): void {
    if (this.#isUnsettled || this.#isSettled) return;
    this.#isUnsettled = true;
    this.#home.unsettled(this);
  }

  #applyInterest(): void {
    if (this.#isConnecting) return;
    const wanted =
      (this.#isPaused || this.#isPeerEnded ? NOTHING : EPOLLIN) | (this.queuedBytes > 0 ? EPOLLOUT : NOTHING);
    if (this.#isParked) {
      if (wanted === NOTHING) return;
      this.#isParked = false;
      this.#home.epoll.add(this.#socket.fd, wanted);
    } else if (wanted !== this.#interest) {
      this.#home.epoll.modify(this.#socket.fd, wanted);
    }
    this.#interest = wanted;
  }
}
