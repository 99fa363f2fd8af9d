/**
 * ContextWindow: the context of one direction of a connection: the last bytes of the messages that were compressed, in order.
 *
 * A compressor of zlib with a window of 32 KiB takes 256 KiB, because it also holds tables that find an earlier occurrence of three bytes. The tables follow
 * from the bytes. So a connection keeps the bytes alone, and gives them to each compressor as its dictionary: a window of 4 KiB takes 4 to 8 KiB, and an idle
 * connection that has sent little takes little. A decompressor has no such tables; for it the dictionary is one copy.
 *
 * A window may begin anywhere in what was sent: a compressor does not have to use what its reader knows. So a message that was compressed once for many connections becomes the
 * whole window of each, and all of them share its bytes.
 *
 * Next: message-deflate.ts
 */

/** The first buffer of a window. */
const MIN_CAPACITY = 256;

export class ContextWindow {
  /** At most so many bytes are kept. */
  readonly maxBytes: number;
  #buffer: Buffer = Buffer.alloc(0);
  #length = 0;
  /** The buffer belongs to others as well, so nothing is written to it. */
  #isShared = false;

  constructor(bits: number) {
    this.maxBytes = 1 << bits;
  }

  /** What it keeps, until the next call of `add` or `share`. */
  get bytes(): Buffer {
    return this.#buffer.subarray(Math.max(0, this.#length - this.maxBytes), this.#length);
  }

  /** How much memory it holds. */
  get heldBytes(): number {
    return this.#isShared ? 0 : this.#buffer.length;
  }

  /** Copies the bytes of a message behind those that it has. */
  add(message: Uint8Array): void {
    const added = message.length > this.maxBytes ? message.subarray(message.length - this.maxBytes) : message;
    if (this.#isShared || this.#length + added.length > this.#buffer.length) this.#makeRoom(added.length);
    this.#buffer.set(added, this.#length);
    this.#length += added.length;
  }

  /** Takes the end of a message in place of all that it has. Nobody may change these bytes. At most `maxBytes` of them are given. */
  share(end: Buffer): void {
    this.#buffer = end;
    this.#length = end.length;
    this.#isShared = true;
  }

  /** Moves what is still within the window to the start of a buffer with room for so many bytes more. Up to two windows, so that it moves once in a while. */
  #makeRoom(byteLength: number): void {
    const kept = Math.min(this.#length, this.maxBytes - byteLength);
    const from = this.#length - kept;
    const capacity = Math.min(2 * this.maxBytes, Math.max(MIN_CAPACITY, 2 * (kept + byteLength)));
    if (this.#isShared || this.#buffer.length < capacity) {
      const old = this.#buffer;
      this.#buffer = Buffer.allocUnsafeSlow(capacity);
      old.copy(this.#buffer, 0, from, this.#length);
      this.#isShared = false;
    } else this.#buffer.copyWithin(0, from, this.#length);
    this.#length = kept;
  }
}
