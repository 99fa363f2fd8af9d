/**
 * SimulatedKernel: a Linux in memory, for one program, that does the same for the same seed.
 *
 * A real kernel is a bad tester: it rarely returns a short count, resets a connection or runs out of descriptors, and
 * never twice at the same moment. This one does so as often as its faults say, draws every choice from one seed, and
 * writes down each misuse at once: a descriptor closed twice, used after close, or never closed.
 *
 * `libc` is for the program under test. `peerLibc` is for the test itself, playing the other end: the same world and the
 * same descriptors, without the faults of single calls, and not counted. A call that it does not simulate throws, and so
 * does a call that would block without end: there is one thread here, and nothing could wake it.
 *
 * This file is the descriptor table, the accounts and the time. The calls are in simulated-libc.ts.
 *
 * Next: simulated-libc.ts
 */

import { constants } from 'node:os';
import { EAGAIN, EMFILE, EPOLLERR, EPOLLHUP, EPOLLIN, MSG_DONTWAIT } from '../../simplenet/kernel/abi.ts';
import type { Libc } from '../../simplenet/kernel/libc.ts';
import { Random } from './random.ts';
import { SimulatedEpoll } from './simulated-epoll.ts';
import { noFaults, type SimulatedFaults } from './simulated-faults.ts';
import type { SimulatedFile } from './simulated-file.ts';
import { simulatedLibc } from './simulated-libc.ts';
import { SimulatedNetwork } from './simulated-network.ts';
import { SimulatedSocket } from './simulated-socket.ts';
import { SimulatedTcpSocket } from './simulated-tcp-socket.ts';
import { SimulatedWire } from './simulated-wire.ts';

const { ENOTSOCK } = constants.errno;

/** 0, 1 and 2 are taken in every process. */
const FIRST_FD = 3;

export interface SimulatedKernelOptions {
  readonly seed?: number;
  readonly faults?: Partial<SimulatedFaults>;
  /** Small, so that programs meet full buffers; SO_SNDBUF and SO_RCVBUF change them for one socket. */
  readonly sendBufferBytes?: number;
  readonly receiveBufferBytes?: number;
  /** RLIMIT_NOFILE. */
  readonly maxFiles?: number;
}

export class SimulatedKernel {
  readonly libc: Libc;
  readonly peerLibc: Libc;
  /** How often the program made each call. */
  readonly calls = new Map<string, number>();
  /** How often each fault has struck: one that never did was not survived. */
  readonly happened: Record<keyof SimulatedFaults, number> = { ...noFaults };
  /** Every misuse so far, in words. */
  readonly violations: string[] = [];
  /** May be changed at any time: a test that wants to end in peace sets `noFaults`. */
  faults: SimulatedFaults;
  /** The clock. A call that waits with a timeout lets it run. */
  nowMs = 1_000_000;
  readonly limit: { current: number; most: number };
  readonly random: Random;
  readonly network: SimulatedNetwork;
  readonly #wire: SimulatedWire;
  readonly #files = new Map<number, SimulatedFile>();
  /** What a closed descriptor was: a use after close is easier to understand with it. */
  readonly #closed = new Map<number, string>();

  constructor(options: SimulatedKernelOptions = {}) {
    this.random = new Random(options.seed ?? 1);
    this.faults = { ...noFaults, ...options.faults };
    const maxFiles = options.maxFiles ?? 1024;
    this.limit = { current: maxFiles, most: maxFiles };
    this.#wire = new SimulatedWire(this.random, () => {
      const isDelayed = this.random.chance(this.faults.delayedDelivery);
      if (isDelayed) this.happened.delayedDelivery++;
      return isDelayed;
    });
    const [sendBytes, receiveBytes] = [options.sendBufferBytes ?? 8192, options.receiveBufferBytes ?? 8192];
    this.network = new SimulatedNetwork(this.random, this.#wire, sendBytes, receiveBytes);
    this.libc = simulatedLibc(this, true);
    this.peerLibc = simulatedLibc(this, false);
  }

  /** Something is under way and could arrive. */
  get canDeliver(): boolean {
    return this.#wire.canDeliver;
  }

  /** Lets something of what is under way arrive. False: nothing could. */
  deliver(): boolean {
    return this.#wire.deliver();
  }

  deliverAll(): void {
    while (this.deliver());
  }

  /** What a descriptor stands for now: the number may be closed and handed out again, the file will be another one. */
  fileOf(fd: number): SimulatedFile | undefined {
    return this.#files.get(fd);
  }

  /** As poll(2) for POLLIN. */
  isReadable(fd: number): boolean {
    const file = this.#files.get(fd);
    return file !== undefined && (file.readiness() & (EPOLLIN | EPOLLERR | EPOLLHUP)) !== 0;
  }

  /** Destroys the connection of that descriptor: both ends get an RST. */
  breakConnection(fd: number): void {
    const file = this.#files.get(fd);
    if (!(file instanceof SimulatedTcpSocket) || !file.isConnected) throw new Error(`fd ${fd} is no TCP connection`);
    file.breakConnection();
  }

  /** unlink(2) of a Unix socket's path; false where there is none. */
  unlink(path: string): boolean {
    return this.network.unlink(path);
  }

  /** Every descriptor that is open, in words. */
  openFds(): string[] {
    return [...this.#files].sort(([a], [b]) => a - b).map(([fd, file]) => `fd ${fd}: ${file.describe()}`);
  }

  get openCount(): number {
    return this.#files.size;
  }

  /** Everything the program did wrong if it ends now; empty if nothing. */
  report(): string[] {
    return [...this.violations, ...this.openFds().map((description) => `leaked ${description}`)];
  }

  count(call: string): void {
    this.calls.set(call, (this.calls.get(call) ?? 0) + 1);
  }

  violate(what: string): void {
    this.violations.push(what);
  }

  /** The file, or undefined and an entry in the violations. -1 is what a failed call left behind, and just EBADF. */
  use(call: string, fd: number): SimulatedFile | undefined {
    const file = this.#files.get(fd);
    if (file === undefined && fd !== -1) {
      const was = this.#closed.get(fd);
      this.violate(`${call} on fd ${fd}, which is not open${was === undefined ? '' : ` any more: it was a ${was}`}`);
    }
    return file;
  }

  /** open(2): the lowest number that is free. */
  install(make: () => SimulatedFile): number {
    const fd = this.lowestFreeFd();
    if (fd < 0) return fd;
    this.#files.set(fd, make());
    return fd;
  }

  lowestFreeFd(): number {
    let fd = FIRST_FD;
    while (this.#files.has(fd)) fd++;
    return fd < this.limit.current ? fd : -EMFILE;
  }

  remove(fd: number, file: SimulatedFile): void {
    this.#closed.set(fd, file.describe());
    this.#files.delete(fd);
    for (const other of this.#files.values()) if (other instanceof SimulatedEpoll) other.forget(file);
    file.close();
  }

  socketOf(file: SimulatedFile): SimulatedSocket | number {
    return file instanceof SimulatedSocket ? file : -ENOTSOCK;
  }

  /** The fault `reset` for a connection that nobody is calling at the moment. */
  breakSomeConnection(): void {
    const connections = [...this.#files.values()].filter((file) => file instanceof SimulatedTcpSocket);
    const alive = connections.filter((socket) => socket.isConnected);
    if (alive.length > 0) this.random.pick(alive).breakConnection();
  }

  /** Makes the call until it no longer answers -EAGAIN, if the caller is one that waits. */
  wait(call: string, file: SimulatedFile, flags: number, attempt: () => number): number {
    for (;;) {
      const result = attempt();
      if (result !== -EAGAIN || file.nonBlocking || (flags & MSG_DONTWAIT) !== 0) return result;
      if (!this.deliver()) this.#blockForEver(call, file.describe());
    }
  }

  /** Makes the call until it no longer answers 0, or the time is up. */
  waitWithTimeout(call: string, timeoutMs: number, attempt: () => number): number {
    for (;;) {
      const count = attempt();
      if (count !== 0 || timeoutMs === 0) return count;
      if (this.deliver()) continue;
      if (timeoutMs < 0) this.#blockForEver(call, 'nothing under way');
      this.nowMs += timeoutMs;
      return 0;
    }
  }

  #blockForEver(call: string, why: string): never {
    // Also written down, for the exception may end in some catch of the program under test.
    this.violate(`${call} would block for ever (${why})`);
    throw new Error(`${call} would block for ever (${why})`);
  }
}
