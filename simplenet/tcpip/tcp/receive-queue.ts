/**
 * ReceiveQueue: what has arrived on a connection and is not consumed yet, in order and out of order.
 *
 * Bytes in order are given to the reader where they lie, in the memory of the frame that has just arrived. Only what the reader does
 * not take at once is copied. Bytes behind a gap are copied at once, into ranges with gaps between them.
 *
 * The bytes that came first stay: a segment that overlaps them is trimmed. Otherwise whoever can inject a segment could
 * change bytes that a firewall has already seen.
 *
 * Memory stays in proportion to the bytes, however small the segments are: a run of bytes grows by chunks that double, and a
 * short run is copied when it is joined to another one. A peer could otherwise make each byte cost an object.
 *
 * Refuses what is outside the window, and a new range beyond `maxRanges`: the peer sends both again, since they are not acknowledged.
 * FIN is not a byte: the connection looks after it.
 *
 * Next: reset-reply.ts
 */

import { difference } from './sequence.ts';

const CHUNK_BYTES = 16_384;
/** More SACK blocks do not fit into an option (RFC 2018 section 3). */
const MAX_REPORTED = 4;

export interface ReceiveLimits {
  /** How many bytes are kept, in order and out of order, counted from the first one that is not consumed. */
  readonly maxBytes: number;
  /** How many ranges with gaps between them are kept. */
  readonly maxRanges: number;
}

interface Chunk {
  readonly bytes: Buffer;
  start: number;
  end: number;
}

/** Bytes without a gap, in memory of our own. */
class Run {
  byteLength = 0;
  readonly #chunks: Chunk[] = [];

  append(bytes: Buffer, start: number, end: number): void {
    let from = start;
    const last = this.#chunks[this.#chunks.length - 1];
    if (last !== undefined) {
      from += Math.min(last.bytes.length - last.end, end - start);
      bytes.copy(last.bytes, last.end, start, from);
      last.end += from - start;
    }
    if (from < end) {
      const length = end - from;
      // allocUnsafe would take few bytes from Node's pool, and then one byte could keep 8 KiB alive.
      const chunk = Buffer.allocUnsafeSlow(Math.max(length, Math.min(this.byteLength, CHUNK_BYTES)));
      bytes.copy(chunk, 0, from, end);
      this.#chunks.push({ bytes: chunk, start: 0, end: length });
    }
    this.byteLength += end - start;
  }

  /** Appends all bytes of `other`, which is not used any more. */
  join(other: Run): void {
    if (other.byteLength > CHUNK_BYTES) {
      for (const chunk of other.#chunks) this.#chunks.push(chunk);
      this.byteLength += other.byteLength;
    } else {
      for (const { bytes, start, end } of other.#chunks) this.append(bytes, start, end);
    }
  }

  get first(): Buffer | null {
    const chunk = this.#chunks[0];
    return chunk === undefined ? null : chunk.bytes.subarray(chunk.start, chunk.end);
  }

  consume(length: number): void {
    const chunk = this.#chunks[0] as Chunk;
    chunk.start += length;
    this.byteLength -= length;
    if (chunk.start === chunk.end) this.#chunks.shift();
  }
}

/** Bytes behind a gap. Positions count from the first byte of the stream and do not wrap. */
interface Range {
  readonly start: number;
  end: number;
  readonly run: Run;
}

export class ReceiveQueue {
  /** May be changed: a larger buffer takes effect at once, a smaller one as bytes are consumed. */
  maxBytes: number;
  readonly #maxRanges: number;
  readonly #firstSequence: number;
  /** The position of the first byte that is missing. */
  #next = 0;
  /** Bytes in order that are kept. Behind them are those in the memory of the last frame, if any. */
  #kept = new Run();
  #frame: Buffer | null = null;
  #frameStart = 0;
  #frameEnd = 0;
  /** In order of their positions. No two touch. */
  #ranges: Range[] = [];
  #outOfOrderBytes = 0;
  /** The ranges that SACK blocks report, the latest first. */
  #reported: Range[] = [];
  /** The bytes of the last segment that had come before. */
  #duplicateStart = 0;
  #duplicateEnd = 0;

  /** `firstSequence` is that of the first byte: the ISN of the peer plus one. */
  constructor(firstSequence: number, limits: ReceiveLimits) {
    this.#firstSequence = firstSequence;
    this.maxBytes = limits.maxBytes;
    this.#maxRanges = limits.maxRanges;
  }

  /** RCV.NXT without FIN: the sequence number of the first byte that is missing. */
  get nextSequence(): number {
    return this.#sequenceOf(this.#next);
  }

  /** Bytes in order that are not consumed. */
  get readableBytes(): number {
    return this.#kept.byteLength + this.#frameEnd - this.#frameStart;
  }

  /** Bytes behind a gap. */
  get outOfOrderBytes(): number {
    return this.#outOfOrderBytes;
  }

  /** How many bytes from `nextSequence` on are accepted: what the window may say. `receive` does not move its right edge. */
  get windowBytes(): number {
    return Math.max(0, this.maxBytes - this.readableBytes);
  }

  /**
   * Takes the payload bytes[start..end) of a segment with this sequence number, without what is outside the window or here already.
   * Returns by how many bytes `nextSequence` has moved. `promisedBytes`: a window that the peer has been told, which counts if it is larger.
   *
   * Bytes in order stay where they are until `keep` is called: before the memory of the frame is used again. `receive` calls it as well.
   */
  receive(sequence: number, bytes: Buffer, start: number, end: number, promisedBytes = 0): number {
    this.keep();
    const before = this.#next;
    const first = before + difference(sequence, this.nextSequence);
    const from = Math.max(first, before);
    const to = Math.min(first + end - start, before + Math.max(this.windowBytes, promisedBytes));
    this.#duplicateStart = first;
    this.#duplicateEnd = Math.min(before, first + end - start);
    if (from >= to) return 0;
    if (from === before && this.#ranges.length === 0) {
      this.#frame = bytes;
      this.#frameStart = start + from - first;
      this.#frameEnd = start + to - first;
      this.#next = to;
    } else {
      this.#insert(from, to, bytes, start - first);
      if (this.#ranges[0]?.start === before) this.#deliver(this.#ranges[0]);
    }
    return this.#next - before;
  }

  /** Puts into the gaps between the ranges what [from..to) has for them. The byte at position `p` is bytes[p + offset]. */
  #insert(from: number, to: number, bytes: Buffer, offset: number): void {
    const ranges = this.#ranges;
    const index = this.#indexOf(from);
    let position = from;
    while (position < to) {
      let range = ranges[index];
      if (range === undefined || range.start > position) {
        // A segment in order is always taken: it fills the gap before all ranges, and is delivered at once.
        if (ranges.length >= this.#maxRanges && position > this.#next) return;
        range = { start: position, end: position, run: new Run() };
        ranges.splice(index, 0, range);
      } else if (range.end > position) {
        this.#addDuplicate(position, Math.min(range.end, to));
        position = range.end;
      }
      this.#report(range);
      const following = ranges[index + 1];
      const end = Math.min(to, following?.start ?? to);
      if (position < end) {
        range.run.append(bytes, position + offset, end + offset);
        this.#outOfOrderBytes += end - position;
        range.end = end;
        position = end;
      }
      if (following?.start === range.end) this.#join(range, following, index + 1);
    }
  }

  /** The index of the first range that ends at or after `position`. */
  #indexOf(position: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ranges[middle] as Range).end < position) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #join(range: Range, following: Range, index: number): void {
    range.run.join(following.run);
    range.end = following.end;
    this.#ranges.splice(index, 1);
    this.#unreport(following);
  }

  /** The first range has no gap before it any more. */
  #deliver(range: Range): void {
    this.#next = range.end;
    this.#outOfOrderBytes -= range.run.byteLength;
    if (this.#kept.byteLength === 0) this.#kept = range.run;
    else this.#kept.join(range.run);
    this.#ranges.shift();
    this.#unreport(range);
  }

  /** The next bytes in order, or null. They stay valid until the memory of the frame is used again, or until `consume`. */
  get readable(): Buffer | null {
    return this.#kept.first ?? this.#frame?.subarray(this.#frameStart, this.#frameEnd) ?? null;
  }

  /** Forgets the first `length` bytes of `readable`. */
  consume(length: number): void {
    if (this.#kept.byteLength > 0) {
      this.#kept.consume(length);
      return;
    }
    this.#frameStart += length;
    if (this.#frameStart === this.#frameEnd) this.#forgetFrame();
  }

  /** Copies what still lies in the memory of the last frame. */
  keep(): void {
    if (this.#frame === null) return;
    this.#kept.append(this.#frame, this.#frameStart, this.#frameEnd);
    this.#forgetFrame();
  }

  #forgetFrame(): void {
    this.#frame = null;
    this.#frameStart = 0;
    this.#frameEnd = 0;
  }

  /** Forgets all bytes, because the program will not read them. `nextSequence` stays. */
  clear(): void {
    this.#forgetFrame();
    this.#kept = new Run();
    this.#ranges = [];
    this.#reported = [];
    this.#outOfOrderBytes = 0;
    this.#duplicateEnd = this.#duplicateStart;
  }

  /** Whether the next ACK has something for a SACK option: a gap, or bytes that came twice. */
  get hasSackBlocks(): boolean {
    return this.#ranges.length > 0 || this.#duplicateEnd > this.#duplicateStart;
  }

  /**
   * The SACK blocks for the next ACK, as pairs of sequence numbers. First, and once, the bytes of the last segment that had come before
   * (RFC 2883). Then the range with the latest segment, and the ranges that were reported before it (RFC 2018 section 4): each block
   * is in several ACKs, so a lost ACK does no harm.
   */
  takeSackBlocks(maxBlocks: number): number[] {
    const blocks: number[] = [];
    if (this.#duplicateEnd > this.#duplicateStart) {
      blocks.push(this.#sequenceOf(this.#duplicateStart), this.#sequenceOf(this.#duplicateEnd));
      this.#duplicateEnd = this.#duplicateStart;
    }
    for (const range of this.#reportable()) {
      if (blocks.length >= maxBlocks * 2) break;
      blocks.push(this.#sequenceOf(range.start), this.#sequenceOf(range.end));
    }
    return blocks;
  }

  /** The reported ranges. Those that have been delivered or joined leave room for others. */
  #reportable(): readonly Range[] {
    for (const range of this.#ranges) {
      if (this.#reported.length === Math.min(MAX_REPORTED, this.#ranges.length)) break;
      if (!this.#reported.includes(range)) this.#reported.push(range);
    }
    return this.#reported;
  }

  #report(range: Range): void {
    if (this.#reported[0] === range) return;
    this.#unreport(range);
    this.#reported.unshift(range);
    if (this.#reported.length > MAX_REPORTED) this.#reported.pop();
  }

  #unreport(range: Range): void {
    const index = this.#reported.indexOf(range);
    if (index !== -1) this.#reported.splice(index, 1);
  }

  /** A block reports one piece without a gap: the first one. */
  #addDuplicate(start: number, end: number): void {
    if (this.#duplicateEnd > this.#duplicateStart) return;
    this.#duplicateStart = start;
    this.#duplicateEnd = end;
  }

  #sequenceOf(position: number): number {
    return (this.#firstSequence + position) >>> 0;
  }
}
