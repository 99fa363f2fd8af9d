/**
 * SendBuffer: the bytes of a connection that are written and not acknowledged yet. Retransmissions need them at any offset.
 *
 * Copied bytes share chunks, so a thousand small writes cost a few chunks. Owned bytes, which the program has given away, are not
 * copied. Each chunk knows its position in the stream of all bytes ever written, so the chunk of an offset is found by halving the
 * list; the chunk that was read last is tried first, because segments are sent in order. The buffer has no limit of its own:
 * the connection checks `byteLength`.
 *
 * Next: send-stream.ts
 */

import { intrinsicByteLength, plainView } from '../../kernel/intrinsic-bytes.ts';

const CHUNK_BYTES = 16_384;
const SMALL_BYTES = 1_024;
const GROWTH = 4;

interface Chunk {
  readonly bytes: Uint8Array;
  /** How many bytes of the stream lie before bytes[start]. A double counts 2^53 of them: a hundred days at 1 GB/s. */
  readonly position: number;
  readonly start: number;
  end: number;
  /** Whether this file allocated the chunk. Such a chunk may have room behind `end`. */
  readonly isOurs: boolean;
}

export class SendBuffer {
  readonly #chunks: Chunk[] = [];
  #head = 0;
  /** The chunk that `copyTo` read last. */
  #recent = 0;
  /** The position of the first byte here, and the one behind the last. */
  #first = 0;
  #end = 0;

  /** How many bytes are here: the first one is the first that is not acknowledged. */
  get byteLength(): number {
    return this.#end - this.#first;
  }

  /** Appends a copy of bytes[start..end). */
  pushCopy(bytes: Uint8Array, start: number, end: number): void {
    let from = start;
    const last = this.#chunks[this.#chunks.length - 1];
    if (last?.isOurs) {
      const taken = Math.min(last.bytes.byteLength - last.end, end - from);
      last.bytes.set(plainView(bytes, from, from + taken), last.end);
      last.end += taken;
      this.#end += taken;
      from += taken;
    }
    if (from < end) {
      const length = end - from;
      const chunk = Buffer.allocUnsafe(Math.max(length, this.#nextRoom(last))); // few bytes come from Node's pool
      chunk.set(plainView(bytes, from, end));
      this.#push(chunk, 0, length, true);
    }
  }

  /** Appends bytes[start..end) themselves. A few bytes are copied: a chunk for each small write would cost more memory than its bytes. */
  pushOwned(bytes: Uint8Array, start: number, end: number): void {
    if (end - start < SMALL_BYTES) this.pushCopy(bytes, start, end);
    else this.#push(bytes, start, end, false);
  }

  /**
   * How large a chunk behind `last` is at least. A response that is acknowledged before the next one is written needs no room behind it. The
   * few bytes between owned pieces need little, such as the frame of a chunk of HTTP; chunk after chunk of small writes needs more and more.
   */
  #nextRoom(last: Chunk | undefined): number {
    if (last === undefined || this.byteLength === 0) return 0;
    return last.isOurs ? Math.min(Math.max(last.bytes.byteLength * GROWTH, SMALL_BYTES), CHUNK_BYTES) : SMALL_BYTES;
  }

  #push(bytes: Uint8Array, start: number, end: number, isOurs: boolean): void {
    this.#chunks.push({ bytes, position: this.#end, start, end, isOurs });
    this.#end += end - start;
  }

  /**
   * Copies `length` bytes, from `offset` bytes after the first one here, to into[at..). Returns false if the program has shrunk or
   * transferred memory that it had given away: these bytes cannot be sent any more.
   */
  copyTo(into: Uint8Array, at: number, offset: number, length: number): boolean {
    let position = this.#first + offset;
    let index = this.#indexOf(position);
    this.#recent = index;
    const end = position + length;
    let to = at;
    while (position < end) {
      const chunk = this.#chunks[index++] as Chunk;
      if (chunk.end > intrinsicByteLength(chunk.bytes)) return false;
      const from = chunk.start + position - chunk.position;
      const taken = Math.min(chunk.end - from, end - position);
      into.set(plainView(chunk.bytes, from, from + taken), to);
      to += taken;
      position += taken;
    }
    return true;
  }

  /** The index of the last chunk that begins at or before `position`. */
  #indexOf(position: number): number {
    const chunks = this.#chunks;
    const recent = chunks[this.#recent];
    let low = this.#head;
    let high = chunks.length - 1;
    if (recent !== undefined && this.#recent >= low && recent.position <= position) {
      low = this.#recent;
      // Segments are sent in order: the position is mostly in this chunk, or in the next one.
      const behind = chunks[low + 2];
      if (behind === undefined || behind.position > position) high = Math.min(high, low + 1);
    }
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((chunks[middle] as Chunk).position <= position) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Forgets the first `length` bytes. */
  acknowledge(length: number): void {
    this.#first += length;
    let head = this.#head;
    while (head < this.#chunks.length && positionAfter(this.#chunks[head] as Chunk) <= this.#first) head++;
    if (head > this.#head) this.#dropUntil(head);
  }

  #dropUntil(head: number): void {
    const chunks = this.#chunks;
    if (head * 2 > chunks.length) {
      // More than half of the list is used up. Removing it at once costs O(1) per chunk; shift() for each would cost O(n).
      chunks.splice(0, head);
      this.#recent -= head;
      this.#head = 0;
    } else {
      // The list must not keep the memory of what is acknowledged.
      chunks.fill(acknowledged, this.#head, head);
      this.#head = head;
    }
  }

  /** Keeps the first `length` bytes. */
  truncate(length: number): void {
    this.#end = this.#first + length;
    if (length === 0) {
      this.#dropUntil(this.#chunks.length);
      return;
    }
    const index = this.#indexOf(this.#end - 1);
    const last = this.#chunks[index] as Chunk;
    last.end = last.start + this.#end - last.position;
    this.#chunks.length = index + 1;
  }
}

function positionAfter({ position, start, end }: Chunk): number {
  return position + end - start;
}

const acknowledged: Chunk = { bytes: new Uint8Array(0), position: 0, start: 0, end: 0, isOurs: false };
