/**
 * SendStream: the bytes that are written, and our FIN behind them, by their sequence numbers.
 *
 * Next: receive-queue.ts
 */

import { ACK, FIN, PSH } from './segment.ts';
import { SendBuffer } from './send-buffer.ts';
import { add, difference, isAfter } from './sequence.ts';

/** Where a segment finds its payload, and what its flags are. */
export interface Piece {
  readonly flags: number;
  readonly offset: number;
  readonly payload: number;
}

export class SendStream {
  readonly buffer = new SendBuffer();
  /** The sequence number of the first byte in the buffer. */
  #first: number;
  /** The sequence number of our FIN, or -1 before `finish`. */
  #finSequence = -1;

  constructor(firstSequence: number) {
    this.#first = firstSequence;
  }

  /** FIN follows what is in the buffer. */
  finish(): void {
    this.#finSequence = this.#end;
  }

  /** How many bytes lie behind SND.NXT. */
  unsentBytes(next: number): number {
    return Math.max(0, Math.min(this.buffer.byteLength, difference(this.#end, next)));
  }

  /** Whether there is a FIN that was not sent. */
  isFinUnsent(next: number): boolean {
    return this.#finSequence >= 0 && next !== add(this.#finSequence, 1);
  }

  isFinAcknowledged(firstUnacknowledged: number): boolean {
    return this.#finSequence >= 0 && isAfter(firstUnacknowledged, this.#finSequence);
  }

  /** Whether bytes or our FIN are not acknowledged, sent or not. */
  hasUnacknowledged(firstUnacknowledged: number): boolean {
    return this.buffer.byteLength > 0 || (this.#finSequence >= 0 && !this.isFinAcknowledged(firstUnacknowledged));
  }

  /** Forgets what lies before SND.UNA. */
  acknowledge(firstUnacknowledged: number): void {
    const bytes = Math.min(difference(firstUnacknowledged, this.#first), this.buffer.byteLength);
    if (bytes <= 0) return;
    this.buffer.acknowledge(bytes);
    this.#first = add(this.#first, bytes);
  }

  /**
   * The segment with the `length` sequence numbers from `sequence` on, FIN included, or with the first of them if they are more than
   * `limit`.
   */
  pieceAt(sequence: number, length: number, limit: number): Piece {
    const offset = difference(sequence, this.#first);
    const payload = Math.min(length, limit, this.buffer.byteLength - offset);
    const end = add(sequence, payload);
    // PSH where the buffer ends: the peer's program need not wait for more (RFC 9293 section 3.9.1.2).
    const push = payload > 0 && end === this.#end ? PSH : 0;
    const fin = payload < length && end === this.#finSequence ? FIN : 0;
    return { flags: ACK | push | fin, offset, payload };
  }

  get #end(): number {
    return add(this.#first, this.buffer.byteLength);
  }
}
