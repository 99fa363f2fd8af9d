/**
 * WriteQueue: bytes that a program has written and the kernel has not taken yet, in order.
 *
 * Copied bytes share chunks, so a thousand small writes to a slow reader cost a few sends later and not a thousand.
 * Bytes given away are kept as they are. The queue itself has no limit; its owner looks at `byteLength`.
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
  /** Whether there may be room behind `end`: only in chunks made here. */
  readonly isOurs: boolean;
}

/** A program may have shrunk or transferred the memory of bytes that it has given away. */
export function isThere({ bytes, end }: Chunk): boolean {
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
      this.pushCopy(bytes, start, end); // a chunk each for a million bytes would cost more than they weigh
      return;
    }
    this.#chunks.push({ bytes, start, end, isOurs: false });
    this.#byteLength += length;
  }

  /**
   * Offers the chunks to `send`, which answers how many bytes it took or a negative number, until all are taken, it takes
   * less than offered, or it has taken `mostBytes`. Answers the negative number, or 0.
   */
  drain(
    send: (bytes: Uint8Array, offset: number, length: number) => number,
    mostBytes = Number.POSITIVE_INFINITY,
  ): number {
    let left = mostBytes;
    while (this.#byteLength > 0 && left > 0) {
      const chunk = this.#chunks[this.#head] as Chunk;
      if (!isThere(chunk)) return -EFAULT;
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

  /** Takes the oldest bytes out of the queue, for somebody who sends them on his own. */
  shift(): Chunk | undefined {
    const chunk = this.#chunks[this.#head];
    if (chunk === undefined) return undefined;
    this.#byteLength -= chunk.end - chunk.start;
    this.#dropHead();
    return chunk;
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
      // Half of the list is behind us. Moving the rest up now and then costs O(1) a chunk; shift() would cost O(n).
      this.#chunks.splice(0, this.#head);
      this.#head = 0;
    }
  }
}
