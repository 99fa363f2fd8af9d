/**
 * ReceiveQueue: what has arrived and is not consumed yet, in order and out of order.
 *
 * Next: round-trip.ts
 */

export interface ReceiveLimits {
  /** How many bytes are kept, in order and out of order, from the first one that is not consumed. */
  readonly maxBytes: number;
  /** How many ranges with gaps between them are kept. */
  readonly maxRanges: number;
}

export class ReceiveQueue {
  /** RCV.NXT: the sequence number of the first byte that is missing. FIN is not a byte: the connection adds one for it. */
  readonly nextSequence: number = 0;
  /** Bytes in order that are not consumed. */
  readonly readableBytes: number = 0;
  /** Bytes behind a gap. */
  readonly outOfOrderBytes: number = 0;
  /** May be changed: a larger buffer takes effect at once, a smaller one as bytes are consumed. */
  maxBytes: number;

  /** `firstSequence` is that of the first byte: the ISN of the peer plus one. */
  constructor(_firstSequence: number, limits: ReceiveLimits) {
    this.maxBytes = limits.maxBytes;
  }

  /** How many bytes from `nextSequence` on are accepted: what the window may say. Receiving never makes its right edge smaller. */
  get windowBytes(): number {
    throw new Error('to be written');
  }

  /**
   * Takes the payload bytes[start..end) of a segment with this sequence number. What is outside the window or here already is left out:
   * the bytes that came first stay. Returns by how many bytes `nextSequence` has moved.
   *
   * Bytes in order are not copied: they are a view of `bytes` until `keep` is called. The next `receive` calls it, too.
   */
  receive(_sequence: number, _bytes: Buffer, _start: number, _end: number): number {
    throw new Error('to be written');
  }

  /** The next bytes in order, or null. They stay valid until the memory of the segment is used again, or `consume`. */
  get readable(): Buffer | null {
    throw new Error('to be written');
  }

  /** Forgets the first `length` bytes of `readable`. */
  consume(_length: number): void {
    throw new Error('to be written');
  }

  /** Copies what is still a view of the last segment. */
  keep(): void {
    throw new Error('to be written');
  }

  /** Forgets everything that is readable or out of order: nobody will read it. `nextSequence` stays. */
  clear(): void {
    throw new Error('to be written');
  }

  /** Whether there is something to say in a SACK option: a gap, or a duplicate that is not reported yet. */
  get hasSackBlocks(): boolean {
    throw new Error('to be written');
  }

  /**
   * The SACK blocks for the next ACK, as pairs of sequence numbers: first the bytes that came twice in the last segment (RFC 2883),
   * once; then the range with the latest segment, and the ranges that were reported before it (RFC 2018 section 4).
   */
  takeSackBlocks(_maxBlocks: number): number[] {
    throw new Error('to be written');
  }
}
