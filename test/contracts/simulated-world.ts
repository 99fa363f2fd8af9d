/**
 * The simulated kernel as a world for the contract: one seed is one course of events, which can be repeated.
 */

import { EpollLoop } from '../../simplenet/epoll/epoll-loop.ts';
import type { SocketAddress } from '../../simplenet/kernel/socket-address.ts';
import { defaultLoopLimits, type LoopLimits } from '../../simplenet/loop/loop-limits.ts';
import type { SimulatedFaults } from '../simulation/simulated-faults.ts';
import { SimulatedRegularFile } from '../simulation/simulated-file.ts';
import { SimulatedHost } from '../simulation/simulated-host.ts';
import { SimulatedKernel } from '../simulation/simulated-kernel.ts';
import type { World, WorldFile } from './world.ts';

/** Time passes in the simulation only when nothing else can happen. */
const NO_TIME_MS = 0.001;

export class SimulatedWorld implements World {
  readonly maxQueuedBytes = 65_536;
  readonly tickMs = 10;
  readonly anyAddress: SocketAddress = { address: '127.0.0.1', port: 0 };
  readonly kernel: SimulatedKernel;
  readonly host: SimulatedHost;
  readonly loop: EpollLoop;

  constructor(seed: number, faults: Partial<SimulatedFaults>, loopLimits: Partial<LoopLimits> = {}) {
    this.kernel = new SimulatedKernel({ seed, faults });
    this.host = new SimulatedHost(this.kernel, { seed });
    const limits = {
      ...defaultLoopLimits,
      maxQueuedBytes: this.maxQueuedBytes,
      tickMs: this.tickMs,
      receiveBufferBytes: 4_096,
      maxEventsPerTurn: 4,
      ...loopLimits,
    };
    this.loop = new EpollLoop(this.kernel.libc, this.host, limits);
  }

  get raised(): unknown[] {
    return this.host.raised;
  }

  now(): number {
    return this.host.now();
  }

  openFile(bytes: Uint8Array): WorldFile {
    const file = new SimulatedRegularFile(bytes);
    const fd = this.kernel.install(() => file);
    const truncate = (length: number) => {
      file.bytes = file.bytes.subarray(0, length);
    };
    return { fd, truncate, close: () => this.kernel.remove(fd, file) };
  }

  async until(condition: () => boolean, what: string): Promise<void> {
    try {
      this.host.run(condition);
    } catch (cause) {
      throw new Error(`in vain: ${what}`, { cause });
    }
  }

  async quiet(): Promise<void> {
    let isQuiet = false;
    this.host.alarm(NO_TIME_MS, () => {
      isQuiet = true;
    });
    this.host.run(() => isQuiet);
  }

  async close(): Promise<void> {
    this.loop.close();
    await this.quiet();
    const report = this.kernel.report();
    if (report.length > 0) throw new Error(report.join('; '));
    if (this.host.isAlive()) throw new Error('something keeps the process alive');
    if (this.raised.length > 0) throw new Error('raised', { cause: this.raised[0] });
  }
}
