/**
 * PendingInput: bytes of a connection that cannot be used yet, copied out of the receive buffer that all connections share.
 *
 * It grows by doubling, so a head that comes byte by byte is copied a constant number of times per byte. If the total length is known
 * (Content-Length), it grows to just that length once a quarter of it has arrived. Before that, a client could make the server
 * reserve memory with nothing but a declared length.
 *
 * Next: body-memory.ts
 */

const MIN_BYTES = 512;

/** A body can come in chunks of one byte. For so few bytes a loop costs less than making a view and calling `set`. */
const MAX_LOOPED_BYTES = 16;

/** A declared length is trusted once this fraction (one in four) of it has arrived. */
const TRUSTED_FACTOR = 4;

export class PendingInput {
  /** The pending bytes are bytes[start..end). */
  bytes: Buffer;
  start = 0;
  end: number;
  /** Doubling stops at this size. */
  #maxBytes: number;
  #expectedBytes: number;

  /**
   * `maxBytes`: about how much the owner keeps before it pauses reading. `expectedBytes`: the total length; 0 if it is unknown.
   */
  constructor(first: Uint8Array, maxBytes: number, expectedBytes = 0) {
    this.#maxBytes = maxBytes;
    this.#expectedBytes = expectedBytes;
    this.bytes = Buffer.allocUnsafeSlow(this.#sizeFor(first.length, first.length));
    this.bytes.set(first);
    this.end = first.length;
  }

  get byteLength(): number {
    return this.end - this.start;
  }

  /** How much memory the buffer takes. */
  get capacity(): number {
    return this.bytes.length;
  }

  /** All pending bytes, as a view. */
  all(): Buffer {
    return this.bytes.subarray(this.start, this.end);
  }

  /** From now on the owner keeps all bytes that come. `expectedBytes` is the total length, as in the constructor. */
  expectAll(expectedBytes: number): void {
    this.#maxBytes = Number.POSITIVE_INFINITY;
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
    if (needed <= expected && expected <= needed * TRUSTED_FACTOR) return expected;
    return Math.max(needed, Math.min(Math.max(MIN_BYTES, otherwise), this.#maxBytes));
  }
}
