/**
 * Inherited: what all workers of a site inherit from their supervisor: the listening socket, and the memory in which they count their connections.
 *
 * The supervisor owns both, so they outlive any worker. It opens them all or none.
 *
 * Next: questions.ts
 */

import { closeSync } from 'node:fs';
import { type ListeningSocket, listenReplacingStale, NetSocket } from '../../simplenet/index.ts';
import { listenPlaceOf, type ServeOptions } from '../serve-options.ts';
import { AcceptShare } from './accept-share.ts';
import { createShared, mapShared } from './shared-memory.ts';

export class Inherited {
  readonly socket: NetSocket;
  readonly memoryFd: number;
  /** By the place of a worker. */
  readonly shares: readonly AcceptShare[];
  /** Whether another process goes on listening on the socket. */
  isShared: boolean;
  readonly #file: ListeningSocket['file'];

  constructor(options: ServeOptions, workers: number) {
    const { socket, file, isShared } = openSocket(options);
    this.socket = socket;
    this.#file = file;
    this.isShared = isShared;
    const bytes = AcceptShare.bytesFor(workers);
    let memoryFd: number | null = null;
    try {
      memoryFd = createShared(bytes);
      const memory = mapShared(memoryFd, bytes);
      this.memoryFd = memoryFd;
      this.shares = Array.from({ length: workers }, (_, index) => new AcceptShare(memory, index));
    } catch (error) {
      if (memoryFd !== null) closeSync(memoryFd);
      this.removeFile();
      socket.close();
      throw error;
    }
  }

  /** The next server may open its path now. */
  removeFile(): void {
    if (!this.isShared) this.#file?.remove();
  }

  close(): void {
    this.socket.close();
    closeSync(this.memoryFd);
  }
}

interface OpenedSocket extends ListeningSocket {
  readonly isShared: boolean;
}

function openSocket(options: ServeOptions): OpenedSocket {
  const place = listenPlaceOf(options);
  if ('fd' in place) return { socket: NetSocket.adopt(place.fd), file: null, isShared: true };
  const isNetwork = 'address' in place;
  const dualStack = isNetwork && place.address === '::' ? { ipv6Only: false } : {};
  const setup = { ...(isNetwork ? { noDelay: true } : {}), ...dualStack, ...options.socket, nonBlocking: true };
  return { ...listenReplacingStale(place, setup), isShared: false };
}
