/**
 * Descriptor: one owner for one file descriptor.
 *
 * A descriptor is a small integer that the kernel hands out again as soon as it is closed. Two owners, or one that closes
 * twice, would close another connection. So the number lives here, and `close` forgets it before it calls close(2). A call on a
 * closed Descriptor uses the number -1, for which the kernel returns EBADF.
 *
 * Next: open-file-limit.ts
 */

import { type Libc, libc as processLibc } from './libc.ts';
import { closeWithThread, keepAfterThread } from './this-thread.ts';

const CLOSED = -1;

export class Descriptor {
  /** The table that its calls go through. */
  readonly libc: Libc;
  #fd: number;

  /** Takes ownership of the descriptor: from now on only this object closes it. */
  constructor(fd: number, libc: Libc = processLibc) {
    this.#fd = fd;
    this.libc = libc;
    if (libc === processLibc) closeWithThread(fd); // another table has descriptors of its own, which this kernel does not know
  }

  /** The number; -1 after `close` or `release`. */
  get fd(): number {
    return this.#fd;
  }

  /** True after `close` or `release`. */
  get isClosed(): boolean {
    return this.#fd === CLOSED;
  }

  /** close(2). Closing twice does nothing. */
  close(): void {
    const fd = this.#fd;
    if (fd === CLOSED) return;
    this.#fd = CLOSED;
    keepAfterThread(fd);
    // Linux frees the descriptor whatever close(2) returns, EINTR included. A second attempt could close another connection.
    this.libc.close(fd);
  }

  /** Gives the descriptor away: the caller closes it from now on. */
  release(): number {
    const fd = this.#fd;
    this.#fd = CLOSED;
    keepAfterThread(fd);
    return fd;
  }

  /** `close`, at the end of a block that declares it with `using`. */
  [Symbol.dispose](): void {
    this.close();
  }
}
