/**
 * SendMemory: memory for bytes to be sent. It does not move until the kernel has sent them.
 *
 * A program may reuse its bytes as soon as `write` returns, but on io_uring the kernel reads them later. So they are copied into
 * pieces, which have one of a few sizes and are reused. `take` returns the piece that was given back last, because it is still in the
 * processor's cache. An idle connection holds no piece. Large bytes that a program gives away are not copied, and neither are short ones that it
 * gives to one stream after the other.
 *
 * Next: uring-member.ts
 */

import { intrinsicByteLength, plainView, preventTransfer } from '../kernel/intrinsic-bytes.ts';
import type { Libc } from '../kernel/libc.ts';

/** Sizes are powers of two: one list of free pieces for each size. */
const MIN_PIECE_BITS = 10;
const MIN_PIECE_BYTES = 1 << MIN_PIECE_BITS;
const SIZES = 8;

/** Longer writes are not copied into a piece. 64 KiB as records of TLS are a little more than that, and still are. */
export const MAX_PIECE_BYTES = MIN_PIECE_BYTES << (SIZES - 1);

/** Longer writes are not gathered. A batch of TLS records is one of them: a stream that sends much takes one large piece at a time, and not three. */
export const MAX_GATHERED_PIECE_BYTES = 61_440;

/**
 * How much memory of free pieces is kept for each size: 64 of 64 KiB. Making such a piece costs more than to send it, and V8 collects all garbage each time some 30 MB of such memory
 * were made: a large response over TLS costs up to a tenth more if one piece of it is new.
 */
const MAX_SPARE_BYTES = 4 * 1024 * 1024;

/** Bytes to be sent: from `start` to `end`, counted from `address`. */
export class Piece {
  readonly bytes: Uint8Array;
  /** The address of the first byte that was to be sent. */
  readonly address: number;
  /** Its index among the sizes, or -1 if a program gave the bytes away. */
  readonly size: number;
  /** The program counts the bytes as sent. The output that has the piece sets it. */
  isGathered = false;
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

  /** A program gave the bytes away: there is no room of ours behind them. */
  get isFromProgram(): boolean {
    return this.size === FROM_PROGRAM;
  }
}

const FROM_PROGRAM = -1;
const nothing: Uint8Array = new Uint8Array(0);

export class SendMemory {
  readonly #libc: Libc;
  readonly #spare: readonly Piece[][] = Array.from({ length: SIZES }, () => []);
  /** Pieces of a lost ring: see `keepUntilExit`. */
  readonly #kept: Piece[] = [];
  /** The bytes that were copied last, and the view of them: a program often writes the same length from the same buffer. */
  #source = nothing;
  #view = nothing;
  /** The bytes that a program gave away last, and where they are. The address is 0 until they are given a second time. */
  #given = nothing;
  #givenAddress = 0;

  constructor(libc: Libc) {
    this.#libc = libc;
  }

  /** An empty piece with room for at least `byteLength` bytes. */
  take(byteLength: number): Piece {
    const size = byteLength <= MIN_PIECE_BYTES ? 0 : 32 - Math.clz32((byteLength - 1) >>> MIN_PIECE_BITS);
    const spare = (this.#spare[size] as Piece[]).pop();
    if (spare !== undefined) return spare;
    const bytes = Buffer.allocUnsafeSlow(MIN_PIECE_BYTES << size);
    return new Piece(bytes, this.#libc.addressOf(bytes, 0, bytes.length), size);
  }

  /** The size of the piece to take after `piece`: twice as large, so that many small writes need few pieces. */
  nextSize(piece: Piece | null): number {
    return piece === null ? 0 : Math.min(piece.bytes.length * 2, MAX_GATHERED_PIECE_BYTES);
  }

  /** A piece of bytes that a program has given away. They are not copied. */
  own(bytes: Uint8Array, start: number, end: number): Piece {
    const piece = new Piece(bytes, this.#libc.addressOf(bytes, start, end - start), FROM_PROGRAM);
    piece.end = end - start;
    return piece;
  }

  /**
   * A piece of short bytes that a program has given away, if it gave the same ones before: a broadcast to thousands of streams needs no copy for each of them.
   * Null means that they are to be copied.
   */
  share(bytes: Uint8Array): Piece | null {
    if (bytes !== this.#given) {
      this.#given = bytes;
      this.#givenAddress = 0;
      return null;
    }
    if (this.#givenAddress === 0) {
      preventTransfer(bytes.buffer); // a program could transfer them with postMessage while the kernel reads them
      this.#givenAddress = this.#libc.addressOf(bytes, 0, intrinsicByteLength(bytes));
    }
    const piece = new Piece(bytes, this.#givenAddress, FROM_PROGRAM);
    piece.end = intrinsicByteLength(bytes);
    return piece;
  }

  /** Copies the first `length` bytes into the piece. Returns false if they do not fit. */
  append(piece: Piece, bytes: Uint8Array, length: number): boolean {
    if (piece.isFromProgram || length > piece.bytes.length - piece.end) return false;
    piece.bytes.set(this.#first(bytes, length), piece.end);
    piece.end += length;
    return true;
  }

  /** Keeps the piece until the process ends: its ring is lost, so we never know whether the kernel still reads the piece. */
  keepUntilExit(piece: Piece): void {
    this.#kept.push(piece);
  }

  giveBack(piece: Piece): void {
    if (piece.isFromProgram) return;
    piece.start = piece.end = 0;
    const spare = this.#spare[piece.size] as Piece[];
    if (spare.length << (MIN_PIECE_BITS + piece.size) < MAX_SPARE_BYTES) spare.push(piece);
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
