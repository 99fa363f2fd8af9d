/**
 * Inherited: what all workers of a site inherit from their supervisor: the listening sockets, and the memory in which they count their connections.
 *
 * The supervisor owns both, so they outlive any worker. It opens them all or none.
 *
 * Next: questions.ts
 */

import { closeSync } from 'node:fs';
import { type ListeningSocket, listenReplacingStale, NetSocket, type SocketAddress } from '../../simplenet/index.ts';
import { socketOptionsFor, takePlace } from '../listening.ts';
import type { ListenPlace, ServeOptions } from '../serve-options.ts';
import { AcceptShare } from './accept-share.ts';
import { createShared, mapShared } from './shared-memory.ts';

export class Inherited {
  readonly memoryFd: number;
  /** By the place of a worker. */
  readonly shares: readonly AcceptShare[];
  /** Whether another process goes on listening on the sockets. */
  isShared: boolean;
  readonly #sockets: NetSocket[] = [];
  #file: ListeningSocket['file'] = null;

  constructor(options: ServeOptions, workers: number) {
    const place = takePlace(options);
    this.isShared = 'fds' in place;
    const bytes = AcceptShare.bytesFor(workers);
    let memoryFd: number | null = null;
    try {
      this.#open(place, options);
      memoryFd = createShared(bytes);
      const memory = mapShared(memoryFd, bytes);
      this.memoryFd = memoryFd;
      this.shares = Array.from({ length: workers }, (_, index) => new AcceptShare(memory, index));
    } catch (error) {
      if (memoryFd !== null) closeSync(memoryFd);
      this.removeFile();
      this.#closeSockets();
      throw error;
    }
  }

  get listenerFds(): readonly number[] {
    return this.#sockets.map(({ fd }) => fd);
  }

  get addresses(): readonly SocketAddress[] {
    return this.#sockets.map(({ localAddress }) => localAddress);
  }

  /** The next server may open its path now. */
  removeFile(): void {
    if (!this.isShared) this.#file?.remove();
  }

  close(): void {
    this.#closeSockets();
    closeSync(this.memoryFd);
  }

  #open(place: ListenPlace, { socket: socketOptions }: ServeOptions): void {
    if ('fds' in place) {
      for (const fd of place.fds) this.#sockets.push(NetSocket.adopt(fd));
      return;
    }
    const setup = { ...socketOptionsFor(place, socketOptions), nonBlocking: true };
    const { socket, file } = listenReplacingStale(place, setup);
    this.#sockets.push(socket);
    this.#file = file;
  }

  #closeSockets(): void {
    for (const socket of this.#sockets) socket.close();
  }
}
