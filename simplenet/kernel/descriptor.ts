/**
 * Descriptor: one owner for one file descriptor.
 *
 * A descriptor is a small integer that the kernel hands out again as soon as it is closed. Two owners, or one that
 * closes twice, would close a stranger's connection. So the number lives here, `close` forgets it before anything else can
 * happen, and whoever uses a closed one is answered EBADF by the kernel itself, for -1 is nobody's descriptor.
 *
 * Next: open-file-limit.ts
 */

import { type Libc, libc as processLibc } from './libc.ts';
import { closeWithThread, keepAfterThread } from './this-thread.ts';

const CLOSED = -1;

export class Descriptor {
  readonly libc: Libc;
  #fd: number;

  /** Takes the descriptor over: from now on only this object closes it. */
  constructor(fd: number, libc: Libc = processLibc) {
    this.#fd = fd;
    this.libc = libc;
    if (libc === processLibc) closeWithThread(fd); // the numbers of another table are not the kernel's
  }

  get fd(): number {
    return this.#fd;
  }

  get isClosed(): boolean {
    return this.#fd === CLOSED;
  }

  /** close(2). Closing twice does nothing. */
  close(): void {
    const fd = this.#fd;
    if (fd === CLOSED) return;
    this.#fd = CLOSED;
    keepAfterThread(fd);
    // Whatever close(2) answers, EINTR included, Linux has let the descriptor go: trying again would close another's.
    this.libc.close(fd);
  }

  /** Gives the descriptor away: the caller closes it from now on. */
  release(): number {
    const fd = this.#fd;
    this.#fd = CLOSED;
    keepAfterThread(fd);
    return fd;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
