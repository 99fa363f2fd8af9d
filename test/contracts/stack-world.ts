/**
 * Two stacks of our own, joined by a simulated wire, as one world for the contract: whatever listens is on the left stack, and whatever
 * connects is on the right one. One seed is one course of events.
 */

import type { SocketAddress } from '../../simplenet/kernel/socket-address.ts';
import type {
  ConnectOptions,
  EventLoop,
  Listener,
  ListenerOptions,
  OnConnection,
  Stream,
  StreamHandler,
  UdpHandler,
  UdpPort,
} from '../../simplenet/loop/event-loop.ts';
import type { Alarm } from '../../simplenet/loop/host.ts';
import type { NetSocket } from '../../simplenet/sockets/net-socket.ts';
import { createWire, type WireOptions } from '../../simplenet/tcpip/link/simulated-wire.ts';
import { createStack, type Stack, type StackOptions } from '../../simplenet/tcpip/stack.ts';
import { SimulatedHost } from '../simulation/simulated-host.ts';
import { SimulatedKernel } from '../simulation/simulated-kernel.ts';
import type { World } from './world.ts';

/** Time passes in the simulation only when nothing else can happen. */
const NO_TIME_MS = 0.001;

/** Two loops that look like one. */
class PairedLoop implements EventLoop {
  readonly #left: EventLoop;
  readonly #right: EventLoop;
  #udpPorts = 0;

  constructor(left: EventLoop, right: EventLoop) {
    this.#left = left;
    this.#right = right;
  }

  get openCount(): number {
    return this.#left.openCount + this.#right.openCount;
  }

  get isTurnSpent(): boolean {
    return this.#left.isTurnSpent;
  }

  listen(address: SocketAddress, onConnection: OnConnection, options?: ListenerOptions): Listener {
    return this.#left.listen(address, onConnection, options);
  }

  adoptListener(socket: NetSocket, onConnection: OnConnection): Listener {
    return this.#left.adoptListener(socket, onConnection);
  }

  adoptStream(socket: NetSocket, handler: StreamHandler): Stream {
    return this.#right.adoptStream(socket, handler);
  }

  connect(address: SocketAddress, handler: StreamHandler, options?: ConnectOptions): Stream {
    return this.#right.connect(address, handler, options);
  }

  bindUdp(address: SocketAddress, handler: UdpHandler): UdpPort {
    return (this.#udpPorts++ % 2 === 0 ? this.#left : this.#right).bindUdp(address, handler);
  }

  ref(): void {
    this.#left.ref();
    this.#right.ref();
  }

  unref(): void {
    this.#left.unref();
    this.#right.unref();
  }

  now(): number {
    return this.#left.now();
  }

  exactNow(): number {
    return this.#left.exactNow();
  }

  activeNow(): number {
    return this.#right.activeNow();
  }

  wallNow(): number {
    return this.#left.wallNow();
  }

  after(delayMs: number, callback: () => void): Alarm {
    return this.#left.after(delayMs, callback);
  }

  close(): void {
    this.#left.close();
    this.#right.close();
  }
}

export class StackWorld implements World {
  readonly maxQueuedBytes = 65_536;
  readonly tickMs = 10;
  readonly anyAddress: SocketAddress = { address: '0.0.0.0', port: 0 };
  readonly host: SimulatedHost;
  readonly loop: EventLoop;
  readonly left: Stack;
  readonly right: Stack;

  constructor(seed: number, wire: WireOptions = {}, options: Partial<StackOptions> = {}) {
    this.host = new SimulatedHost(new SimulatedKernel({ seed }), { seed });
    const [left, right] = createWire({ seed, ...wire });
    const both = { maxQueuedBytes: this.maxQueuedBytes, tickMs: this.tickMs, host: this.host, ...options };
    this.left = createStack({ ...both, link: left, address: '10.9.0.1/24', seed });
    this.right = createStack({ ...both, link: right, address: '10.9.0.2/24', seed: seed + 1_000_000 });
    this.loop = new PairedLoop(this.left, this.right);
  }

  get raised(): unknown[] {
    return this.host.raised;
  }

  now(): number {
    return this.host.now();
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
    await this.until(() => this.host.alarmCount === 0, 'no timer is left');
    if (this.loop.openCount > 0) throw new Error(`${this.loop.openCount} are left open`);
    if (this.host.isAlive()) throw new Error('something keeps the process alive');
    if (this.raised.length > 0) throw new Error('raised', { cause: this.raised[0] });
  }
}
