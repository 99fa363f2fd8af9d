/**
 * The real kernel, loopback and Node's own loop, as a world for the contract.
 */

import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EpollLoop } from '../../simplenet/epoll/epoll-loop.ts';
import { UringLoop } from '../../simplenet/io-uring/uring-loop.ts';
import { type Libc, libc } from '../../simplenet/kernel/libc.ts';
import type { SocketAddress } from '../../simplenet/kernel/socket-address.ts';
import type { EventLoop } from '../../simplenet/loop/event-loop.ts';
import type { Host } from '../../simplenet/loop/host.ts';
import { defaultLoopLimits } from '../../simplenet/loop/loop-limits.ts';
import { nodeHost } from '../../simplenet/loop/node-host.ts';
import { openDescriptors } from '../support/open-descriptors.ts';
import type { World, WorldFile } from './world.ts';

const PATIENCE_MS = 20_000;

/** Loopback delivers within a system call; the loop needs some turns until its callbacks run. */
const QUIET_TURNS = 5;

export const realLoops = { epoll: EpollLoop, io_uring: UringLoop } as const;

/** A file of this machine that has no name any more. */
export function openTemporaryFile(bytes: Uint8Array): WorldFile {
  const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
  writeFileSync(join(folder, 'file'), bytes);
  const fd = openSync(join(folder, 'file'), 'r+');
  rmSync(folder, { recursive: true });
  return { fd, truncate: (length) => ftruncateSync(fd, length), close: () => closeSync(fd) };
}

export class RealWorld implements World {
  readonly maxQueuedBytes = 65_536;
  readonly tickMs = 10;
  readonly anyAddress: SocketAddress;
  readonly raised: unknown[] = [];
  readonly loop: EventLoop;
  readonly #openBefore = openDescriptors();
  /** close(2) of a number that was not open: it could have been the number of another connection. */
  readonly #closedInVain: number[] = [];

  constructor(kind: keyof typeof realLoops = 'epoll', anyAddress: SocketAddress = { address: '127.0.0.1', port: 0 }) {
    this.anyAddress = anyAddress;
    const host: Host = { ...nodeHost, raise: (error) => void this.raised.push(error) };
    const limits = { ...defaultLoopLimits, maxQueuedBytes: this.maxQueuedBytes, tickMs: this.tickMs };
    const strictLibc: Libc = { ...libc, close: (fd) => this.#close(fd) };
    this.loop = new realLoops[kind](strictLibc, host, limits);
  }

  now(): number {
    return nodeHost.now();
  }

  openFile(bytes: Uint8Array): WorldFile {
    return openTemporaryFile(bytes);
  }

  async until(condition: () => boolean, what: string): Promise<void> {
    const giveUpAt = this.now() + PATIENCE_MS;
    while (!condition()) {
      if (this.now() > giveUpAt) throw new Error(`in vain: ${what}`);
      await sleep(1);
    }
  }

  async quiet(): Promise<void> {
    for (let i = 0; i < QUIET_TURNS; i++) await sleep(1);
  }

  async close(): Promise<void> {
    this.loop.close();
    await this.until(() => this.loop.openCount === 0, 'all is closed');
    await this.quiet();
    const leaked = openDescriptors().filter((descriptor) => !this.#openBefore.includes(descriptor));
    if (leaked.length > 0) throw new Error(`left open: ${leaked.join(', ')}`);
    if (this.#closedInVain.length > 0) throw new Error(`closed in vain: ${this.#closedInVain.join(', ')}`);
    if (this.raised.length > 0) throw new Error('raised', { cause: this.raised[0] });
  }

  #close(fd: number): number {
    const result = libc.close(fd);
    if (result < 0) this.#closedInVain.push(fd);
    return result;
  }
}
