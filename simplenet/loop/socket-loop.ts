/**
 * SocketLoop: what both event loops of the kernel share. It opens and counts sockets, pauses while the kernel refuses its call, and frees what it has
 * at the end. The order of a turn is in turn.ts, and what does not depend on sockets in turn-loop.ts.
 *
 * Next: end-callbacks.ts
 */

import assert from 'node:assert';
import { SO_ACCEPTCONN, SOL_SOCKET } from '../kernel/abi.ts';
import type { Libc } from '../kernel/libc.ts';
import type { SocketAddress } from '../kernel/socket-address.ts';
import { SystemError } from '../kernel/system-error.ts';
import { NetSocket } from '../sockets/net-socket.ts';
import type { Socket } from '../sockets/socket.ts';
import { bindReplacingStale, listenReplacingStale, SocketFile } from '../sockets/socket-file.ts';
import type { SocketOptions } from '../sockets/socket-options.ts';
import { UdpSocket } from '../sockets/udp-socket.ts';
import type {
  AdoptListenerOptions,
  ConnectOptions,
  EventLoop,
  Listener,
  ListenerOptions,
  OnConnection,
  Stream,
  StreamHandler,
  UdpHandler,
  UdpPort,
} from './event-loop.ts';
import type { Alarm, Host, HostingLoop } from './host.ts';
import type { LoopLimits } from './loop-limits.ts';
import type { ListenerSetup, LoopContext, Member, Resting } from './member.ts';
import { LoopSetbacks } from './setbacks.ts';
import { SpareDescriptor } from './spare-descriptor.ts';
import type { TurnBudget } from './turn-budget.ts';
import { CLOSED_LOOP_LINGER_MS, TurnLoop } from './turn-loop.ts';

/** Calls `use`. If it throws, closes the socket and removes its file. */
export function closingOnError<T>(socket: Socket, use: () => T, file: SocketFile | null = null): T {
  try {
    return use();
  } catch (error) {
    file?.remove();
    socket.close();
    throw error;
  }
}

/** The number of no descriptor. */
export const NO_GUEST = -1;

export abstract class SocketLoop<M extends Member> extends TurnLoop implements EventLoop, LoopContext, HostingLoop {
  readonly budget: TurnBudget;
  readonly acceptsPerTurn: number;
  readonly acceptRestMs: number;
  readonly datagramsPerTurn: number;
  readonly resting = new Set<Resting>();

  isGuestReady = false;
  /** A turn has left something to do, for which no event will come. */
  protected isMoreToDo = false;
  /** The descriptor of the host while this loop waits for it too, or NO_GUEST. */
  protected guestFd = NO_GUEST;
  protected readonly libc: Libc;
  /** The index is the descriptor. Descriptors are small numbers that the kernel reuses, so the list stays short. */
  protected readonly members: (M | undefined)[] = [];
  readonly #setbacks = new LoopSetbacks();
  #watchedFd = -1;
  #onReadable!: () => boolean;
  #pause: Alarm | null = null;
  #spare: SpareDescriptor | null = null;
  #openCount = 0;

  constructor(libc: Libc, host: Host, limits: LoopLimits) {
    for (const [name, value] of Object.entries(limits) as [string, number][]) {
      if (!Number.isInteger(value) || value < 1) throw new RangeError(`${name} must be an integer >= 1, not ${value}`);
    }
    super(host, limits);
    this.libc = libc;
    this.acceptsPerTurn = limits.acceptsPerTurn;
    this.acceptRestMs = limits.acceptRestMs;
    this.datagramsPerTurn = limits.datagramsPerTurn;
    this.budget = this.turn.budget;
  }

  // What each loop implements: how it asks the kernel.

  abstract readonly receiveBuffer: Buffer;
  abstract received(length: number): Buffer;
  abstract addStream(socket: NetSocket, peer: string): Stream;

  /** Puts a listening socket on the loop. */
  protected abstract openListener(socket: NetSocket, setup: ListenerSetup): Listener;
  /** Puts a connected socket on the loop. Another process may share it. */
  protected abstract openStream(socket: NetSocket, peer: SocketAddress, handler: StreamHandler): Stream;
  /** Connects, with a time limit. */
  protected abstract openConnection(
    socket: NetSocket,
    address: SocketAddress,
    handler: StreamHandler,
    timeoutMs: number,
  ): Stream;
  protected abstract openUdpPort(socket: UdpSocket, handler: UdpHandler, file: SocketFile | null): UdpPort;
  /** How many members with news one turn can deliver to. */
  protected abstract readonly membersPerLook: number;
  abstract admitGuest(fd: number): boolean;
  abstract dismissGuest(): void;
  /** Waits for news and for the guest, at most `waitMs`, and takes a turn. Returns how many events there were, with that of the guest. */
  protected abstract waitAndTakeTurn(waitMs: number): number;
  /** Frees what the loop itself has. The loop is closed, and its last member has left it. */
  protected abstract dispose(): void;
  /** The kernel refuses the loop. Takes back or keeps what the kernel may still use, before the members end. */
  protected abstract abandon(): void;

  // The seam.

  override get openCount(): number {
    return this.#openCount;
  }

  listen(address: SocketAddress, onConnection: OnConnection, options: ListenerOptions = {}): Listener {
    this.requireOpen();
    const { onFailure, onShortage, ...socketOptions } = options;
    const setup = { ...socketOptions, libc: this.libc, nonBlocking: true };
    const { socket, file } = listenReplacingStale(address, setup);
    const open = () =>
      this.#openListener(socket, { onConnection, onFailure, onShortage, isShared: false, policy: undefined, file });
    return closingOnError(socket, open, file);
  }

  adoptListener(socket: NetSocket, onConnection: OnConnection, options: AdoptListenerOptions = {}): Listener {
    this.requireOpen();
    this.#requireNew(socket);
    if (socket.getOption(SOL_SOCKET, SO_ACCEPTCONN) === 0)
      throw new TypeError('the socket does not listen: call listen first');
    socket.setNonBlocking(true);
    const { onFailure, onShortage, policy } = options;
    return this.#openListener(socket, { onConnection, onFailure, onShortage, isShared: true, policy, file: null });
  }

  adoptStream(socket: NetSocket, handler: StreamHandler): Stream {
    this.requireOpen();
    this.#requireNew(socket);
    const peer = socket.remoteAddress;
    socket.setNonBlocking(true);
    return this.openStream(socket, peer, handler);
  }

  connect(address: SocketAddress, handler: StreamHandler, options: ConnectOptions = {}): Stream {
    this.requireOpen();
    const { connectTimeoutMs, ...socketOptions } = options;
    const timeoutMs = this.connectTimeoutOf(connectTimeoutMs);
    const socket = NetSocket.openFor(address, { ...socketOptions, libc: this.libc, nonBlocking: true });
    return closingOnError(socket, () => this.openConnection(socket, address, handler, timeoutMs));
  }

  bindUdp(address: SocketAddress, handler: UdpHandler, options: SocketOptions = {}): UdpPort {
    this.requireOpen();
    const setup = { ...options, libc: this.libc, nonBlocking: true };
    const socket = bindReplacingStale(address, this.libc, () => UdpSocket.bindTo(address, setup));
    const file = SocketFile.of(address);
    return closingOnError(socket, () => this.openUdpPort(socket, handler, file), file);
  }

  protected override closeMembers(): void {
    for (const member of this.members) member?.close();
  }

  // For the members of the loop.

  get spare(): SpareDescriptor {
    return this.#spare as SpareDescriptor; // only listeners read it, and `#openListener` makes it
  }

  get lingerMs(): number {
    return this.isClosed ? CLOSED_LOOP_LINGER_MS : Number.POSITIVE_INFINITY;
  }

  forget(fd: number): void {
    assert(this.members[fd] !== undefined, 'a descriptor is closed once');
    this.members[fd] = undefined;
    this.#openCount--;
    this.keepProcessAlive();
    for (const listener of this.resting) listener.wake();
  }

  // For the turn.

  override turnEnded(): void {
    if (!this.isClosed || this.#openCount > 0) return;
    this.#pause?.cancel();
    this.stopWatching();
    this.deadlines.close();
    this.#spare?.close();
    this.dispose();
  }

  // For the host.

  waitForTurn(waitMs: number): boolean {
    const isAtWork = this.isMoreToDo;
    this.isGuestReady = false;
    const count = this.waitAndTakeTurn(isAtWork ? 0 : waitMs);
    return isAtWork || count > (this.isGuestReady ? 1 : 0); // an event of the guest is not news of this loop
  }

  // For the loops.

  /** From now on the host calls `onReadable` whenever the descriptor is readable. */
  protected watch(fd: number, onReadable: () => boolean): void {
    this.#watchedFd = fd;
    this.#onReadable = onReadable;
    this.startWatching(this.host.watch(fd, onReadable, this));
  }

  protected get isPausing(): boolean {
    return this.#pause !== null;
  }

  /** The kernel refused the last call for news. A loop that could not look knows nothing, so it judges no deadline. */
  protected get isBlind(): boolean {
    return this.#setbacks.isGoingOn;
  }

  /** The kernel refused the call that the whole loop depends on. Goes on at once or after a pause, or ends the loop and its members. */
  protected callRefused(syscall: string, result: number): void {
    const pauseMs = this.#setbacks.pauseMsAfter(result, this.host.now());
    if (pauseMs === null) this.#endAll(new SystemError(syscall, result));
    else if (pauseMs > 0) this.#pauseFor(pauseMs);
  }

  /** The call that the whole loop depends on has succeeded. */
  protected callSucceeded(): void {
    this.#setbacks.clear();
  }

  protected add<N extends M>(socket: Socket, member: N): N {
    this.members[socket.fd] = member;
    this.#openCount++;
    this.keepProcessAlive();
    return member;
  }

  /** `delivered` counts the members with news in a turn that had no time for all news; else it is null. See Turn.endLook. */
  protected endLook(isQuiet: boolean, delivered: number | null): boolean {
    const looks = delivered === null ? 1 : delivered / this.membersPerLook;
    return this.turn.endLook(isQuiet, looks, this.#openCount / this.membersPerLook);
  }

  /** Stops watching during the pause, because the descriptor stays readable. */
  #pauseFor(pauseMs: number): void {
    const resume = () => {
      this.#pause = null;
      this.watch(this.#watchedFd, this.#onReadable);
      this.turnSoon();
    };
    this.stopWatching();
    this.#pause = this.host.alarm(pauseMs, resume, this.isKeepingAlive);
  }

  #endAll(error: SystemError): void {
    this.abandon();
    for (const member of this.members) if (member !== undefined) this.turn.guard(member, () => member.lose(error));
    this.close();
  }

  #openListener(socket: NetSocket, setup: ListenerSetup): Listener {
    this.#spare ??= new SpareDescriptor(this.libc);
    return this.openListener(socket, setup);
  }

  #requireNew(socket: Socket): void {
    if (this.members[socket.fd] !== undefined) throw new Error(`descriptor ${socket.fd} is on this loop already`);
  }
}
