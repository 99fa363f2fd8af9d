/**
 * PendingInput: bytes of a connection that cannot be used yet, copied out of the buffer that all connections share.
 *
 * It grows by doubling, so a head that comes byte by byte is copied a constant number of times per byte. Where it is known how
 * much will come, as with Content-Length, it grows to just that, but not on the word of a client that has sent next to nothing.
 *
 * Next: body-memory.ts
 */

const SMALLEST_BYTES = 512;

/** A view and a call for fewer bytes cost more than a loop: a body can come in chunks of one byte. */
const MAX_LOOPED_BYTES = 16;

/** What is promised is believed by those who have sent a quarter of it. */
const PROMISE_FACTOR = 4;

export class PendingInput {
  /** What waits is bytes[start..end). */
  bytes: Buffer;
  start = 0;
  end: number;
  /** More room than this is not made in advance. */
  #mostBytes: number;
  #expectedBytes: number;

  /**
   * `mostBytes`: how much the owner keeps before it stops the peer. `expectedBytes`: how much will come altogether; 0 where nobody
   * knows.
   */
  constructor(first: Uint8Array, mostBytes: number, expectedBytes = 0) {
    this.#mostBytes = mostBytes;
    this.#expectedBytes = expectedBytes;
    this.bytes = Buffer.allocUnsafeSlow(this.#sizeFor(first.length, first.length));
    this.bytes.set(first);
    this.end = first.length;
  }

  get byteLength(): number {
    return this.end - this.start;
  }

  /** How much memory it takes. */
  get capacity(): number {
    return this.bytes.length;
  }

  /** All of it, where it lies. */
  all(): Buffer {
    return this.bytes.subarray(this.start, this.end);
  }

  /** From now on the owner keeps all that comes, which will be `expectedBytes` altogether. */
  expectAll(expectedBytes: number): void {
    this.#mostBytes = Number.POSITIVE_INFINITY;
    this.#expectedBytes = expectedBytes;
  }

  /** Copies more[from..to). */
  append(more: Uint8Array, from = 0, to = more.byteLength): void {
    const byteLength = to - from;
    if (this.end + byteLength > this.bytes.length) this.#makeRoom(byteLength);
    if (byteLength <= MAX_LOOPED_BYTES) {
      for (let at = from; at < to; at++) this.bytes[this.end++] = more[at] as number;
      return;
    }
    this.bytes.set(more.subarray(from, to), this.end);
    this.end += byteLength;
  }

  #makeRoom(byteLength: number): void {
    const needed = this.byteLength + byteLength;
    const target =
      needed > this.bytes.length / 2 ? Buffer.allocUnsafeSlow(this.#sizeFor(needed, needed * 2)) : this.bytes;
    this.bytes.copy(target, 0, this.start, this.end);
    this.bytes = target;
    this.end -= this.start;
    this.start = 0;
  }

  #sizeFor(needed: number, otherwise: number): number {
    const expected = this.#expectedBytes;
    if (needed <= expected && expected <= needed * PROMISE_FACTOR) return expected;
    return Math.max(needed, Math.min(Math.max(SMALLEST_BYTES, otherwise), this.#mostBytes));
  }
}
