/** A world made of another world, with a loop of its own over the loop of that one. */

import type { SocketAddress } from '../../simplenet/kernel/socket-address.ts';
import type { EventLoop } from '../../simplenet/loop/event-loop.ts';
import type { World, WorldFile } from './world.ts';

export class WorldOver<L extends EventLoop> implements World {
  readonly loop: L;
  readonly #inner: World;

  constructor(inner: World, loop: L) {
    this.#inner = inner;
    this.loop = loop;
  }

  get maxQueuedBytes(): number {
    return this.#inner.maxQueuedBytes;
  }

  get tickMs(): number {
    return this.#inner.tickMs;
  }

  get anyAddress(): SocketAddress {
    return this.#inner.anyAddress;
  }

  get raised(): unknown[] {
    return this.#inner.raised;
  }

  now(): number {
    return this.#inner.now();
  }

  openFile(bytes: Uint8Array): WorldFile {
    return this.#inner.openFile(bytes);
  }

  until(condition: () => boolean, what: string): Promise<void> {
    return this.#inner.until(condition, what);
  }

  quiet(): Promise<void> {
    return this.#inner.quiet();
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}
