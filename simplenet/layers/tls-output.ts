/**
 * TlsOutput: what a program writes to a TLS stream, up to the stream below.
 *
 * Bytes are encrypted when the stream below has nothing queued. So what waits for a slow peer waits here, as the program has written it: it is counted and limited as such, a
 * file stays in its file, and the stream below queues one batch of records at most.
 *
 * It calls no callback, so the program's own calls can use it.
 *
 * Next: tls-input.ts
 */

import { EFAULT, ENOBUFS } from '../kernel/abi.ts';
import { preventTransfer } from '../kernel/intrinsic-bytes.ts';
import type { Libc } from '../kernel/libc.ts';
import type { Stream } from '../loop/event-loop.ts';
import { NO_FILE, WriteQueue } from '../loop/write-queue.ts';
import { batchOf, MAX_BATCH_BYTES, type SslConnection } from './ssl-connection.ts';
import { seal, sealFile, sendRecords } from './tls-records.ts';

/** How much of one stream is encrypted in its share of a turn. As LoopLimits.sentBytesPerStream. */
const SHARE_BYTES = 1024 * 1024;

export interface OutputLimits {
  readonly maxQueuedBytes: number;
  readonly libc: Libc;
}

export class TlsOutput {
  /** Something was queued, and `onDrain` has not been called since. */
  owesDrain = false;
  /** The last call that has failed was about a file. */
  isFileFault = false;
  readonly #inner: Stream;
  readonly #limits: OutputLimits;
  /** Null until the handshake is complete: everything is queued. */
  #ssl: SslConnection | null = null;
  #queue: WriteQueue | null = null;
  /** Bytes of the program have gone to the stream below. */
  #hasWritten = false;

  constructor(inner: Stream, limits: OutputLimits) {
    this.#inner = inner;
    this.#limits = limits;
  }

  /** The handshake is complete. */
  open(ssl: SslConnection): void {
    this.#ssl = ssl;
  }

  /** Forgets what is queued. Nothing is sent from now on. */
  close(): void {
    this.#ssl = null;
    this.#queue = null;
  }

  /** What waits here. */
  get waitingBytes(): number {
    return this.#queue === null ? 0 : this.#queue.byteLength;
  }

  /** With what waits in the stream below. Messages of TLS do not count, before the program has written something. */
  get queuedBytes(): number {
    return this.#hasWritten ? this.waitingBytes + this.#inner.queuedBytes : this.waitingBytes;
  }

  /** Returns 0, or -errno: -EPROTO if OpenSSL refuses. `owesDrain` is then whether something is queued. */
  write(bytes: Uint8Array, length: number, isOwned: boolean, hasMore: boolean): number {
    const ssl = this.#ssl;
    this.isFileFault = false;
    let sent = 0;
    if (ssl !== null && this.waitingBytes === 0 && this.#inner.queuedBytes === 0) {
      // Much that may wait leaves in the second part of the turn, so that other clients get their responses first.
      if (!isOwned || length <= MAX_BATCH_BYTES) {
        sent = this.#sendNow(ssl, bytes, length, hasMore);
        if (sent < 0 || sent === length) return Math.min(0, sent);
      }
      this.#inner.awaitTurn();
    } else if (this.#queue !== null && this.#queue.memoryBytes > this.#limits.maxQueuedBytes) return -ENOBUFS;
    this.#queue ??= new WriteQueue();
    if (isOwned) {
      preventTransfer(bytes.buffer); // a program could transfer them with postMessage before they are sent
      this.#queue.pushOwned(bytes, sent, length);
    } else this.#queue.pushCopy(bytes, sent, length);
    this.owesDrain = true;
    return 0;
  }

  /** As `write`, for a part of a file. */
  sendFile(fd: number, offset: number, length: number): number {
    this.#queue ??= new WriteQueue();
    this.#queue.pushFile(fd, offset, length);
    const result = this.sendQueued();
    if (this.queuedBytes > 0) this.owesDrain = true;
    return result;
  }

  /** Sends from the queue while the stream below has room, and one share at most. Returns 0, or -errno. */
  sendQueued(): number {
    const queue = this.#queue;
    const ssl = this.#ssl;
    if (queue === null || ssl === null) return 0;
    const sealChunk = (bytes: Uint8Array, offset: number, length: number, fd: number): number => {
      this.isFileFault = fd !== NO_FILE;
      if (fd !== NO_FILE) return sealFile(ssl, this.#inner, this.#limits.libc, fd, offset, length);
      const result = seal(ssl, this.#inner, bytes, offset, length, false);
      return result < 0 ? result : length;
    };
    let result = 0;
    for (let share = SHARE_BYTES; result === 0 && queue.byteLength > 0 && this.#inner.queuedBytes === 0; ) {
      if (share <= 0) {
        this.#inner.awaitTurn();
        return 0;
      }
      this.#hasWritten = true;
      const before = queue.byteLength;
      result = queue.drain(sealChunk, Math.min(batchOf(queue.byteLength), share));
      if (result === -EFAULT) this.isFileFault = false; // bytes that the program gave away and took back
      share -= before - queue.byteLength;
      sendRecords(ssl, this.#inner);
    }
    return result;
  }

  /** Encrypts and sends while the stream below has room. Returns how much, or -errno. */
  #sendNow(ssl: SslConnection, given: Uint8Array, length: number, hasMore: boolean): number {
    this.#hasWritten = true;
    // TLS over TLS: the bytes are the output of another connection, which has the same memory as that of this one.
    const bytes = given.buffer === ssl.output.buffer ? Buffer.from(given.subarray(0, length)) : given;
    let sent = 0;
    for (let hasRoom = true; hasRoom && sent < length && sent < SHARE_BYTES; ) {
      const batch = Math.min(batchOf(length - sent), SHARE_BYTES - sent);
      const result = seal(ssl, this.#inner, bytes, sent, batch, sent === 0);
      if (result < 0) return result;
      sent += batch;
      hasRoom = sendRecords(ssl, this.#inner, hasMore || sent < length);
      if (!hasRoom) this.owesDrain = true;
    }
    return sent;
  }
}
