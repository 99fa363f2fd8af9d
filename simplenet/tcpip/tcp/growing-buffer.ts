/**
 * GrowingBuffer: how many bytes a connection may keep in one direction. It begins small, and doubles while the connection needs more.
 *
 * What is in flight is at most the buffer, so a buffer of 256 KiB carries 40 Mbit/s over a path with a round trip of 50 ms. But memory for the longest path
 * in each connection would be too much. So a buffer grows for a connection that fills it, as in Linux, and all of a stack grow out of one budget. Whoever makes many
 * connections grow, by receiving fast or by sending much, finds the budget empty, and takes no more than the first size of each connection. The first size of
 * a send buffer is what a client that never reads can make each of its connections hold.
 *
 * Next: tcp-setup.ts
 */

/** What the connections of a stack may take beyond the first sizes of their buffers, all together. */
export class BufferBudget {
  #leftBytes: number;

  constructor(bytes: number) {
    this.#leftBytes = bytes;
  }

  get leftBytes(): number {
    return this.#leftBytes;
  }

  /** Returns false, and takes nothing, if it has less. */
  take(bytes: number): boolean {
    if (bytes > this.#leftBytes) return false;
    this.#leftBytes -= bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#leftBytes += bytes;
  }
}

/** The sizes of both buffers of a connection. One whose maximum is not larger than its first size does not grow. */
export interface BufferSizes {
  /** How many written bytes the connection takes before it calls them queued. */
  readonly sendBufferBytes: number;
  readonly maxSendBufferBytes: number;
  /** How many bytes of the peer it keeps: the largest window that it advertises. */
  readonly receiveBufferBytes: number;
  readonly maxReceiveBufferBytes: number;
}

export class GrowingBuffer {
  readonly #maxBytes: number;
  readonly #budget: BufferBudget;
  #bytes: number;
  #takenBytes = 0;

  constructor(firstBytes: number, maxBytes: number, budget: BufferBudget) {
    this.#bytes = firstBytes;
    this.#maxBytes = maxBytes;
    this.#budget = budget;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Doubles it, if its maximum and the budget allow that. */
  grow(): void {
    const more = Math.min(this.#bytes, this.#maxBytes - this.#bytes);
    if (more <= 0 || !this.#budget.take(more)) return;
    this.#bytes += more;
    this.#takenBytes += more;
  }

  /** Nothing more comes into it: gives back what it has taken from the budget. Releasing twice does nothing. */
  release(): void {
    this.#budget.giveBack(this.#takenBytes);
    this.#takenBytes = 0;
  }
}
