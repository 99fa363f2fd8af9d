/**
 * Inherited: what all workers of a site inherit from their supervisor: the listening sockets, those of `redirectFrom` and of the metrics too, and the memory in which they count their connections.
 *
 * The supervisor owns both, so they outlive any worker. It opens them all or none.
 *
 * Next: tallies.ts
 */

import { closeSync } from 'node:fs';
import { type ListeningSocket, listenReplacingStale, NetSocket, type SocketAddress } from '../../simplenet/index.ts';
import { placeBeside, socketOptionsFor, takePlace, watchPlace } from '../listening.ts';
import type { ListenPlace, ServeOptions } from '../serve-options.ts';
import { AcceptShare } from './accept-share.ts';
import type { LastUse } from './messages.ts';
import { createShared, mapShared } from './shared-memory.ts';

export class Inherited {
  readonly memoryFd: number;
  /** By the place of a worker. */
  readonly shares: readonly AcceptShare[];
  /** Whether another process goes on listening on the sockets. */
  isShared: boolean;
  /** The same of the port of the metrics. systemd does not open it, so only a successor shares it. */
  isWatchShared = false;
  /** The socket of plain HTTP beside them, for `redirectFrom`. */
  redirect: NetSocket | null = null;
  /** That of the port of the metrics. */
  watch: NetSocket | null = null;
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

  /** As a worker finds them: MEMORY_FD, and from FIRST_LISTENER_FD on the sockets. */
  get all(): readonly number[] {
    const beside = [this.redirect, this.watch].flatMap((socket) => socket?.fd ?? []);
    return [this.memoryFd, ...this.listenerFds, ...beside];
  }

  get listenerFds(): readonly number[] {
    return this.#sockets.map(({ fd }) => fd);
  }

  /** If the site stops now. */
  get lastUse(): LastUse {
    return { ofSite: !this.isShared, ofMetrics: !this.isWatchShared };
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

  #open(place: ListenPlace, { socket: socketOptions, redirectFrom, metrics }: ServeOptions): void {
    this.#openWatch(watchPlace(metrics), socketOptions);
    if ('fds' in place) {
      for (const fd of place.fds) this.#sockets.push(NetSocket.adopt(fd));
      return;
    }
    const setup = { ...socketOptionsFor(place, socketOptions), nonBlocking: true };
    const { socket, file } = listenReplacingStale(place, setup);
    this.#sockets.push(socket);
    this.#file = file;
    const beside = placeBeside(place, redirectFrom);
    if (beside !== null) this.redirect = NetSocket.listenOn({ address: beside.host, port: beside.port }, setup);
  }

  #openWatch(place: ReturnType<typeof watchPlace>, socket: ServeOptions['socket']): void {
    if (place === null) return;
    if ('fd' in place) this.watch = NetSocket.adopt(place.fd);
    else {
      const setup = { ...socketOptionsFor(place, socket), nonBlocking: true };
      this.watch = NetSocket.listenOn(place, setup);
    }
  }

  #closeSockets(): void {
    for (const socket of this.#sockets) socket.close();
    this.redirect?.close();
    this.watch?.close();
  }
}
