/**
 * The real kernel, loopback and Node's own loop, as a world for the contract.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { defaultLoopLimits, EpollLoop } from '../../simplenet/epoll-loop.ts';
import type { Host } from '../../simplenet/host.ts';
import { nodeHost } from '../../simplenet/node-host.ts';
import type { SocketAddress } from '../../simplenet/socket-address.ts';
import { CountingLibc } from '../support/counting-libc.ts';
import type { World } from './world.ts';

const PATIENCE_MS = 20_000;

/** Loopback delivers within a system call; this is for the turns in which we hear of it. */
const QUIET_TURNS = 5;

export class RealWorld implements World {
  readonly maxQueuedBytes = 65_536;
  readonly tickMs = 10;
  readonly anyAddress: SocketAddress;
  readonly raised: unknown[] = [];
  readonly loop: EpollLoop;
  readonly #counting = new CountingLibc();

  constructor(anyAddress: SocketAddress = { address: '127.0.0.1', port: 0 }) {
    this.anyAddress = anyAddress;
    const host: Host = { ...nodeHost, raise: (error) => void this.raised.push(error) };
    const limits = { ...defaultLoopLimits, maxQueuedBytes: this.maxQueuedBytes, tickMs: this.tickMs };
    this.loop = new EpollLoop(this.#counting.libc, host, limits);
  }

  now(): number {
    return nodeHost.now();
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
    await this.quiet();
    const leaked = [...this.#counting.openFds];
    if (leaked.length > 0) throw new Error(`left open: ${leaked.join(', ')}`);
    if (this.#counting.violations.length > 0) throw new Error(this.#counting.violations.join('; '));
    if (this.raised.length > 0) throw new Error('raised', { cause: this.raised[0] });
  }
}
