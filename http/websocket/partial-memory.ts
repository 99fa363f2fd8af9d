/**
 * PartialMemory: what all connections of an endpoint hold together of messages that are not delivered yet. A limit for each message does not bound it: 10,000 clients
 * that each send a megabyte by half hold 10 GB.
 *
 *     held      a message has come in part, and the rest is awaited
 *     pinned    a message has come whole, and waits for the thread pool to decompress it
 *
 * Above `maxBytes` the oldest message that is held makes room: its connection is closed with 1013 (try again later). An honest client has sent its message before its turn comes.
 * If the newest one were refused instead, a few clients that send one byte a minute could keep all others out. Not 1009: the same message may
 * be welcome a moment later.
 *
 * What is pinned belongs to a job that cannot be taken back. It may be half of all, or a flood of compressed messages would push out every message that is held; above that the
 * newest one is refused. One is always taken if there is no other.
 *
 * Next: web-socket-endpoint.ts
 */

/** A connection of which a message has come in part. */
export interface PartialHolder {
  /** Drops the message, and ends. */
  makeRoom(): void;
}

export class PartialMemory {
  readonly #maxBytes: number;
  /** In the order in which their messages began. */
  readonly #held = new Map<PartialHolder, number>();
  #pins = 0;
  #pinnedBytes = 0;
  #heldBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** How much is held and pinned. */
  get bytes(): number {
    return this.#heldBytes + this.#pinnedBytes;
  }

  /** So much is held for the message of this connection now. It may be the one that makes room. */
  hold(holder: PartialHolder, bytes: number): void {
    this.#heldBytes += bytes - (this.#held.get(holder) ?? 0);
    this.#held.set(holder, bytes);
    this.#shrink();
  }

  /** Nothing is held for this connection. Its next message is a new one. */
  release(holder: PartialHolder): void {
    if (this.#held.size === 0) return; // what almost every receive meets
    const bytes = this.#held.get(holder);
    if (bytes === undefined) return;
    this.#held.delete(holder);
    this.#heldBytes -= bytes;
  }

  /** Returns false if there is no room. */
  pin(bytes: number): boolean {
    if (this.#pins > 0 && this.#pinnedBytes + bytes > this.#maxBytes / 2) return false;
    this.#pinnedBytes += bytes;
    this.#pins++;
    this.#shrink();
    return true;
  }

  unpin(bytes: number): void {
    this.#pinnedBytes -= bytes;
    this.#pins--;
  }

  #shrink(): void {
    for (const holder of this.#held.keys()) {
      const isAlone = this.#held.size + this.#pins === 1;
      if (this.bytes <= this.#maxBytes || isAlone) return;
      this.release(holder);
      holder.makeRoom();
    }
  }
}
