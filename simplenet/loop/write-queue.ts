/**
 * WriteQueue: bytes that a program has written and the kernel has not taken yet, in order.
 *
 * Copied bytes share chunks, so a thousand small writes to a slow reader later cost a few sends, not a thousand. Owned bytes,
 * which the program has given away, are not copied. Bytes of a file stay in the file. The queue has no limit of its own: the stream checks `memoryBytes`.
 *
 * Next: file-pieces.ts
 */

import { EFAULT } from '../kernel/abi.ts';
import { intrinsicByteLength, plainView } from '../kernel/intrinsic-bytes.ts';

const CHUNK_BYTES = 16_384;
const SMALL_BYTES = 1_024;

export interface Chunk {
  readonly bytes: Uint8Array;
  /** The file that holds the bytes from `start` to `end`; NO_FILE if `bytes` does. */
  readonly fd: number;
  start: number;
  end: number;
  /** Whether this file allocated the chunk. Such a chunk may have room behind `end`. */
  readonly isOurs: boolean;
}

export const NO_FILE = -1;
const NO_BYTES = new Uint8Array(0);

/** False if the program has shrunk or transferred the memory of a chunk that it has given away. */
export function isIntact({ bytes, fd, end }: Chunk): boolean {
  return fd !== NO_FILE || end <= intrinsicByteLength(bytes);
}

export class WriteQueue {
  readonly #chunks: Chunk[] = [];
  #head = 0;
  #byteLength = 0;
  #fileBytes = 0;

  get byteLength(): number {
    return this.#byteLength;
  }

  /** How many of the bytes are in memory, and not in a file. */
  get memoryBytes(): number {
    return this.#byteLength - this.#fileBytes;
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
      this.#chunks.push({ bytes: chunk, fd: NO_FILE, start: 0, end: length, isOurs: true });
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
    this.#chunks.push({ bytes, fd: NO_FILE, start, end, isOurs: false });
    this.#byteLength += length;
  }

  /** Appends bytes of an open file. */
  pushFile(fd: number, start: number, length: number): void {
    if (length === 0) return;
    this.#chunks.push({ bytes: NO_BYTES, fd, start, end: start + length, isOurs: false });
    this.#byteLength += length;
    this.#fileBytes += length;
  }

  /**
   * Passes the chunks to `send`, which returns how many bytes it took, or a negative number. Stops when the queue is empty, when `send`
   * takes less than offered, or when it has taken `maxBytes`. Returns 0, or the negative number. If `fd` is not NO_FILE, the bytes are in that file.
   */
  drain(
    send: (bytes: Uint8Array, offset: number, length: number, fd: number) => number,
    maxBytes = Number.POSITIVE_INFINITY,
  ): number {
    let left = maxBytes;
    while (this.#byteLength > 0 && left > 0) {
      const chunk = this.#chunks[this.#head] as Chunk;
      if (!isIntact(chunk)) return -EFAULT;
      const length = Math.min(chunk.end - chunk.start, left);
      const sent = send(chunk.bytes, chunk.start, length, chunk.fd);
      if (sent < 0) return sent;
      chunk.start += sent;
      this.#byteLength -= sent;
      if (chunk.fd !== NO_FILE) this.#fileBytes -= sent;
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
    if (chunk.fd !== NO_FILE) this.#fileBytes -= chunk.end - chunk.start;
    this.#dropHead();
    return chunk;
  }

  /** Keeps the first `byteLength` bytes. */
  truncate(byteLength: number): void {
    let left = byteLength;
    let at = this.#head;
    this.#fileBytes = 0;
    for (; left > 0; at++) {
      const chunk = this.#chunks[at] as Chunk;
      chunk.end = Math.min(chunk.end, chunk.start + left);
      left -= chunk.end - chunk.start;
      if (chunk.fd !== NO_FILE) this.#fileBytes += chunk.end - chunk.start;
    }
    this.#chunks.length = at;
    this.#byteLength = byteLength;
  }

  clear(): void {
    this.#chunks.length = 0;
    this.#head = 0;
    this.#byteLength = 0;
    this.#fileBytes = 0;
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
