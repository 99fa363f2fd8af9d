/**
 * UringStream: one connection on the io_uring loop. It asks for bytes before there are any, and gives bytes away before they are sent.
 *
 * What comes lies in a buffer of the loop's BufferRing, so an idle connection owns none. Who sends little at a time is received from
 * by one request for all that comes; who sends much, a buffer at a time, or it would take all of them.
 *
 * What a program writes within a turn is gathered in a piece of memory, which goes to the kernel as one request when the turn
 * ends. There is at most one such request at a time: two could overtake each other.
 *
 * `write` cannot know whether the kernel has room. It answers true for what it has gathered; if the kernel has not taken that by
 * the next turn (`checkSends`), it counts as queued from then on. Bytes for which `write` answered true are sent even
 * when the program closes the stream, as they would be if they were in the kernel: the descriptor then stays until they are.
 *
 * A request that is on its way holds on to the socket and to our memory. So nothing is closed, and no descriptor's number comes
 * back, before the last completion of every request has come: `#requests` counts them.
 *
 * Next: uring-readiness.ts
 */

import { markAsUntransferable } from 'node:worker_threads';
import {
  ECANCELED,
  EFAULT,
  ENOBUFS,
  EPOLLERR,
  EPOLLHUP,
  IORING_CQE_F_BUFFER,
  MSG_DONTWAIT,
  MSG_MORE,
} from '../kernel/abi.ts';
import type { SocketAddress } from '../kernel/socket-address.ts';
import type { SystemError } from '../kernel/system-error.ts';
import type { MinimumProgress } from '../loop/event-loop.ts';
import { isPassing } from '../loop/setbacks.ts';
import { SocketStream } from '../loop/socket-stream.ts';
import { isThere, WriteQueue } from '../loop/write-queue.ts';
import type { Completion } from './ring-layout.ts';
import { LARGEST_PIECE_BYTES, type Piece } from './send-memory.ts';
import type { UringContext, UringMember } from './uring-member.ts';

// What the requests of a stream are tagged with.
const RECEIVE = 1;
const SEND = 2;
const CONNECT = 3;
/** A poll for hang-ups and errors alone, for as long as nothing is received. */
const WATCH = 4;

/** Who sends less at a time leaves buffers for others; who sends more within one turn has had more than its share of them. */
const MULTISHOT_BELOW_BYTES = 32_768;
const SINGLE_FROM_BYTES = 131_072;

/** More than send(2) takes at once, and more than a request has bits for, may be in one piece. */
const MAX_SENT_BYTES = 0x4000_0000;

/** More than that waits for a turn of its own, so that small answers go before the next share of large ones. */
const MAX_SMALL_BYTES = 16_384;

/** To copy a few bytes costs less than to point to them. */
const MAX_COPIED_BYTES = 8_192;

/** How much `write` takes without knowing whether the kernel will. A socket has room for less at first, and for megabytes later. */
const MAX_PROMISED_BYTES = 128 * 1024;

/**
 * What is asked of the peer of a closed stream whose program has asked nothing. The kernel would try for longer; but this holds memory
 * of ours.
 */
const LEAST_PROGRESS: MinimumProgress = { everyMs: 30_000, bytes: 1 };

export class UringStream extends SocketStream<UringContext> implements UringMember {
  #requests = 0;
  #isReceiving = false;
  /** It may be received from by one request for all that comes. */
  #useMultishot = false;
  #lastTurn = 0;
  #bytesInTurn = 0;
  #isStoppingToReceive = false;
  #isWatching = false;
  #isHangUpSeen = false;
  #isLeaving = false;
  #isOutputDropped = false;
  /** What is being gathered, or sent, and what was gathered behind it. */
  #piece: Piece | null = null;
  #behind: Piece[] | null = null;
  #promisedBytes = 0;
  #isInKernel = false;
  /** How much of the piece the kernel was asked to send. */
  #offeredBytes = 0;
  #isUnconfirmed = false;
  /** `write` has answered true for it: it is sent whatever the program does next. */
  #isPromised = false;
  #hasMore = false;
  #hasOutput = false;
  /** What must wait for the piece to be sent. */
  #queue: WriteQueue | null = null;
  /** The program knows of queued bytes, and will be told when they are gone. */
  #owesDrain = false;
  /** What came although the stream is paused: it was on its way already. */
  #held: Buffer[] | null = null;
  #isEndHeld = false;
  #heldError = 0;
  /** The kernel reads it while it connects. */
  #sockaddr: Uint8Array | null = null;

  get queuedBytes(): number {
    if (!this.#owesDrain) return 0;
    const unpromised = this.#isPromised ? 0 : (this.#piece?.byteLength ?? 0);
    return this.#promisedBytes + unpromised + (this.#queue?.byteLength ?? 0);
  }

  protected get isSending(): boolean {
    return this.#piece !== null || this.#queue !== null;
  }

  /** Asks for the first bytes. */
  start(): void {
    this.settleLater();
  }

  /** Asks for the connection. */
  connect(address: SocketAddress, timeoutMs: number): void {
    this.#sockaddr = this.socket.encode(address);
    const pointer = this.socket.libc.addressOf(this.#sockaddr, 0, this.#sockaddr.length);
    this.context.ring.connect(this.socket.fd, CONNECT, pointer, this.#sockaddr.length);
    this.#requests++;
    this.connectWithin(timeoutMs);
    this.settleLater();
  }

  write(bytes: Uint8Array, length = bytes.length, hasMore = false): boolean {
    if (!this.mayWrite(bytes, length)) return false;
    if (length === 0) return this.queuedBytes === 0;
    if (this.#gather(bytes, length)) {
      this.#hasMore = hasMore;
      return true;
    }
    this.#enqueue((queue) => queue.pushCopy(bytes, 0, length));
    return false;
  }

  writeOwned(bytes: Uint8Array): boolean {
    if (!this.mayWrite(bytes, bytes.length)) return false;
    const { length } = bytes;
    if (length <= MAX_COPIED_BYTES) return this.write(bytes, length);
    markAsUntransferable(bytes.buffer); // postMessage with a transfer list would take them away from under the kernel
    this.#enqueue((queue) => queue.pushOwned(bytes, 0, length));
    return false;
  }

  /** What has come may also be in the ring, or be held back while the stream is paused. */
  override hasInput(): boolean {
    if (this.#held !== null) return true;
    return this.context.ring.hasSuccessOf(this.socket.fd, RECEIVE) || super.hasInput();
  }

  /** One that departs already has only so much time left, if the loop is closed meanwhile. */
  override close(): void {
    super.close();
    if (this.#isLeaving && this.#piece !== null) this.#linger();
  }

  override abort(): void {
    this.isAborted = true; // also of one that is closing: it may still have something to send
    super.abort();
    if (this.#isLeaving) this.#abandonOutput();
  }

  override onDeadline(): void {
    if (this.#isLeaving) this.#abandonOutput();
    else super.onDeadline();
  }

  override peerIsStuck(): void {
    if (this.#isLeaving) this.#abandonOutput();
    else super.peerIsStuck();
  }

  override lose(error: SystemError): void {
    super.lose(error);
    this.#isLeaving = true;
    this.#requests = 0; // their completions are lost with the ring
    if (this.#piece !== null) this.context.sendMemory.keepForEver(this.#piece);
    this.#piece = this.#behind = this.#queue = this.#held = null;
    this.settleLater();
  }

  onCompletion(completion: Completion): void {
    if (!completion.hasMore) this.#requests--;
    switch (completion.tag) {
      case RECEIVE:
        this.#received(completion);
        break;
      case SEND:
        this.#sent(completion.result);
        break;
      case CONNECT:
        this.#connected(completion.result);
        break;
      default:
        this.#watched(completion);
    }
    if (this.isClosing && this.#requests === 0) this.settleLater();
  }

  /** A stream that is closing goes on until it departs, and then with what `write` has promised. */
  override onTurn(): void {
    this.flush();
    super.onTurn();
  }

  settle(): void {
    if (!this.isClosing) this.#deliverHeld();
    if (this.isClosing) this.#beginClosing();
    else this.#receiveOrWatch();
  }

  /** Hands a share of the gathered bytes over. */
  flush(): void {
    this.#hasOutput = false;
    if (this.#isInKernel || this.isConnecting || this.isResting) return;
    if (this.#piece === null) this.#nextOfQueue();
    if (this.#piece === null) return;
    this.#send(this.#piece, this.context.budget.streamBytes, 0);
    if (this.#isUnconfirmed) return;
    this.#isUnconfirmed = true;
    this.context.awaitConfirmation(this);
  }

  #send(piece: Piece, mostBytes: number, flags: number): void {
    const length = Math.min(piece.byteLength, mostBytes, MAX_SENT_BYTES);
    const isAll = length === piece.byteLength && !this.#hasMore && this.#behind === null && this.#queue === null;
    this.context.budget.sent(length);
    this.context.ring.send(this.socket.fd, SEND, piece.address + piece.start, length, isAll ? flags : flags | MSG_MORE);
    this.#hasMore = false;
    this.#offeredBytes = length;
    this.#isInKernel = true;
    this.#requests++;
  }

  /**
   * Hands over what the kernel does not have yet, where the stream or the process ends now. Of a stream that is closing it is what `write`
   * has promised, as on epoll that would be in the kernel already. False: there is no more, or the kernel has no room, for which nobody
   * waits.
   */
  flushLast(): boolean {
    if (this.#isInKernel || this.isConnecting) return false;
    if (this.#piece === null) this.#nextOfQueue();
    if (this.#piece === null || (this.isClosing && !this.#isPromised)) return false;
    this.#send(this.#piece, this.#piece.byteLength, MSG_DONTWAIT);
    return true;
  }

  /** A completion while the process ends, of which nobody is told. True: more was handed over. */
  onLastCompletion({ tag, result, hasMore }: Completion): boolean {
    if (!hasMore) this.#requests--;
    return tag === SEND && this.#sentLast(result);
  }

  /** Where the kernel has not taken all that it was offered, the rest is lost, as on epoll, with what is behind it. */
  #sentLast(result: number): boolean {
    this.#isInKernel = false;
    if (result === this.#offeredBytes) {
      this.#advance(this.#piece as Piece, result);
    } else {
      this.#dropPieces();
      this.#queue = null;
    }
    return this.flushLast();
  }

  /** The kernel has had the chance to take what `flush` gave it. If it has not, then for want of room: the peer does not read. */
  checkSends(): void {
    this.#isUnconfirmed = false;
    if (this.#isInKernel) this.#oweDrain();
  }

  /** Copies the bytes, if the program may believe that the kernel has room for them. */
  #gather(bytes: Uint8Array, length: number): boolean {
    if (this.#owesDrain || this.isConnecting) return false;
    if (this.#promisedBytes + length > MAX_PROMISED_BYTES || length > LARGEST_PIECE_BYTES) return false;
    const { sendMemory } = this.context;
    const last = this.#behind?.at(-1) ?? (this.#isInKernel ? null : this.#piece);
    if (last === null || !sendMemory.append(last, bytes, length)) {
      const piece = sendMemory.take(Math.max(length, sendMemory.nextSize(last)));
      sendMemory.append(piece, bytes, length);
      this.#line(piece);
    }
    this.#promisedBytes += length;
    this.#mustFlush();
    return true;
  }

  #line(piece: Piece): void {
    if (this.#piece === null) {
      this.#piece = piece;
      this.#isPromised = true;
    } else {
      this.#behind ??= [];
      this.#behind.push(piece);
    }
  }

  #enqueue(push: (queue: WriteQueue) => void): void {
    if (this.queuedBytes - this.#promisedBytes > this.context.maxQueuedBytes) {
      this.fail('send', -ENOBUFS);
      return;
    }
    this.#queue ??= new WriteQueue();
    push(this.#queue);
    this.#oweDrain();
    this.#mustFlush();
  }

  /** Counts what is unsent as queued. */
  #oweDrain(): void {
    this.#owesDrain = true;
    this.outputQueued();
  }

  #mustFlush(): void {
    if (this.#hasOutput) return;
    this.#hasOutput = true;
    const { byteLength } = this.#piece ?? (this.#queue as WriteQueue); // there is something to flush
    if (byteLength > MAX_SMALL_BYTES) this.context.awaitTurn(this);
    else this.context.requestFlush(this);
  }

  protected override rested(): void {
    if (this.isSending) this.#mustFlush();
    super.rested();
  }

  #nextOfQueue(): void {
    const chunk = this.#queue?.shift();
    if (this.#queue?.byteLength === 0) this.#queue = null;
    if (chunk === undefined) return;
    if (!isThere(chunk)) {
      this.#queue = null;
      this.isAborted = true; // the peer must not take what it has got for the whole
      this.fail('send', -EFAULT);
      return;
    }
    this.#piece = this.context.sendMemory.own(chunk.bytes, chunk.start, chunk.end);
    this.#isPromised = false;
  }

  #sent(result: number): void {
    if (this.#isLeaving && this.isAborted && !this.#isOutputDropped) {
      this.#sentLast(result);
      return;
    }
    this.#isInKernel = false;
    const piece = this.#piece as Piece;
    const isFailed = result < 0 && !isPassing(result);
    if (isFailed || this.#isOutputDropped) {
      this.#dropPieces();
      if (isFailed && !this.isClosing) this.fail('send', result);
      return;
    }
    if (result > 0) this.goAhead();
    else this.setBack();
    const sent = Math.max(0, result);
    this.outputSent(sent);
    if (this.#isPromised) this.#promisedBytes -= sent;
    if (!this.#advance(piece, sent)) this.#oweDrain();
    if (this.isSending) this.#mustFlush();
    else if (!this.isClosing) this.#drained();
  }

  /** True: all of the piece is sent, and the next one is due. */
  #advance(piece: Piece, sent: number): boolean {
    piece.start += sent;
    if (piece.byteLength > 0) return false;
    this.#nextPiece();
    return true;
  }

  #nextPiece(): void {
    if (this.#piece !== null) this.context.sendMemory.giveBack(this.#piece);
    this.#piece = this.#behind?.shift() ?? null;
    if (this.#behind?.length === 0) this.#behind = null;
  }

  #dropPieces(): void {
    while (this.#piece !== null) this.#nextPiece();
    this.#promisedBytes = 0;
  }

  #drained(): void {
    const owedDrain = this.#owesDrain;
    this.#owesDrain = false;
    this.outputSent(0);
    if (this.hasEnded) this.sendFin();
    else if (owedDrain) this.handler.onDrain?.(this);
  }

  #connected(result: number): void {
    this.#sockaddr = null;
    if (this.isClosing) return;
    if (result < 0) {
      this.fail('connect', result);
      return;
    }
    this.opened();
    if (this.isClosing) return;
    if (this.isSending) this.#mustFlush();
    else if (this.hasEnded && !this.isFinSent) this.sendFin();
  }

  #received({ result, flags, hasMore }: Completion): void {
    if (!hasMore) this.#isReceiving = this.#isStoppingToReceive = false;
    if ((flags & IORING_CQE_F_BUFFER) !== 0) this.#receivedInto(flags, result, hasMore);
    else if (this.isClosing) return;
    else if (result === 0) this.#endReceived();
    else if (result !== -ECANCELED && !isPassing(result)) this.#broken(result);
    // Who got no buffer asks again before those who did, who ask when this turn ends. There will be buffers then: it is no setback.
    else if (result === -ENOBUFS) this.#receiveOrWatch();
    else if (result !== -ECANCELED) this.setBack();
    if (!this.#isReceiving) this.settleLater();
  }

  #receivedInto(flags: number, length: number, hasMore: boolean): void {
    const { buffers } = this.context;
    this.#chooseReceiveMode(length);
    this.goAhead();
    if (hasMore && !this.#useMultishot) this.#stopReceiving();
    try {
      if (this.isClosing) return;
      const bytes = buffers.received(flags, length);
      if (this.isPaused || this.#held !== null) this.#hold(bytes);
      else this.handler.onData(this, bytes);
    } finally {
      buffers.done(flags, length);
    }
  }

  #chooseReceiveMode(length: number): void {
    const { turn } = this.context;
    this.#bytesInTurn = turn === this.#lastTurn ? this.#bytesInTurn + length : length;
    this.#lastTurn = turn;
    if (this.#bytesInTurn >= SINGLE_FROM_BYTES) this.#useMultishot = false;
    else if (length < MULTISHOT_BELOW_BYTES) this.#useMultishot = true;
  }

  #endReceived(): void {
    if (this.isPaused || this.#held !== null) this.#isEndHeld = true;
    else this.peerEnded();
  }

  /** The kernel has given all bytes that came before. Those that we hold go first. */
  #broken(result: number): void {
    if (this.#held === null || this.handler.endsAtBreak === true) this.fail('recv', result);
    else this.#heldError = result;
  }

  #hold(bytes: Buffer): void {
    this.#held ??= [];
    this.#held.push(Buffer.from(bytes));
  }

  #deliverHeld(): void {
    while (this.#held !== null && !this.isPaused && !this.isClosing) {
      const bytes = this.#held.shift() as Buffer;
      if (this.#held.length === 0) this.#held = null;
      this.handler.onData(this, bytes);
    }
    if (this.isPaused || this.isClosing) return;
    if (this.#heldError !== 0) this.fail('recv', this.#heldError);
    if (!this.#isEndHeld) return;
    this.#isEndHeld = false;
    this.peerEnded();
  }

  #watched({ result, hasMore }: Completion): void {
    if (!hasMore) {
      this.#isWatching = false;
      this.settleLater();
    }
    if (result <= 0 || (result & (EPOLLERR | EPOLLHUP)) === 0) return;
    this.#isHangUpSeen = true; // it is told once: while we receive it waits for the end of that
    if (!this.isClosing && !this.#isReceiving) this.#hungUp();
  }

  #hungUp(): void {
    if ((this.#held === null && !this.#isEndHeld) || this.handler.endsAtBreak === true) this.hungUp();
  }

  #receiveOrWatch(): void {
    if (this.isConnecting) return;
    const { ring, buffers } = this.context;
    const { fd } = this.socket;
    if (!this.isPaused && !this.isPeerEnded && !this.#isEndHeld && !this.isResting) {
      if (this.#isReceiving) return;
      this.#isReceiving = true;
      this.#requests++;
      ring.receive(fd, RECEIVE, buffers.group, this.#useMultishot);
      return;
    }
    if (this.#isReceiving) this.#stopReceiving();
    // Who does not receive would not learn that the connection is gone.
    if (this.#isWatching) {
      if (this.#isHangUpSeen) this.#hungUp();
      return;
    }
    this.#isWatching = true;
    this.#requests++;
    ring.poll(fd, WATCH, 0, true);
  }

  #stopReceiving(): void {
    if (this.#isStoppingToReceive) return;
    this.#isStoppingToReceive = true;
    this.context.ring.cancel(this.socket.fd, RECEIVE);
  }

  /** Ends what is under way, and leaves when all of it has ended. */
  #beginClosing(): void {
    if (!this.#isLeaving) {
      this.#isLeaving = true;
      this.#held = null;
      this.context.deadlines.set(this, Number.POSITIVE_INFINITY); // the program's is of no interest any more
      const { ring } = this.context;
      const { fd } = this.socket;
      if (this.#isReceiving) this.#stopReceiving();
      if (this.#isWatching) ring.cancel(fd, WATCH);
      if (this.#sockaddr !== null) ring.cancel(fd, CONNECT);
      // What `write` has promised is sent, as on epoll, where it is in the kernel. What it has put off is dropped, as there.
      this.#queue = null;
      this.#owesDrain = false;
      if (this.isAborted) {
        if (!this.flushLast()) this.#dropOutput();
      } else if (this.error !== null || !this.#isPromised) this.#dropOutput();
      else if (this.#piece !== null) this.#linger();
    }
    if (this.#requests > 0 || this.#piece !== null) return;
    this.leave();
  }

  /** What is still to be sent goes on for as long as the peer takes it, and the loop waits. */
  #linger(): void {
    const { deadlines, lingerMs } = this.context;
    deadlines.set(this, Math.min(this.deadlineAt, this.context.activeNow() + lingerMs));
    this.#owesDrain = true; // what is watched counts as queued
    this.watchOutput(this.minimumProgress ?? LEAST_PROGRESS);
  }

  #abandonOutput(): void {
    this.isAborted = true;
    this.#dropOutput();
    this.settleLater();
  }

  #dropOutput(): void {
    this.#isOutputDropped = true;
    if (this.#isInKernel) this.context.ring.cancel(this.socket.fd, SEND);
    else this.#dropPieces();
  }
}
