/**
 * ByteQueue: the bytes of one direction of a connection, in order, with the boundaries of the sends forgotten.
 *
 * It copies the bytes, as the kernel does, so it is safe to reuse a buffer after a send. It has no limit: the socket decides how much
 * may be put into it.
 *
 * Next: simulated-faults.ts
 */

export class ByteQueue {
  #chunks: Buffer[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#chunks.push(Buffer.from(bytes));
    this.#length += bytes.length;
  }

  /** Copies the oldest bytes, at most as many as `target` has room for, and leaves them in the queue. */
  peek(target: Uint8Array): number {
    let copied = 0;
    for (const chunk of this.#chunks) {
      if (copied === target.length) break;
      const part = chunk.subarray(0, target.length - copied);
      target.set(part, copied);
      copied += part.length;
    }
    return copied;
  }

  /** As `peek`, and takes them out. */
  read(target: Uint8Array): number {
    const copied = this.peek(target);
    this.#drop(copied);
    return copied;
  }

  take(count: number): Buffer {
    const bytes = Buffer.alloc(Math.min(count, this.#length));
    this.read(bytes);
    return bytes;
  }

  clear(): void {
    this.#chunks = [];
    this.#length = 0;
  }

  #drop(count: number): void {
    this.#length -= count;
    let left = count;
    while (left > 0) {
      const first = this.#chunks[0] as Buffer;
      if (first.length > left) {
        this.#chunks[0] = first.subarray(left);
        return;
      }
      this.#chunks.shift();
      left -= first.length;
    }
  }
}
