/**
 * FilePieces: a part of a file, read piece by piece, for a Stream whose bytes do not leave by sendfile(2): one that encrypts them, or has a TCP of its own.
 *
 * Such a stream calls `feed` from `sendFile`, and again each time that it has room. At most one piece of each stream is in memory beyond what the stream
 * itself queues. The rules of `sendFile` hold: the program keeps the descriptor open, and a file that ends early is -ENODATA.
 *
 * It reads with pread(2), in the thread of the loop: a file of the page cache costs a copy, and a slow disk holds up the loop, as sendfile(2) does.
 *
 * Next: output-watch.ts
 */

import { EINTR, ENODATA } from '../kernel/abi.ts';
import type { Libc } from '../kernel/libc.ts';

const PIECE_BYTES = 65_536;

export class FilePieces {
  readonly #libc: Libc;
  readonly #fd: number;
  #offset: number;
  #remainingBytes: number;

  /** Throws for a part that no file can have. */
  constructor(libc: Libc, fd: number, offset: number, length: number) {
    checkFilePart(fd, offset, length);
    this.#libc = libc;
    this.#fd = fd;
    this.#offset = offset;
    this.#remainingBytes = length;
  }

  /** How many bytes have not been read. They count in `queuedBytes`. */
  get remainingBytes(): number {
    return this.#remainingBytes;
  }

  /**
   * Reads pieces and passes each to `write`, until that returns false or nothing is left. Returns 0, or -errno. `write` becomes the owner of the piece, and takes it in any
   * case: false only says that it has no room for another one.
   */
  feed(write: (piece: Uint8Array) => boolean): number {
    for (let hasRoom = true; hasRoom && this.#remainingBytes > 0; ) {
      const piece = Buffer.allocUnsafeSlow(Math.min(PIECE_BYTES, this.#remainingBytes));
      const length = this.#libc.pread(this.#fd, piece, 0, piece.length, this.#offset);
      if (length === -EINTR) continue;
      if (length <= 0) return length === 0 ? -ENODATA : length;
      this.#offset += length;
      this.#remainingBytes -= length;
      hasRoom = write(length === piece.length ? piece : piece.subarray(0, length));
    }
    return 0;
  }
}

/** Throws if the arguments of `sendFile` are not a part of an open file. */
export function checkFilePart(fd: number, offset: number, length: number): void {
  if (!Number.isInteger(fd) || fd < 0)
    throw new TypeError(`a file descriptor must be an integer >= 0, not ${String(fd)}`);
  if (!Number.isSafeInteger(offset) || offset < 0 || !Number.isSafeInteger(offset + length) || length < 0) {
    throw new RangeError(`offset and length must be integers >= 0, not ${String(offset)} and ${String(length)}`);
  }
}
