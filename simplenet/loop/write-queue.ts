/**
 * WriteQueue: bytes that a program has written and the kernel has not taken yet, in order.
 *
 * Copied bytes share chunks, so a thousand small writes to a slow reader later cost a few sends, not a thousand. Owned bytes,
 * which the program has given away, are not copied. The queue has no limit of its own: the stream checks `byteLength`.
 *
 * Next: output-watch.ts
 */

import { EFAULT } from '../kernel/abi.ts';
import { intrinsicByteLength, plainView } from '../kernel/intrinsic-bytes.ts';

const CHUNK_BYTES = 16_384;
const SMALL_BYTES = 1_024;

export interface Chunk {
  readonly bytes: Uint8Array;
  start: number;
  end: number;
  /** Whether this file allocated the chunk. Such a chunk may have room behind `end`. */
  readonly isOurs: boolean;
}

/** False if the program has shrunk or transferred the memory of a chunk that it has given away. */
export function isIntact({ bytes, end }: Chunk): boolean {
  return end <= intrinsicByteLength(bytes);
}

export class WriteQueue {
  readonly #chunks: Chunk[] = [];
  #head = 0;
  #byteLength = 0;

  get byteLength(): number {
    return this.#byteLength;
  }

  /** Appends a copy of bytes[start..end). */
  pushCopy(bytes: Uint8Array, start: number, end = bytes.byteLength): void {
    let from = start;
    const last = this.#chunks[this.#chunks.length - 1];
    if (last?.isOurs) {
      const taken = Math.min(last.bytes.byteLength - last.end, end - from);
      last.bytes.set(plainView(bytes, from, from + taken), last.end);
      last.end += taken;
      from += taken;
    }
    if (from < end) {
      const length = end - from;
      const chunk = Buffer.allocUnsafeSlow(Math.max(length, CHUNK_BYTES));
      chunk.set(plainView(bytes, from, end));
      this.#chunks.push({ bytes: chunk, start: 0, end: length, isOurs: true });
    }
    this.#byteLength += end - start;
  }

  /** Appends bytes[start..end) themselves. */
  pushOwned(bytes: Uint8Array, start: number, end = bytes.byteLength): void {
    const length = end - start;
    if (length < SMALL_BYTES) {
      this.pushCopy(bytes, start, end); // a chunk for each small write would cost more memory than its bytes
      return;
    }
    this.#chunks.push({ bytes, start, end, isOurs: false });
    this.#byteLength += length;
  }

  /**
   * Passes the chunks to `send`, which returns how many bytes it took, or a negative number. Stops when the queue is empty, when `send`
   * takes less than offered, or when it has taken `maxBytes`. Returns 0, or the negative number.
   */
  drain(
    send: (bytes: Uint8Array, offset: number, length: number) => number,
    maxBytes = Number.POSITIVE_INFINITY,
  ): number {
    let left = maxBytes;
    while (this.#byteLength > 0 && left > 0) {
      const chunk = this.#chunks[this.#head] as Chunk;
      if (!isIntact(chunk)) return -EFAULT;
      const length = Math.min(chunk.end - chunk.start, left);
      const sent = send(chunk.bytes, chunk.start, length);
      if (sent < 0) return sent;
      chunk.start += sent;
      this.#byteLength -= sent;
      left -= sent;
      if (sent < length) return 0;
      if (chunk.start === chunk.end) this.#dropHead();
    }
    return 0;
  }

  /** Removes the oldest chunk from the queue and returns it. */
  shift(): Chunk | undefined {
    const chunk = this.#chunks[this.#head];
    if (chunk === undefined) return undefined;
    this.#byteLength -= chunk.end - chunk.start;
    this.#dropHead();
    return chunk;
  }

  /** Keeps the first `byteLength` bytes. */
  truncate(byteLength: number): void {
    let left = byteLength;
    let at = this.#head;
    for (; left > 0; at++) {
      const chunk = this.#chunks[at] as Chunk;
      chunk.end = Math.min(chunk.end, chunk.start + left);
      left -= chunk.end - chunk.start;
    }
    this.#chunks.length = at;
    this.#byteLength = byteLength;
  }

  clear(): void {
    this.#chunks.length = 0;
    this.#head = 0;
    this.#byteLength = 0;
  }

  #dropHead(): void {
    this.#head++;
    if (this.#head === this.#chunks.length) {
      this.clear();
    } else if (this.#head * 2 > this.#chunks.length) {
      // Half of the list is used up. Removing that half at once costs O(1) per chunk; shift() for each would cost O(n).
      this.#chunks.splice(0, this.#head);
      this.#head = 0;
    }
  }
}
