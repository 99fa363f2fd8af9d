/**
 * KernelSockets: the sockets of the clients are sockets of Linux, and a call is a system call.
 *
 * The event loop of the daemon cannot have them: it reads bytes by itself, but here the client decides when to read. While a call waits for a
 * socket, the socket is in an epoll set of its own, which Node's loop watches as it watches that of the event loop.
 */

import { Epoll, libc, nodeHost } from '../../simplenet/index.ts';
import type { SocketTable } from './socket-table.ts';

export class KernelSockets implements SocketTable {
  readonly calls = libc;
  readonly #epoll = new Epoll();
  readonly #callbacks = new Map<number, () => void>();
  readonly #watch = nodeHost.watch(this.#epoll.fd, () => this.#turn());

  whenReady(fd: number, events: number, callback: () => void): void {
    this.#epoll.add(fd, events);
    this.#callbacks.set(fd, callback);
  }

  forget(fd: number): void {
    if (this.#callbacks.delete(fd)) this.#epoll.delete(fd);
  }

  close(): void {
    this.#watch.close();
    this.#epoll.close();
  }

  #turn(): boolean {
    const count = this.#epoll.wait(0);
    for (let i = 0; i < count; i++) {
      const fd = this.#epoll.fdOf(i);
      const callback = this.#callbacks.get(fd);
      this.forget(fd);
      callback?.();
    }
    return false;
  }
}
