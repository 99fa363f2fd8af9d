/**
 * PendingInput: bytes of a connection that cannot be used yet, copied out of the buffer that all connections share.
 *
 * It grows by doubling, so a head that comes byte by byte is copied a constant number of times per byte.
 *
 * Next: body-clock.ts
 */

const SMALLEST_BYTES = 512;

export class PendingInput {
  /** What waits is bytes[start..end). */
  bytes: Buffer;
  start = 0;
  end: number;

  constructor(first: Uint8Array) {
    this.bytes = Buffer.allocUnsafeSlow(Math.max(SMALLEST_BYTES, first.byteLength));
    this.bytes.set(first);
    this.end = first.byteLength;
  }

  get byteLength(): number {
    return this.end - this.start;
  }

  /** All of it, where it lies. */
  all(): Buffer {
    return this.bytes.subarray(this.start, this.end);
  }

  append(more: Uint8Array): void {
    if (this.end + more.byteLength > this.bytes.length) this.#makeRoom(more.byteLength);
    this.bytes.set(more, this.end);
    this.end += more.byteLength;
  }

  #makeRoom(byteLength: number): void {
    const needed = this.byteLength + byteLength;
    const target = needed > this.bytes.length / 2 ? Buffer.allocUnsafeSlow(needed * 2) : this.bytes;
    this.bytes.copy(target, 0, this.start, this.end);
    this.bytes = target;
    this.end -= this.start;
    this.start = 0;
  }
}
