/**
 * UringReadiness: what a listener and a UDP port ask of the ring: to be told when their socket can be read. One request at a time,
 * made again after each answer; and until it has ended the socket must stay open.
 *
 * Next: uring-listener.ts
 */

import { EPOLLIN } from '../kernel/abi.ts';
import type { IoUring } from './io-uring.ts';

const READABLE = 1;

export class UringReadiness {
  readonly #ring: IoUring;
  readonly #fd: number;
  #answers = 0;
  #isAsked = false;
  #isCancelled = false;

  constructor(ring: IoUring, fd: number) {
    this.#ring = ring;
    this.#fd = fd;
  }

  /** Asks, where that has not been done. */
  ask(): void {
    if (this.#isAsked) return;
    this.#isAsked = true;
    this.#ring.poll(this.#fd, READABLE, EPOLLIN);
  }

  /** The answer has come. Tells how many there were: for SlowStart, as between two of them nobody has looked at the socket. */
  answered(): number {
    this.#isAsked = false;
    return ++this.#answers;
  }

  /** Asks no more. True: nothing is under way, and the socket can be closed. */
  end(): boolean {
    if (!this.#isAsked || this.#ring.isClosed) return true;
    if (!this.#isCancelled) this.#ring.cancel(this.#fd, READABLE);
    this.#isCancelled = true;
    return false;
  }
}
