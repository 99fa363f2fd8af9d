/**
 * Two stacks of our own, joined by a simulated wire, as one world for the contract: whatever listens is on the left stack, and whatever
 * connects is on the right one. One seed is one course of events.
 */

import type { SocketAddress } from '../../simplenet/kernel/socket-address.ts';
import type {
  ConnectOptions,
  EventLoop,
  Stream,
  StreamHandler,
  UdpHandler,
  UdpPort,
} from '../../simplenet/loop/event-loop.ts';
import type { NetSocket } from '../../simplenet/sockets/net-socket.ts';
import { decodeIpv4, PROTOCOL_TCP } from '../../simplenet/tcpip/ip/ipv4-packet.ts';
import { decodeEthernet, ETHERTYPE_IPV4, type EthernetFrame } from '../../simplenet/tcpip/link/ethernet-frame.ts';
import { createWire, type WireOptions } from '../../simplenet/tcpip/link/simulated-wire.ts';
import { createStack, type Stack, type StackOptions } from '../../simplenet/tcpip/stack.ts';
import { decodeSegment, RST, type TcpSegment } from '../../simplenet/tcpip/tcp/segment.ts';
import { Random } from '../simulation/random.ts';
import { SimulatedHost } from '../simulation/simulated-host.ts';
import { SimulatedKernel } from '../simulation/simulated-kernel.ts';
import { LoopOver } from './loop-over.ts';
import { openTemporaryFile } from './real-world.ts';
import type { World, WorldFile } from './world.ts';

/** Time passes in the simulation only when nothing else can happen. */
const NO_TIME_MS = 0.001;

/** Timers so short that what is lost comes again before a deadline of the contract passes. */
const hurried: Partial<StackOptions> = {
  initialRtoMs: 1,
  minRtoMs: 1,
  maxRtoMs: 2,
  delayedAckMs: 1,
  arpRetryMs: 1,
  arpRequests: 20,
  challengeAcksPerSecond: 10_000, // the answers to probes of a closed window, which come every few milliseconds here
};

/** In this time almost everything that is lost has come again. */
const HURRIED_QUIET_MS = 8;

const LOSS = 0.05;

/** Two loops that look like one. */
class PairedLoop extends LoopOver {
  readonly #right: EventLoop;
  #udpPorts = 0;

  constructor(left: EventLoop, right: EventLoop) {
    super(left);
    this.#right = right;
  }

  override get openCount(): number {
    return super.openCount + this.#right.openCount;
  }

  override adoptStream(socket: NetSocket, handler: StreamHandler): Stream {
    return this.#right.adoptStream(socket, handler);
  }

  override connect(address: SocketAddress, handler: StreamHandler, options?: ConnectOptions): Stream {
    return this.#right.connect(address, handler, options);
  }

  override bindUdp(address: SocketAddress, handler: UdpHandler): UdpPort {
    return (this.#udpPorts++ % 2 === 0 ? this.below : this.#right).bindUdp(address, handler);
  }

  override ref(): void {
    super.ref();
    this.#right.ref();
  }

  override unref(): void {
    super.unref();
    this.#right.unref();
  }

  override activeNow(): number {
    return this.#right.activeNow();
  }

  override close(): void {
    super.close();
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

  constructor(seed: number, wire: WireOptions = {}, options: Partial<StackOptions> = {}, stepMs = 0) {
    this.host = new SimulatedHost(new SimulatedKernel({ seed }), { seed, stepMs });
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

  openFile(bytes: Uint8Array): WorldFile {
    return openTemporaryFile(bytes);
  }

  async until(condition: () => boolean, what: string): Promise<void> {
    try {
      this.host.run(condition);
    } catch (cause) {
      throw new Error(`in vain: ${what}`, { cause });
    }
  }

  quiet(): Promise<void> {
    return this.pass(NO_TIME_MS);
  }

  protected async pass(ms: number): Promise<void> {
    let isOver = false;
    this.host.alarm(ms, () => {
      isOver = true;
    });
    this.host.run(() => isOver);
  }

  async close(): Promise<void> {
    this.loop.close();
    await this.until(() => this.host.alarmCount === 0, 'no timer is left');
    if (this.loop.openCount > 0) throw new Error(`${this.loop.openCount} are left open`);
    if (this.host.isAlive()) throw new Error('something keeps the process alive');
    if (this.raised.length > 0) throw new Error('raised', { cause: this.raised[0] });
  }
}

/**
 * The same, with five percent of the frames lost. Resets are not: nothing sends a reset again, so a peer that sends nothing would wait for it
 * without end, in any TCP.
 */
export class LossyStackWorld extends StackWorld {
  constructor(seed: number) {
    const random = new Random(seed);
    super(seed, { drop: (frame) => random.chance(LOSS) && !isReset(frame) }, hurried, 1);
  }

  override quiet(): Promise<void> {
    return this.pass(HURRIED_QUIET_MS);
  }
}

function isReset(frame: Buffer): boolean {
  const { type, start, end } = decodeEthernet(frame, 0, frame.length) as EthernetFrame;
  const packet = type === ETHERTYPE_IPV4 ? decodeIpv4(frame, start, end) : null;
  if (packet?.protocol !== PROTOCOL_TCP) return false;
  return ((decodeSegment(frame, packet.start, packet.end) as TcpSegment).flags & RST) !== 0;
}
