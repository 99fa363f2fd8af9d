/**
 * SocketLoop: what every event loop here has in common, whatever way it asks the kernel. Sockets are opened and counted, time is
 * told, and a turn has an order.
 *
 * That order is the whole of its safety. All news of a batch are delivered first; only then are descriptors closed and changes
 * carried out (`settle`). So a descriptor's number cannot come back while news of its former life are still to be delivered (on
 * io_uring, where news may outlive a batch, a stream also waits for the last of its requests: uring-stream.ts). No callback runs
 * inside a call that the program makes. An exception ends the stream whose callback threw it, is raised by the host, and the rest of
 * the batch goes on.
 *
 * Next: socket-stream.ts
 */

import { SO_ACCEPTCONN, SOL_SOCKET } from '../kernel/abi.ts';
import type { Libc } from '../kernel/libc.ts';
import type { SocketAddress } from '../kernel/socket-address.ts';
import { SystemError } from '../kernel/system-error.ts';
import { NetSocket } from '../sockets/net-socket.ts';
import type { Socket } from '../sockets/socket.ts';
import { bindReplacingStale, SocketFile } from '../sockets/socket-file.ts';
import type { SocketOptions } from '../sockets/socket-options.ts';
import { UdpSocket } from '../sockets/udp-socket.ts';
import { ActiveClock } from './active-clock.ts';
import { Deadlines } from './deadlines.ts';
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
import type { Continuing, ListenerSetup, LoopContext, Member, Resting } from './member.ts';
import { LoopSetbacks } from './setbacks.ts';
import { SpareDescriptor } from './spare-descriptor.ts';
import { TurnBudget } from './turn-budget.ts';

/** Who hears of a connection until its handler is chosen. */
/* c8 ignore next -- it hears of nothing: news come in a later turn, when it is chosen. */
export const NOBODY: StreamHandler = { onData: () => {} };

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

export abstract class SocketLoop<M extends Member> implements EventLoop, LoopContext {
  readonly host: Host;
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
  readonly #toSettle: Member[] = [];
  /** Those who have more to do, in the order in which they asked. */
  readonly #continuing = new Set<Continuing>();
  #watch: Watch | null = null;
  readonly #setbacks = new LoopSetbacks();
  #watchedFd = -1;
  #turn!: () => boolean;
  #pause: Alarm | null = null;
  #spare: SpareDescriptor | null = null;
  readonly #clock: ActiveClock;
  /** On the host's clock, and in active time. */
  #turnStartedAt = 0;
  #turnActiveAt = 0;
  /** Looks since the deadlines are due. */
  #looks = 0;
  #openCount = 0;
  #isInTurn = false;
  #isSettlingSoon = false;
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
    this.#clock = new ActiveClock(limits.tickMs);
    this.deadlines = new Deadlines(host, this.#clock, limits.tickMs, () => this.#watch?.turnSoon());
    this.budget = new TurnBudget(host, limits);
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
  /** All members have settled. */
  protected abstract afterSettle(): void;
  /** Nothing is on the loop any more: it gives back what it has of its own. */
  protected abstract leave(): void;
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
    return this.#isInTurn ? this.#turnStartedAt : this.host.now();
  }

  activeNow(): number {
    return this.#isInTurn ? this.#turnActiveAt : this.#clock.after(this.deadlines.alarmAt, this.host.now());
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
    this.settleSoon();
  }

  // For those who live on the loop.

  get spare(): SpareDescriptor {
    return this.#spare as SpareDescriptor; // there is one as soon as there is a listener
  }

  settleLater(member: Member): void {
    if (member.needsSettle) return;
    member.needsSettle = true;
    this.#toSettle.push(member);
    this.settleSoon();
  }

  awaitTurn(stream: Continuing): void {
    this.#continuing.add(stream);
    if (!this.#isInTurn) this.#watch?.turnSoon();
  }

  cancelTurn(stream: Continuing): void {
    this.#continuing.delete(stream);
  }

  forget(fd: number): void {
    this.members[fd] = undefined;
    this.#openCount--;
    this.#keepAlive();
    for (const listener of this.resting) listener.wake();
  }

  guard(member: Member, callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.threw(member, error);
    }
  }

  // For the loops.

  protected get isClosed(): boolean {
    return this.#isClosed;
  }

  /** From now on a turn comes whenever that descriptor is readable. */
  protected watch(fd: number, turn: () => boolean): void {
    this.#watchedFd = fd;
    this.#turn = turn;
    this.#watch = this.host.watch(fd, turn);
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

  protected threw(member: Member, error: unknown): void {
    member.onThrow();
    this.host.raise(error);
  }

  /** The first part: news. */
  protected beginTurn(): void {
    this.#begin();
    this.budget.begin(this.#turnStartedAt, true);
  }

  /** The second part: each of those who wait now has a share, as far as the budget goes. One has it in any case. */
  protected continueStreams(): void {
    this.budget.isForNews = false;
    let left = this.#continuing.size;
    if (left === 0) return;
    this.budget.begin(this.host.now(), false);
    for (const stream of this.#continuing) {
      this.#continuing.delete(stream); // and if it asks again, it comes last
      this.guard(stream, () => stream.onTurn());
      if (--left === 0 || this.budget.areBytesSpent || this.budget.isTimeSpent) break;
    }
  }

  protected get hasContinuing(): boolean {
    return this.#continuing.size > 0;
  }

  /**
   * The end of a turn that has delivered what the kernel had. `isQuiet`: the kernel had no more, so whoever has sent something was
   * heard, and deadlines can be judged. In a loop that never comes to rest they are judged after as many looks as it takes to
   * hear all. `heard` is how many were heard in a turn that had no time for all, which is a part of a look. Answers whether deadlines
   * are still to be judged.
   */
  protected endLook(isQuiet: boolean, heard: number | null): boolean {
    if (this.deadlines.isDue) {
      this.#looks += heard === null ? 1 : heard / this.heardPerLook;
      if (isQuiet || this.#looks > this.#openCount / this.heardPerLook) {
        this.#looks = 0;
        this.deadlines.judge(this.#turnActiveAt);
      }
    }
    this.endTurn();
    this.#clock.after(this.#turnActiveAt, this.host.now());
    return this.deadlines.isDue;
  }

  /** Settling calls onClose, after which others may need to settle: they join the end of the list. */
  protected endTurn(): void {
    for (let i = 0; i < this.#toSettle.length; i++) {
      const member = this.#toSettle[i] as Member;
      member.needsSettle = false;
      this.guard(member, () => member.settle());
    }
    this.#toSettle.length = 0;
    this.afterSettle();
    this.#isInTurn = false;
    if (this.#toSettle.length > 0) this.settleSoon(); // an exception in what was carried out last
    if (!this.#isClosed || this.#openCount > 0) return;
    this.#pause?.cancel();
    this.#watch?.close();
    this.deadlines.close();
    this.#spare?.close();
    this.leave();
  }

  /** Between turns, what is decided is carried out as soon as the program lets go. */
  protected settleSoon(): void {
    if (this.#isSettlingSoon || this.#isInTurn) return;
    this.#isSettlingSoon = true;
    this.host.soon(() => {
      this.#isSettlingSoon = false;
      this.#begin();
      this.endTurn();
      if (this.hasContinuing) this.#watch?.turnSoon();
    });
  }

  /** The descriptor stays readable, so it must not be watched meanwhile. */
  #pauseFor(pauseMs: number): void {
    const resume = () => {
      this.#pause = null;
      this.watch(this.#watchedFd, this.#turn);
      if (this.#isKeepingAlive) this.#watch?.ref();
      this.#watch?.turnSoon();
    };
    this.#watch?.close();
    this.#pause = this.host.alarm(pauseMs, resume, this.#isKeepingAlive);
  }

  #lose(error: SystemError): void {
    this.abandon();
    for (const member of this.members) if (member !== undefined) this.guard(member, () => member.lose(error));
    this.close();
  }

  #begin(): void {
    this.#turnStartedAt = this.host.now();
    this.#turnActiveAt = this.#clock.after(this.deadlines.alarmAt, this.#turnStartedAt);
    this.#isInTurn = true;
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
