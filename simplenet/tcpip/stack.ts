/**
 * Stack: an event loop whose network is our own TCP/IP. Frames of a link come in at the bottom, and streams come out at the top.
 *
 *     link.receive -> internet.receive -> tcp.receive -> StackStream.onProgress -> the program
 *     the program  -> StackStream.write -> tcp.flush  -> internet.send          -> link.send
 *
 * A turn reads the frames that wait, within its budget, and answers at its end: so a response and the acknowledgment of its request leave
 * in one segment. Timers are judged only in a turn that has read all frames that waited: after a stall of the process, the acknowledgment
 * of a segment may lie in the link, and must not cause a retransmission.
 *
 * What a kernel alone can do fails with EOPNOTSUPP: Unix sockets, and adopting descriptors.
 *
 * Next: tap-advice.ts
 */

import { randomBytes } from 'node:crypto';
import { EADDRNOTAVAIL, ENOBUFS } from '../kernel/abi.ts';
import { preventTransfer } from '../kernel/intrinsic-bytes.ts';
import type { SocketAddress } from '../kernel/socket-address.ts';
import { SystemError } from '../kernel/system-error.ts';
import { ActiveClock } from '../loop/active-clock.ts';
import { Deadlines, type Timed } from '../loop/deadlines.ts';
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
} from '../loop/event-loop.ts';
import type { Alarm, Host } from '../loop/host.ts';
import { handlerToCome } from '../loop/loop-stream.ts';
import { nodeHost } from '../loop/node-host.ts';
import { CLOSED_LOOP_LINGER_MS, TurnLoop } from '../loop/turn-loop.ts';
import type { NetSocket } from '../sockets/net-socket.ts';
import type { SocketOptions } from '../sockets/socket-options.ts';
import { type ConnectionReport, reportOf } from './connection-report.ts';
import { InternetLayer } from './ip/internet-layer.ts';
import { formatIpv4Number } from './ip/ipv4-address.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from './ip/ipv4-packet.ts';
import { ETHERNET_HEADER_BYTES } from './link/ethernet-frame.ts';
import type { Link } from './link/link.ts';
import { seededRandom, unpredictable } from './link/seeded-random.ts';
import {
  hardwareAddressFor,
  hardwareAddressOf,
  interfaceAddressOf,
  internetAddressOf,
  unsupported,
} from './stack-address.ts';
import type { StackContext, StackMember } from './stack-context.ts';
import { checkStackLimits, defaultStackLimits, type StackLimits } from './stack-limits.ts';
import { StackListener } from './stack-listener.ts';
import { connectionSettingsOf, refuseKernelOptions } from './stack-options.ts';
import { StackStream } from './stack-stream.ts';
import { StackUdpPort } from './stack-udp-port.ts';
import { createCubic } from './tcp/cubic.ts';
import { createNewReno } from './tcp/new-reno.ts';
import { type TcpEntry, TcpLayer } from './tcp/tcp-layer.ts';
import { UdpLayer } from './udp-layer.ts';

const congestions = { cubic: createCubic, 'new-reno': createNewReno };

/**
 * The options of `createStack`, with all limits of the stack.
 *
 * ```ts
 * import { createStack, openTap, type StackOptions } from 'simplenet';
 *
 * const options: StackOptions = { link: openTap('tap0'), address: '10.9.0.2/24', gateway: '10.9.0.1', backlog: 64 };
 * const stack = createStack(options);
 * ```
 */
export interface StackOptions extends Partial<StackLimits> {
  /** Where frames go out and come in. The stack owns it, and closes it at its end. */
  readonly link: Link;
  /** The stack's own address, with the prefix of its network: '10.9.0.2/24'. */
  readonly address: string;
  /** The router for all other networks. Without it they are not reachable. */
  readonly gateway?: string;
  /** Six bytes as text, '02:00:0a:09:00:02'. By default they are made of the address. */
  readonly hardwareAddress?: string;
  /** How a connection finds out how fast it may send. CUBIC (RFC 9438), the default, is also what Linux uses. */
  readonly congestion?: keyof typeof congestions;
  /** What gives the stack its turns, by default Node's own loop. */
  readonly host?: Host;
  /** Gets a line for what the program and its connections tell each other: `10.9.0.1:41000 write("HTTP/1.1 200 OK\\r\\nDate"..., 131)`. Off by default. */
  readonly trace?: (line: string) => void;
  /** Makes every choice of the stack repeatable. For simulations only: sequence numbers can be guessed then. */
  readonly seed?: number;
}

/**
 * An event loop on a TCP/IP stack of its own.
 *
 * ```ts
 * import { createStack, openTap, type Stack } from 'simplenet';
 *
 * const stack: Stack = createStack({ link: openTap('tap0'), address: '10.9.0.2/24' });
 * for (const { remoteAddress, state } of stack.connections()) console.log(remoteAddress.address, state);
 * console.log(stack.statistics.malformed);
 * ```
 */
export interface Stack extends EventLoop {
  /** What the stack has counted since it was made, and how much its tables hold now. */
  readonly statistics: StackStatistics;
  /** What each connection is doing now. Those in TIME_WAIT are not among them. */
  connections(): ConnectionReport[];
}

/**
 * Counts of frames, packets and segments, those that were dropped by their reason; and the sizes of the tables.
 *
 * ```ts
 * import { createStack, openTap, type StackStatistics } from 'simplenet';
 *
 * const stack = createStack({ link: openTap('tap0'), address: '10.9.0.2/24' });
 * const before: StackStatistics = stack.statistics; // a copy
 * console.log(before.receivedFrames, before.cookiesSent);
 * ```
 */
export type StackStatistics = Readonly<Record<string, number>>;

/**
 * Makes an event loop whose network is our own TCP/IP on this link. It lives inside Node's loop, as those of `createEventLoop` do.
 *
 * ```ts
 * import { createStack, openTap } from 'simplenet';
 * import { Router, serve } from 'simplenet/http';
 *
 * const router = new Router();
 * router.get('/', (_request, response) => response.text('from Ethernet frames up'));
 * const stack = createStack({ link: openTap('tap0'), address: '10.9.0.2/24' });
 * serve(router, { loop: stack, host: '10.9.0.2', port: 80 });
 * ```
 */
export function createStack(options: StackOptions): Stack {
  return new TcpIpStack(options);
}

/** The timers of TCP are judged to the millisecond: delayed acknowledgments and probes count in tens of them. */
const TIMER_TICK_MS = 1;

const SECRET_BYTES = 16;

/**
 * A link holds some hundreds of frames (a TAP device 500, unless its txqueuelen says otherwise). Under traffic without a pause it is never
 * found empty, but after so many full turns all that lay in it when a timer became due has been read.
 */
const MAX_TURNS_BEFORE_TIMERS = 4;

/** The open stacks of this thread. When the process ends, no kernel closes their connections. */
const openStacks = new Set<TcpIpStack>();
process.once('exit', () => {
  for (const stack of openStacks) stack.endAtExit();
});

class TcpIpStack extends TurnLoop implements Stack, StackContext, Timed {
  readonly tcp: TcpLayer;
  readonly udp: UdpLayer;
  readonly trace: ((line: string) => void) | null;
  /** The earliest timer of the layers. */
  deadlineAt = Number.POSITIVE_INFINITY;
  deadlineSlot = -1;

  readonly #address: string;
  readonly #link: Link;
  readonly #limits: StackLimits;
  readonly #internet: InternetLayer;
  /** The timers of the layers. Those of streams are in `deadlines`, whose clock leaves out stalls. */
  readonly #timers: Deadlines;
  readonly #members = new Set<StackMember>();
  /** The frame that is being received. */
  readonly #frame: Buffer;
  #isDisposed = false;
  /** Ends the wait of a closed stack for its peers. */
  #lingering: Alarm | null = null;
  /** Turns since a timer became due in which the link was never empty. */
  #lateTurns = 0;
  #isLinkLost = false;

  constructor(options: StackOptions) {
    const {
      link,
      address,
      gateway,
      hardwareAddress,
      congestion = 'cubic',
      trace = null,
      host = nodeHost,
      seed,
      ...chosen
    } = options;
    if (!Object.hasOwn(congestions, congestion)) {
      throw new RangeError(`congestion is ${Object.keys(congestions).join(' or ')}, not '${String(congestion)}'`);
    }
    const limits: StackLimits = { ...defaultStackLimits, ...chosen };
    checkStackLimits(limits);
    const own = interfaceAddressOf(address);
    const random = seed === undefined ? unpredictable : seededRandom(seed);
    super(host, limits);
    this.trace = trace;
    this.#limits = limits;
    this.#link = link;
    this.#address = formatIpv4Number(own.address);
    this.#timers = new Deadlines(host, new ActiveClock(TIMER_TICK_MS), TIMER_TICK_MS, () => this.turnSoon());
    this.#internet = new InternetLayer({
      link,
      ...own,
      hardwareAddress:
        hardwareAddress === undefined ? hardwareAddressFor(own.address) : hardwareAddressOf(hardwareAddress),
      gateway: gateway === undefined ? null : internetAddressOf({ address: gateway, port: 0 }).address,
      limits,
      random,
    });
    const secret = seed === undefined ? randomBytes(SECRET_BYTES) : Buffer.alloc(SECRET_BYTES, String(seed));
    this.tcp = new TcpLayer({
      internet: this.#internet,
      secret,
      random,
      limits,
      congestion: congestions[congestion],
    });
    this.udp = new UdpLayer(this.#internet, random);
    this.#internet.protocols.tcp = (packet, now) => this.tcp.receive(packet, now);
    this.#internet.protocols.udp = (packet, now) => this.udp.receive(packet, now);
    this.#internet.onLooped = () => this.turnSoon();
    this.#internet.onError = (error, now) => {
      if (error.protocol === PROTOCOL_TCP) this.tcp.onIcmpError(error, now);
      else if (error.protocol === PROTOCOL_UDP) this.udp.onIcmpError(error);
    };
    this.#frame = Buffer.allocUnsafeSlow(link.mtu + ETHERNET_HEADER_BYTES + 1); // one byte more than a frame: a link sees by it that one is too large
    preventTransfer(this.#frame.buffer); // a program could transfer it with postMessage, and nothing could be received any more
    this.startWatching(link.watch(host, () => this.#runTurn()));
    this.#internet.announce(host.now());
    this.#setTimer();
    openStacks.add(this);
  }

  // The seam.

  override get openCount(): number {
    return this.#members.size;
  }

  get statistics(): StackStatistics {
    const { counters, occupancy } = this.#internet;
    return { ...counters, ...occupancy, ...this.tcp.counters, ...this.tcp.occupancy, ...this.udp.counters };
  }

  connections(): ConnectionReport[] {
    return Array.from(this.tcp.entries(), reportOf);
  }

  listen(address: SocketAddress, onConnection: OnConnection, options: ListenerOptions = {}): Listener {
    this.#requireRoom(address);
    const { port } = this.#requireOwn(address);
    const settings = connectionSettingsOf(options, this.#limits);
    const listener: StackListener = new StackListener(this, onConnection, options);
    const onAccept = (entry: TcpEntry) => {
      if (this.#isFull && !listener.makesRoom()) {
        this.tcp.abort(entry, this.turn.now());
        return;
      }
      settings.applyTo(entry.connection);
      listener.accept(this.#addStream(entry, handlerToCome, false));
    };
    const opened = this.tcp.listen(port, { ...settings, onAccept });
    if (typeof opened === 'number') throw new SystemError('bind', opened, address);
    listener.opened(opened, { address: this.#address, port: opened.port });
    return this.#add(listener);
  }

  adoptListener(_socket: NetSocket): Listener {
    throw unsupported('a socket of the kernel cannot be moved to a TCP/IP stack of its own');
  }

  adoptStream(_socket: NetSocket): Stream {
    throw unsupported('a socket of the kernel cannot be moved to a TCP/IP stack of its own');
  }

  connect(address: SocketAddress, handler: StreamHandler, options: ConnectOptions = {}): Stream {
    this.#requireRoom(address);
    const { address: remoteAddress, port } = internetAddressOf(address);
    const settings = connectionSettingsOf(options, this.#limits);
    const timeoutMs = this.connectTimeoutOf(options.connectTimeoutMs);
    const entry = this.tcp.connect(remoteAddress, port, settings, this.turn.now());
    if (typeof entry === 'number') throw new SystemError('connect', entry, address);
    settings.applyTo(entry.connection);
    const stream = this.#addStream(entry, handler, true);
    stream.connecting(timeoutMs);
    this.turn.settleSoon();
    return stream;
  }

  bindUdp(address: SocketAddress, handler: UdpHandler, options: SocketOptions = {}): UdpPort {
    this.#requireRoom(address);
    const { port } = this.#requireOwn(address);
    refuseKernelOptions(options); // all others are about TCP, or about buffers: a datagram never waits in one here
    const udpPort = new StackUdpPort(this, handler);
    const opened = this.udp.open(port, udpPort);
    if (opened < 0) throw new SystemError('bind', opened, address);
    udpPort.opened({ address: this.#address, port: opened });
    return this.#add(udpPort);
  }

  /** The link is given back when the peers have acknowledged what was written, or after a while. */
  protected override closeMembers(): void {
    for (const member of this.#members) member.close();
    this.#lingering = this.host.alarm(
      CLOSED_LOOP_LINGER_MS,
      () => {
        this.#lingering = null;
        this.turn.settleSoon();
      },
      !this.isUnrefed,
    );
  }

  // For the members of the stack.

  forget(member: StackMember): void {
    this.#members.delete(member);
    this.keepProcessAlive();
  }

  // For the turn.

  /** What the turn has written and acknowledged leaves here, one burst for each connection. */
  override afterSettle(): void {
    if (this.#isDisposed) return;
    this.tcp.flush(this.host.now());
    this.#setTimer();
  }

  override turnEnded(): void {
    if (!this.isClosed || this.#isDisposed || this.#members.size > 0) return;
    if (this.#lingering !== null && this.tcp.hasUnacknowledged && !this.#isLinkLost) return;
    this.#resetUnacknowledged();
    this.#isDisposed = true;
    openStacks.delete(this);
    this.#lingering?.cancel();
    this.stopWatching();
    this.#timers.close();
    this.deadlines.close();
    this.#link.close();
  }

  /** A timer of a layer is due, and the turn has read all frames that waited. */
  onDeadline(): void {
    const now = this.host.now();
    this.#internet.onDeadline(now);
    this.tcp.onDeadline(now);
  }

  /** The process ends: sends what was written in its last turn, and RST, so that no peer waits for a stack that is not there any more. */
  endAtExit(): void {
    this.tcp.flush(this.host.now());
    for (const member of this.#members) if (member instanceof StackStream) member.endAtExit();
    this.tcp.flush(this.host.now());
  }

  #runTurn(): boolean {
    this.turn.begin();
    const isQuiet = this.#receiveFrames();
    this.turn.continueStreams();
    if (this.#timers.isDue && (isQuiet || ++this.#lateTurns > MAX_TURNS_BEFORE_TIMERS)) {
      this.#lateTurns = 0;
      this.#timers.judge(this.host.now());
    }
    const isStillDue = this.turn.endLook(isQuiet, 1, MAX_TURNS_BEFORE_TIMERS);
    return !this.#isDisposed && (!isQuiet || this.turn.hasContinuing || isStillDue);
  }

  /** Returns whether no frame waits any more. */
  #receiveFrames(): boolean {
    for (let count = 0; count < this.#limits.maxEventsPerTurn; count++) {
      const hasLooped = this.#internet.receiveLooped(this.turn.now());
      const length = this.#nextFrame();
      if (length > 0) this.#internet.receive(this.#frame, length, this.turn.now());
      else if (!hasLooped) return true;
      if (this.turn.budget.isSpentByEvent()) return false;
    }
    return false;
  }

  /** Returns the length of the frame, or 0. A link that is lost takes all that is open with it. */
  #nextFrame(): number {
    if (this.#isLinkLost) return 0;
    try {
      return this.#link.receive(this.#frame);
    } catch (error) {
      this.#loseLink(error as SystemError); // Link.receive throws nothing else
      return 0;
    }
  }

  /** A callback may try to open something: the stack is closed first. */
  #loseLink(error: SystemError): void {
    this.#isLinkLost = true;
    this.isClosed = true;
    this.stopWatching(); // a lost TAP device stays readable
    for (const member of this.#members) this.turn.guard(member, () => member.lose(error));
  }

  /** No kernel goes on sending for a stack that is gone. With RST a peer knows that bytes are missing. */
  #resetUnacknowledged(): void {
    const now = this.host.now();
    for (const entry of this.tcp.entries()) if (entry.connection.hasUnacknowledged) this.tcp.abort(entry, now);
    this.tcp.flush(now);
  }

  #setTimer(): void {
    this.#timers.set(this, Math.min(this.#internet.deadlineAt, this.tcp.deadlineAt));
  }

  #add<M extends StackMember>(member: M): M {
    this.#members.add(member);
    this.keepProcessAlive();
    return member;
  }

  #addStream(entry: TcpEntry, handler: StreamHandler, isConnecting: boolean): StackStream {
    const stream = new StackStream(this, entry, handler, isConnecting);
    entry.owner = stream;
    return this.#add(stream);
  }

  get #isFull(): boolean {
    return this.#members.size >= this.#limits.openMembers;
  }

  #requireRoom(address: SocketAddress): void {
    this.requireOpen();
    if (this.#isFull) throw new SystemError('socket', -ENOBUFS, address);
  }

  /** A program listens on the address of the stack, or on 0.0.0.0, which is the same here: the stack has one address. */
  #requireOwn(address: SocketAddress): { address: number; port: number } {
    const wanted = internetAddressOf(address);
    if (wanted.address !== 0 && formatIpv4Number(wanted.address) !== this.#address) {
      throw new SystemError('bind', -EADDRNOTAVAIL, address);
    }
    return wanted;
  }
}
