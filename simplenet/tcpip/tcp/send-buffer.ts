/**
 * SendBuffer: the bytes of a connection that are written and not acknowledged yet.
 *
 * Next: receive-queue.ts
 */

export class SendBuffer {
  /** How many bytes are here: the first one is the first that is not acknowledged. */
  readonly byteLength: number = 0;

  /** Appends a copy of bytes[start..end). */
  pushCopy(_bytes: Uint8Array, _start: number, _end: number): void {
    throw new Error('to be written');
  }

  /** Appends bytes[start..end) themselves; few bytes are copied all the same. */
  pushOwned(_bytes: Uint8Array, _start: number, _end: number): void {
    throw new Error('to be written');
  }

  /**
   * Copies `length` bytes, from `offset` bytes after the first one here, to into[at..). Returns false if the program has shrunk or
   * transferred memory that it had given away: the connection ends with EFAULT.
   */
  copyTo(_into: Uint8Array, _at: number, _offset: number, _length: number): boolean {
    throw new Error('to be written');
  }

  /** Forgets the first `length` bytes. */
  acknowledge(_length: number): void {
    throw new Error('to be written');
  }

  /** Keeps the first `length` bytes. */
  truncate(_length: number): void {
    throw new Error('to be written');
  }
}
