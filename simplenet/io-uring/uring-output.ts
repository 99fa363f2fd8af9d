/**
 * UringOutput: the bytes of one stream on their way out, in the order in which they leave.
 *
 *     gather -> gathered pieces ---> the first piece -> one send at a time -> the kernel
 *     push   -> pushed piece, queue ->     (when no gathered piece is left)
 *
 * `gather` takes what is written, if the kernel is likely to have room, and `push` the rest. Gathered bytes are copied, and `write` returned true for them: the program counts them as sent. So they leave even if the program closes
 * the stream. Queued bytes may be dropped then. A write that finds nothing else pushed is copied into a piece as well: new memory for each would cost more than to send it. `gather` refuses while bytes count as queued, so it cannot overtake the queue.
 *
 * A part of a file is in the queue, too. When its turn comes, `file` is that part, and the stream sends it with sendfile(2).
 *
 * The kernel reads the first piece from `send` to `sent`, so its memory stays where it is until then. Two sends at a time could
 * overtake each other.
 *
 * It does not decide when to send, or what a failed send means: uring-stream.ts does.
 *
 * Next: receive-mode.ts
 */

import assert from 'node:assert';
import { EFAULT, MSG_MORE } from '../kernel/abi.ts';
import { type Chunk, isIntact, NO_FILE, WriteQueue } from '../loop/write-queue.ts';
import type { IoUring } from './io-uring.ts';
import { MAX_GATHERED_PIECE_BYTES, MAX_PIECE_BYTES, type Piece, type SendMemory } from './send-memory.ts';

/** The result of a request is a signed 32-bit number, so one send must be shorter than 2 GiB. */
const MAX_SENT_BYTES = 0x4000_0000;

/** How many gathered bytes may wait for the kernel. Above it `write` returns false, and the bytes are queued. */
const MAX_GATHERED_BYTES = 128 * 1024;

export class UringOutput {
  /** `queuedBytes` counts the bytes, and the program waits for `onDrain`. */
  countsAsQueued = false;
  readonly #memory: SendMemory;
  #first: Piece | null = null;
  /** The pieces behind the first one. Only the last piece of all may be a pushed one. */
  #behind: Piece[] | null = null;
  #queue: WriteQueue | null = null;
  #file: Chunk | null = null;
  #gatheredBytes = 0;
  /** How much of the first piece the kernel was asked to send, and 0 if it was not. */
  #offeredBytes = 0;
  /** The program has announced more bytes behind those that are here. */
  #hasMore = false;
  #isDropped = false;

  constructor(memory: SendMemory) {
    this.#memory = memory;
  }

  get isEmpty(): boolean {
    return this.#first === null && this.#queue === null && this.#file === null;
  }

  /** The part of a file that is next, once `prepare` has found it. */
  get file(): Readonly<Chunk> | null {
    return this.#file;
  }

  get isInKernel(): boolean {
    return this.#offeredBytes > 0;
  }

  get isDropped(): boolean {
    return this.#isDropped;
  }

  /** Whether gathered bytes are left. They are sent even after `close`. */
  get mustBeSent(): boolean {
    return this.#first?.isGathered === true;
  }

  /** How many bytes came by `push`, and are not sent. */
  get pushedBytes(): number {
    return this.#pushedPieceBytes + (this.#queue?.memoryBytes ?? 0);
  }

  get #pushedPieceBytes(): number {
    const last = this.#last;
    return last === null || last.isGathered ? 0 : last.byteLength;
  }

  get #fileBytes(): number {
    return this.#file === null ? 0 : this.#file.end - this.#file.start;
  }

  get queuedBytes(): number {
    if (!this.countsAsQueued) return 0;
    return this.#gatheredBytes + this.#pushedPieceBytes + this.#fileBytes + (this.#queue?.byteLength ?? 0);
  }

  /** How much is ready for the next send. */
  get nextBytes(): number {
    return this.#first?.byteLength ?? (this.#fileBytes || (this.#queue?.byteLength ?? 0));
  }

  /** Gathers bytes that other streams send as well, without a copy. Returns false if they are to be copied: behind gathered bytes, which leave in the same send. */
  gatherShared(bytes: Uint8Array): boolean {
    if (this.countsAsQueued || this.#lastGathered !== null) return false;
    const piece = this.#memory.share(bytes);
    if (piece === null) return false;
    this.#addPiece(piece, true);
    this.#gatheredBytes += piece.byteLength;
    return true;
  }

  /** Copies the bytes, unless the kernel is unlikely to have room for them. */
  gather(bytes: Uint8Array, length: number, hasMore: boolean): boolean {
    if (this.countsAsQueued || length > MAX_GATHERED_PIECE_BYTES) return false;
    if (this.#gatheredBytes + length > MAX_GATHERED_BYTES) return false;
    const last = this.#copyIfShared(this.#lastGathered);
    if (last === null || !this.#memory.append(last, bytes, length)) {
      const piece = this.#memory.take(Math.max(length, this.#memory.nextSize(last)));
      this.#memory.append(piece, bytes, length);
      this.#addPiece(piece, true);
    }
    this.#gatheredBytes += length;
    this.#hasMore = hasMore;
    return true;
  }

  /** Queues a copy of the bytes, or the bytes themselves if the program has given them away. */
  push(bytes: Uint8Array, length: number, isOwned: boolean): void {
    this.countsAsQueued = true;
    if (!isOwned && length > 0 && length <= MAX_PIECE_BYTES && this.#hasPushedNothing) {
      const piece = this.#memory.take(length);
      this.#memory.append(piece, bytes, length);
      this.#addPiece(piece, false);
      return;
    }
    this.#queue ??= new WriteQueue();
    if (isOwned) this.#queue.pushOwned(bytes, 0, length);
    else this.#queue.pushCopy(bytes, 0, length);
  }

  /** Queues a part of a file. */
  pushFile(fd: number, offset: number, length: number): void {
    this.#queue ??= new WriteQueue();
    this.#queue.pushFile(fd, offset, length);
    this.countsAsQueued = true;
  }

  /** The kernel has taken `length` bytes of `file`. */
  fileSent(length: number): void {
    const file = this.#file as Chunk;
    file.start += length;
    if (file.start === file.end) this.#file = null;
  }

  /**
   * Makes the first piece ready, or `file`. Returns its size, 0 if nothing can be sent now, or -EFAULT: the program took its bytes away.
   */
  prepare(): number {
    if (this.isInKernel) return 0;
    if (this.#file !== null) return this.#fileBytes;
    if (this.#first === null && this.#queue !== null) {
      const chunk = this.#queue.shift();
      if (this.#queue.byteLength === 0) this.#queue = null;
      if (chunk === undefined) return 0;
      if (!isIntact(chunk)) {
        this.#queue = null;
        return -EFAULT;
      }
      if (chunk.fd !== NO_FILE) {
        this.#file = chunk;
        return this.#fileBytes;
      }
      this.#first = this.#memory.own(chunk.bytes, chunk.start, chunk.end);
    }
    return this.#first?.byteLength ?? 0;
  }

  /** Asks the kernel to send up to `maxBytes` of the piece that `prepare` has made ready. Returns how many. */
  send(ring: IoUring, fd: number, tag: number, maxBytes: number, flags: number): number {
    assert(!this.isInKernel, 'a stream has one send in the kernel');
    const piece = this.#first as Piece;
    const length = Math.min(piece.byteLength, maxBytes, MAX_SENT_BYTES);
    const isAll = length === piece.byteLength && !this.#hasMore && this.#behind === null && this.#queue === null;
    ring.send(fd, tag, piece.address + piece.start, length, isAll ? flags : flags | MSG_MORE);
    this.#hasMore = false;
    this.#offeredBytes = length;
    return length;
  }

  /** The send has completed, and the kernel took `length` bytes. Returns whether it took all that it was offered. */
  sent(length: number): boolean {
    assert(length <= this.#offeredBytes, 'the kernel sends no more than it was offered');
    const isAll = length === this.#offeredBytes;
    this.#offeredBytes = 0;
    const piece = this.#first as Piece;
    piece.start += length;
    if (piece.isGathered) this.#gatheredBytes -= length;
    if (this.#isDropped) this.#freePieces();
    else if (piece.byteLength === 0) this.#freeFirst();
    return isAll;
  }

  /** Queued bytes are not sent any more. Gathered ones are. */
  dropQueue(): void {
    if (this.#behind?.at(-1)?.isGathered === false) this.#memory.giveBack(this.#behind.pop() as Piece);
    if (this.#behind?.length === 0) this.#behind = null;
    this.#queue = this.#file = null;
    this.countsAsQueued = false;
  }

  /** Nothing is sent any more. A piece in the kernel is kept until `sent`. */
  drop(): void {
    this.#queue = this.#file = null;
    this.#isDropped = true;
    if (!this.isInKernel) this.#freePieces();
  }

  /** The ring is lost: the kernel may read the first piece at any later time. */
  lose(): void {
    if (this.#first !== null) this.#memory.keepUntilExit(this.#first);
    this.#first = this.#behind = this.#queue = this.#file = null;
    this.#offeredBytes = 0;
  }

  get #hasPushedNothing(): boolean {
    return this.#queue === null && this.#file === null && this.#last?.isGathered !== false;
  }

  get #last(): Piece | null {
    return this.#behind?.at(-1) ?? this.#first;
  }

  /** The piece that the kernel gets last, unless it has it already. */
  get #lastGathered(): Piece | null {
    return this.#behind?.at(-1) ?? (this.isInKernel ? null : this.#first);
  }

  /** Puts a copy in the place of a last piece that is shared, so that more bytes can leave in the same send. */
  #copyIfShared(last: Piece | null): Piece | null {
    if (last === null || !last.isFromProgram) return last;
    const copy = this.#memory.take(last.byteLength);
    copy.isGathered = true;
    this.#memory.append(copy, last.bytes.subarray(last.start, last.end), last.byteLength);
    if (this.#behind === null) this.#first = copy;
    else this.#behind[this.#behind.length - 1] = copy;
    return copy;
  }

  #addPiece(piece: Piece, isGathered: boolean): void {
    piece.isGathered = isGathered;
    if (this.#first === null) this.#first = piece;
    else {
      this.#behind ??= [];
      this.#behind.push(piece);
    }
  }

  #freeFirst(): void {
    if (this.#first !== null) this.#memory.giveBack(this.#first);
    this.#first = this.#behind?.shift() ?? null;
    if (this.#behind?.length === 0) this.#behind = null;
  }

  #freePieces(): void {
    while (this.#first !== null) this.#freeFirst();
    this.#gatheredBytes = 0;
  }
}
