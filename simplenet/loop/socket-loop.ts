/**
 * SocketLoop: what every event loop here has in common, whatever way it asks the kernel. It opens and counts sockets, keeps
 * the process alive, rests when the kernel refuses its call, and ends. The order of a turn is in turn.ts.
 *
 * Next: socket-stream.ts
 */

import assert from 'node:assert';
import { SO_ACCEPTCONN, SOL_SOCKET } from '../kernel/abi.ts';
import type { Libc } from '../kernel/libc.ts';
import type { SocketAddress } from '../kernel/socket-address.ts';
import { SystemError } from '../kernel/system-error.ts';
import { NetSocket } from '../sockets/net-socket.ts';
import type { Socket } from '../sockets/socket.ts';
import { bindReplacingStale, SocketFile } from '../sockets/socket-file.ts';
import type { SocketOptions } from '../sockets/socket-options.ts';
import { UdpSocket } from '../sockets/udp-socket.ts';
import type { Deadlines } from './deadlines.ts';
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
import type { Alarm, Host, Watch } from './host.ts';
import type { LoopLimits } from './loop-limits.ts';
import type { ListenerSetup, LoopContext, Member, Resting } from './member.ts';
import { LoopSetbacks } from './setbacks.ts';
import { SpareDescriptor } from './spare-descriptor.ts';
import { Turn, type TurnOwner } from './turn.ts';
import type { TurnBudget } from './turn-budget.ts';

/* c8 ignore next 2 -- no news come while it is there. */
/** Stands in for the handler of an accepted stream, which the program chooses when it is given the stream. */
export const handlerToCome: StreamHandler = { onData: () => {} };

/** A socket that was made for something is closed if that fails, and its file is removed. */
export function closingOnError<T>(socket: Socket, use: () => T, file: SocketFile | null = null): T {
  try {
    return use();
  } catch (error) {
    file?.remove();
    socket.close();
    throw error;
  }
}

export abstract class SocketLoop<M extends Member> implements EventLoop, LoopContext, TurnOwner {
  readonly host: Host;
  readonly turn: Turn;
  readonly deadlines: Deadlines;
  readonly budget: TurnBudget;
  readonly maxQueuedBytes: number;
  readonly acceptsPerTurn: number;
  readonly acceptRestMs: number;
  readonly datagramsPerTurn: number;
  readonly resting = new Set<Resting>();

  protected readonly libc: Libc;
  /** By descriptor: small numbers that the kernel reuses, so the list stays short. */
  protected readonly members: (M | undefined)[] = [];
  readonly #connectTimeoutMs: number;
  #watch: Watch | null = null;
  readonly #setbacks = new LoopSetbacks();
  #watchedFd = -1;
  #onReadable!: () => boolean;
  #pause: Alarm | null = null;
  #spare: SpareDescriptor | null = null;
  #openCount = 0;
  #isKeepingAlive = false;
  #isUnrefed = false;
  #isClosed = false;

  constructor(libc: Libc, host: Host, limits: LoopLimits) {
    for (const [name, value] of Object.entries(limits) as [string, number][]) {
      if (!Number.isInteger(value) || value < 1) throw new RangeError(`${name} must be an integer >= 1, not ${value}`);
    }
    this.libc = libc;
    this.host = host;
    this.maxQueuedBytes = limits.maxQueuedBytes;
    this.acceptsPerTurn = limits.acceptsPerTurn;
    this.acceptRestMs = limits.acceptRestMs;
    this.datagramsPerTurn = limits.datagramsPerTurn;
    this.#connectTimeoutMs = limits.connectTimeoutMs;
    this.turn = new Turn(this, host, limits);
    this.deadlines = this.turn.deadlines;
    this.budget = this.turn.budget;
  }

  // How the loop asks the kernel: what is left to each kind of loop.

  abstract readonly receiveBuffer: Buffer;
  abstract received(length: number): Buffer;
  abstract addStream(socket: NetSocket, peer: Uint8Array): Stream;

  /** Puts a listening socket on the loop. */
  protected abstract openListener(socket: NetSocket, setup: ListenerSetup): Listener;
  /** Puts a connected socket on the loop, which somebody else may hold, too. */
  protected abstract openStream(socket: NetSocket, peer: SocketAddress, handler: StreamHandler): Stream;
  /** Connects, for so long at most. */
  protected abstract openConnection(
    socket: NetSocket,
    address: SocketAddress,
    handler: StreamHandler,
    timeoutMs: number,
  ): Stream;
  protected abstract openUdpPort(socket: UdpSocket, handler: UdpHandler, file: SocketFile | null): UdpPort;
  /** How many streams with news can all be heard in one turn. */
  protected abstract readonly heardPerLook: number;
  abstract afterSettle(): void;
  /** Nothing is on the loop any more: frees what the loop itself has. */
  protected abstract dispose(): void;
  /** The kernel refuses the loop. Its members end after this. */
  protected abstract abandon(): void;

  // The seam.

  get openCount(): number {
    return this.#openCount;
  }

  listen(address: SocketAddress, onConnection: OnConnection, options: ListenerOptions = {}): Listener {
    this.#mustBeOpen();
    const { onFailure, ...socketOptions } = options;
    const setup = { ...socketOptions, libc: this.libc, nonBlocking: true };
    const socket = bindReplacingStale(address, this.libc, () => NetSocket.listenOn(address, setup));
    const file = SocketFile.of(address);
    const open = () => this.#openListener(socket, { onConnection, onFailure, isShared: false, file });
    return closingOnError(socket, open, file);
  }

  adoptListener(socket: NetSocket, onConnection: OnConnection, options: AdoptListenerOptions = {}): Listener {
    this.#mustBeOpen();
    this.#mustBeNew(socket);
    if (socket.getOption(SOL_SOCKET, SO_ACCEPTCONN) === 0) throw new TypeError('the socket does not listen');
    socket.setNonBlocking(true);
    const { onFailure } = options;
    return this.#openListener(socket, { onConnection, onFailure, isShared: true, file: null });
  }

  adoptStream(socket: NetSocket, handler: StreamHandler): Stream {
    this.#mustBeOpen();
    this.#mustBeNew(socket);
    const peer = socket.remoteAddress;
    socket.setNonBlocking(true);
    return this.openStream(socket, peer, handler);
  }

  connect(address: SocketAddress, handler: StreamHandler, options: ConnectOptions = {}): Stream {
    this.#mustBeOpen();
    const { connectTimeoutMs = this.#connectTimeoutMs, ...socketOptions } = options;
    if (!(connectTimeoutMs > 0)) throw new RangeError(`connectTimeoutMs must be a number > 0, not ${connectTimeoutMs}`);
    const socket = NetSocket.openFor(address, { ...socketOptions, libc: this.libc, nonBlocking: true });
    return closingOnError(socket, () => this.openConnection(socket, address, handler, connectTimeoutMs));
  }

  bindUdp(address: SocketAddress, handler: UdpHandler, options: SocketOptions = {}): UdpPort {
    this.#mustBeOpen();
    const setup = { ...options, libc: this.libc, nonBlocking: true };
    const socket = bindReplacingStale(address, this.libc, () => UdpSocket.bindTo(address, setup));
    const file = SocketFile.of(address);
    return closingOnError(socket, () => this.openUdpPort(socket, handler, file), file);
  }

  ref(): void {
    this.#isUnrefed = false;
    this.#keepAlive();
  }

  unref(): void {
    this.#isUnrefed = true;
    this.#keepAlive();
  }

  now(): number {
    return this.turn.now();
  }

  activeNow(): number {
    return this.turn.activeNow();
  }

  get isTurnSpent(): boolean {
    return this.budget.isTimeSpent;
  }

  wallNow(): number {
    return this.host.wallNow();
  }

  after(delayMs: number, callback: () => void): Alarm {
    if (Number.isNaN(delayMs)) throw new RangeError('a delay is a number of milliseconds, not NaN');
    return this.host.alarm(Math.max(0, delayMs), callback);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const member of this.members) member?.close();
    this.turn.settleSoon();
  }

  // For the members of the loop.

  get spare(): SpareDescriptor {
    return this.#spare as SpareDescriptor; // there is one as soon as there is a listener
  }

  forget(fd: number): void {
    assert(this.members[fd] !== undefined, 'a descriptor is closed once');
    this.members[fd] = undefined;
    this.#openCount--;
    this.#keepAlive();
    for (const listener of this.resting) listener.wake();
  }

  // For the turn.

  turnSoon(): void {
    this.#watch?.turnSoon();
  }

  turnEnded(): void {
    if (!this.#isClosed || this.#openCount > 0) return;
    this.#pause?.cancel();
    this.#watch?.close();
    this.deadlines.close();
    this.#spare?.close();
    this.dispose();
  }

  // For the loops.

  protected get isClosed(): boolean {
    return this.#isClosed;
  }

  /** From now on a turn comes whenever that descriptor is readable. */
  protected watch(fd: number, onReadable: () => boolean): void {
    this.#watchedFd = fd;
    this.#onReadable = onReadable;
    this.#watch = this.host.watch(fd, onReadable);
    this.#watch.unref();
  }

  protected get isPausing(): boolean {
    return this.#pause !== null;
  }

  /** The call on which the whole loop rests was refused. The loop goes on at once, or after a pause; or it ends, with all that is on it. */
  protected stumble(syscall: string, result: number): void {
    const pauseMs = this.#setbacks.pauseMsAfter(result, this.host.now());
    if (pauseMs === null) this.#lose(new SystemError(syscall, result));
    else if (pauseMs > 0) this.#pauseFor(pauseMs);
  }

  /** That call has succeeded. */
  protected goAhead(): void {
    this.#setbacks.clear();
  }

  protected add<N extends M>(socket: Socket, member: N): N {
    this.members[socket.fd] = member;
    this.#openCount++;
    this.#keepAlive();
    return member;
  }

  /** `heard` is how many members were heard in a turn that had no time for all news, else null. See Turn.endLook. */
  protected endLook(isQuiet: boolean, heard: number | null): boolean {
    const looks = heard === null ? 1 : heard / this.heardPerLook;
    return this.turn.endLook(isQuiet, looks, this.#openCount / this.heardPerLook);
  }

  /** The descriptor stays readable, so it must not be watched meanwhile. */
  #pauseFor(pauseMs: number): void {
    const resume = () => {
      this.#pause = null;
      this.watch(this.#watchedFd, this.#onReadable);
      if (this.#isKeepingAlive) this.#watch?.ref();
      this.#watch?.turnSoon();
    };
    this.#watch?.close();
    this.#pause = this.host.alarm(pauseMs, resume, this.#isKeepingAlive);
  }

  #lose(error: SystemError): void {
    this.abandon();
    for (const member of this.members) if (member !== undefined) this.turn.guard(member, () => member.lose(error));
    this.close();
  }

  #mustBeOpen(): void {
    if (this.#isClosed) throw new Error('the event loop is closed');
  }

  #openListener(socket: NetSocket, setup: ListenerSetup): Listener {
    this.#spare ??= new SpareDescriptor(this.libc);
    return this.openListener(socket, setup);
  }

  #mustBeNew(socket: Socket): void {
    if (this.members[socket.fd] !== undefined) throw new Error('the loop has this socket already');
  }

  #keepAlive(): void {
    const isKeeping = this.#openCount > 0 && !this.#isUnrefed;
    if (isKeeping === this.#isKeepingAlive) return;
    this.#isKeepingAlive = isKeeping;
    if (isKeeping) this.#watch?.ref();
    else this.#watch?.unref();
  }
}
