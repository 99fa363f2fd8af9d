/**
 * HeldInput: bytes that arrived for a stream after its program had paused it, because a receive was in the kernel already.
 *
 * The bytes are copied: the buffer of the loop in which they lie goes back to the kernel. What ended the input, FIN or an
 * error, waits behind them.
 *
 * Next: uring-stream.ts
 */

export class HeldInput {
  /** FIN came behind the bytes. */
  isEnd = false;
  /** The error behind the bytes, as -errno, or 0. */
  error = 0;
  readonly #chunks: Buffer[] = [];

  get hasBytes(): boolean {
    return this.#chunks.length > 0;
  }

  get isEmpty(): boolean {
    return !this.hasBytes && !this.isEnd && this.error === 0;
  }

  push(bytes: Buffer): void {
    this.#chunks.push(Buffer.from(bytes));
  }

  shift(): Buffer | undefined {
    return this.#chunks.shift();
  }
}
