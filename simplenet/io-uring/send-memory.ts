/**
 * SendMemory: bytes on their way out, in memory that stays where it is until the kernel has sent them.
 *
 * A program may reuse its bytes as soon as `write` returns; on io_uring the kernel reads them later. So they are copied, into pieces
 * of a few sizes that are used again and again: the last one given back is the first one taken, and still in the processor's cache.
 * An idle connection holds none of them. Large bytes that a program gives away are not copied at all.
 *
 * Next: uring-member.ts
 */

import { intrinsicByteLength, plainView } from '../kernel/intrinsic-bytes.ts';
import type { Libc } from '../kernel/libc.ts';

/** Sizes are powers of two: of a piece that a slow reader holds on to, half at least is in use. */
const SMALLEST_BITS = 10;
const SMALLEST_BYTES = 1 << SMALLEST_BITS;
const SIZES = 7;

/** The most that is copied in one piece. */
export const LARGEST_PIECE_BYTES = SMALLEST_BYTES << (SIZES - 1);

/** Free pieces of one size that are kept for later. */
const MAX_SPARE_BYTES = 512 * 1024;

/** Bytes to be sent: those from `start` to `end`, counted from the address. */
export class Piece {
  readonly bytes: Uint8Array;
  /** Of the first byte that was to be sent. */
  readonly address: number;
  /** Its place among the sizes, or -1 where the bytes are not ours. */
  readonly size: number;
  start = 0;
  end = 0;

  constructor(bytes: Uint8Array, address: number, size: number) {
    this.bytes = bytes;
    this.address = address;
    this.size = size;
  }

  get byteLength(): number {
    return this.end - this.start;
  }
}

const NOT_OURS = -1;
const nothing: Uint8Array = new Uint8Array(0);

export class SendMemory {
  readonly #libc: Libc;
  readonly #spare: readonly Piece[][] = Array.from({ length: SIZES }, () => []);
  readonly #kept: Piece[] = [];
  /** The bytes that were copied last: a program often writes from one buffer, and as many. */
  #source = nothing;
  #view = nothing;

  constructor(libc: Libc) {
    this.#libc = libc;
  }

  /** A piece with room for `byteLength` bytes at least, and nothing in it. */
  take(byteLength: number): Piece {
    const size = byteLength <= SMALLEST_BYTES ? 0 : 32 - Math.clz32((byteLength - 1) >>> SMALLEST_BITS);
    const spare = (this.#spare[size] as Piece[]).pop();
    if (spare !== undefined) return spare;
    const bytes = Buffer.allocUnsafeSlow(SMALLEST_BYTES << size);
    return new Piece(bytes, this.#libc.addressOf(bytes, 0, bytes.length), size);
  }

  /** How large a piece to take behind that one: twice as large, so that many small writes need few pieces. */
  nextSize(piece: Piece | null): number {
    return piece === null ? 0 : Math.min(piece.bytes.length * 2, LARGEST_PIECE_BYTES);
  }

  /** Bytes that somebody has given away. */
  own(bytes: Uint8Array, start: number, end: number): Piece {
    const piece = new Piece(bytes, this.#libc.addressOf(bytes, start, end - start), NOT_OURS);
    piece.end = end - start;
    return piece;
  }

  /** Adds the first `length` bytes, if there is room for them. */
  append(piece: Piece, bytes: Uint8Array, length: number): boolean {
    if (piece.size === NOT_OURS || length > piece.bytes.length - piece.end) return false;
    piece.bytes.set(this.#first(bytes, length), piece.end);
    piece.end += length;
    return true;
  }

  /** The kernel may still read it, and nobody will ever know for how long. */
  keepForEver(piece: Piece): void {
    this.#kept.push(piece);
  }

  giveBack(piece: Piece): void {
    if (piece.size === NOT_OURS) return;
    piece.start = piece.end = 0;
    const spare = this.#spare[piece.size] as Piece[];
    if (spare.length << (SMALLEST_BITS + piece.size) < MAX_SPARE_BYTES) spare.push(piece);
  }

  #first(bytes: Uint8Array, length: number): Uint8Array {
    if (length === intrinsicByteLength(bytes)) return bytes;
    if (bytes !== this.#source || length !== this.#view.length) {
      this.#source = bytes;
      this.#view = plainView(bytes, 0, length);
    }
    return this.#view;
  }
}
