/**
 * ByteQueue: bytes in their order, in one piece of memory. When it is empty it has no memory, so an idle socket costs little.
 */

const NOTHING = Buffer.alloc(0);

export class ByteQueue {
  #memory: Buffer = NOTHING;
  #start = 0;
  #end = 0;

  get size(): number {
    return this.#end - this.#start;
  }

  /** Copies the bytes to the end. */
  push(bytes: Uint8Array): void {
    if (this.#end + bytes.length > this.#memory.length) this.#makeRoom(bytes.length);
    this.#memory.set(bytes, this.#end);
    this.#end += bytes.length;
  }

  /** Copies the first bytes into `into`, as many as there are room and bytes for, and returns their number. */
  peek(into: Uint8Array): number {
    return this.#memory.copy(into, 0, this.#start, this.#end);
  }

  /** Drops the first `length` bytes. There must be as many. */
  drop(length: number): void {
    this.#start += length;
    if (this.#start < this.#end) return;
    this.#memory = NOTHING;
    this.#start = 0;
    this.#end = 0;
  }

  /** Moves the bytes to larger memory, or to its start if at least half of it is free: so each byte is moved a few times at most. */
  #makeRoom(length: number): void {
    const wanted = this.size + length;
    const memory = wanted * 2 <= this.#memory.length ? this.#memory : Buffer.allocUnsafeSlow(wanted * 2);
    this.#end = this.#memory.copy(memory, 0, this.#start, this.#end);
    this.#start = 0;
    this.#memory = memory;
  }
}
