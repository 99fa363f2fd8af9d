/**
 * UringReadiness: asks the ring to report when a socket can be read, for listeners and UDP ports. There is one request at a time, and
 * a new one after each completion. The socket must stay open until the request has ended.
 *
 * Next: uring-listener.ts
 */

import { EPOLLIN } from '../kernel/abi.ts';
import type { IoUring } from './io-uring.ts';

const READABLE = 1;

export class UringReadiness {
  readonly #ring: IoUring;
  readonly #fd: number;
  #completions = 0;
  #isRequested = false;
  #isCancelled = false;

  constructor(ring: IoUring, fd: number) {
    this.#ring = ring;
    this.#fd = fd;
  }

  /** Makes the request, unless there is one. */
  request(): void {
    if (this.#isRequested) return;
    this.#isRequested = true;
    this.#ring.poll(this.#fd, READABLE, EPOLLIN);
  }

  /** The request has completed. Returns the number of completions so far, which SlowStart takes as the number of the turn. */
  completed(): number {
    this.#isRequested = false;
    return ++this.#completions;
  }

  /** Cancels the request. Returns true if there is none, so that the socket can be closed. */
  end(): boolean {
    if (!this.#isRequested || this.#ring.isClosed) return true;
    if (!this.#isCancelled) this.#ring.cancel(this.#fd, READABLE);
    this.#isCancelled = true;
    return false;
  }
}
