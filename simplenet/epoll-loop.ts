/**
 * EpollLoop: the event loop over epoll(7). It asks which descriptors have news, lets each act, then settles what the
 * callbacks decided. One call of `#turn` is one turn; the host says when.
 *
 * The order within a turn is the whole of its safety. All events of a batch are delivered first; only then are
 * descriptors closed and masks changed. No callback runs inside a call that the program makes. An exception ends the
 * stream whose callback threw it, is raised by the host, and the rest of the batch goes on.
 *
 * Next: create-event-loop.ts
 */

import { markAsUntransferable } from 'node:worker_threads';
import { EPOLLIN, EPOLLOUT, SO_ACCEPTCONN, SOL_SOCKET } from './abi.ts';
import { Deadlines } from './deadlines.ts';
import { Epoll } from './epoll.ts';
import { EpollListener, type ListenerHome, SpareDescriptor } from './epoll-listener.ts';
import { EpollStream, type StreamHome, type Watched } from './epoll-stream.ts';
import { EpollUdpPort, type UdpHome } from './epoll-udp-port.ts';
import type {
  ConnectOptions,
  EventLoop,
  Listener,
  OnConnection,
  Stream,
  StreamHandler,
  UdpHandler,
  UdpPort,
} from './event-loop.ts';
import type { Alarm, Host, Watch } from './host.ts';
import type { Libc } from './libc.ts';
import { NetSocket } from './net-socket.ts';
import type { Socket } from './socket.ts';
import type { SocketAddress } from './socket-address.ts';
import type { ListenOptions, SocketOptions } from './socket-options.ts';
import { SystemError } from './system-error.ts';
import { UdpSocket } from './udp-socket.ts';

/** The limits of a loop. Each has a default that suits a server. */
export interface LoopLimits {
  /** Events taken from epoll in one turn, before Node's own loop gets its turn again. */
  readonly maxEventsPerTurn: number;
  readonly acceptsPerTurn: number;
  readonly datagramsPerTurn: number;
  /** How much one recv(2) can bring. No datagram is larger than 64 KiB, so none is cut. */
  readonly receiveBufferBytes: number;
  /** A stream whose program writes on while more than this is queued ends with ENOBUFS: such a queue has no end. */
  readonly maxQueuedBytes: number;
  /** How late a deadline may fire. */
  readonly tickMs: number;
  /** How long a listener rests when descriptors run out. */
  readonly acceptRestMs: number;
  readonly connectTimeoutMs: number;
}

export const defaultLoopLimits: LoopLimits = {
  maxEventsPerTurn: 256,
  acceptsPerTurn: 256,
  datagramsPerTurn: 64,
  receiveBufferBytes: 65_536,
  maxQueuedBytes: 16 * 1024 * 1024,
  tickMs: 100,
  acceptRestMs: 100,
  connectTimeoutMs: 30_000,
};

/** A socket that was made for something is closed if that fails. */
function closingOnError<T>(socket: Socket, use: () => T): T {
  try {
    return use();
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** connect(2), whose refusal is told by `onClose` as all others are, and so not thrown here. */
function refusalOf(socket: NetSocket, address: SocketAddress): SystemError | null {
  try {
    socket.connect(address);
    return null;
  } catch (error) {
    if (error instanceof SystemError) return error;
    throw error;
  }
}

/** While so many events were dealt with, others have probably come; behind a lone one it is too early. */
const WORTH_LOOKING_AGAIN = 4;

/** Who hears of a connection until its handler is chosen. */
/* c8 ignore next -- it hears of nothing: events come in a later turn, when it is chosen. */
const NOBODY: StreamHandler = { onData: () => {} };

export class EpollLoop implements EventLoop, StreamHome, ListenerHome, UdpHome {
  readonly epoll: Epoll;
  readonly host: Host;
  readonly deadlines: Deadlines;
  readonly receiveBuffer: Buffer;
  readonly maxQueuedBytes: number;
  readonly acceptsPerTurn: number;
  readonly acceptRestMs: number;
  readonly datagramsPerTurn: number;
  readonly resting = new Set<EpollListener>();

  readonly #libc: Libc;
  readonly #connectTimeoutMs: number;
  readonly #watch: Watch;
  /** By descriptor: small numbers that the kernel reuses, so the list stays short. */
  readonly #watched: (Watched | undefined)[] = [];
  readonly #unsettled: Watched[] = [];
  #spare: SpareDescriptor | null = null;
  #view: Buffer;
  #turns = 0;
  #turnStartedAt = 0;
  #openCount = 0;
  #isInTurn = false;
  #isSettlingSoon = false;
  #isKeepingAlive = false;
  #isUnrefed = false;
  #isClosed = false;

  constructor(libc: Libc, host: Host, limits: LoopLimits = defaultLoopLimits) {
    for (const [name, value] of Object.entries(limits) as [string, number][]) {
      if (!Number.isInteger(value) || value < 1) throw new RangeError(`${name} must be an integer >= 1, not ${value}`);
    }
    this.#libc = libc;
    this.host = host;
    this.maxQueuedBytes = limits.maxQueuedBytes;
    this.acceptsPerTurn = limits.acceptsPerTurn;
    this.acceptRestMs = limits.acceptRestMs;
    this.datagramsPerTurn = limits.datagramsPerTurn;
    this.#connectTimeoutMs = limits.connectTimeoutMs;
    this.deadlines = new Deadlines(host, limits.tickMs);
    // Memory of its own: in Node's pool of small buffers its neighbours would be other people's bytes.
    this.receiveBuffer = Buffer.allocUnsafeSlow(limits.receiveBufferBytes);
    // Given away by a program, postMessage with a transfer list, it would leave every stream with nothing to read into.
    markAsUntransferable(this.receiveBuffer.buffer);
    this.#view = this.receiveBuffer;
    this.epoll = new Epoll({ libc, maxEvents: limits.maxEventsPerTurn });
    this.#watch = host.watch(this.epoll.fd, () => this.#turn());
    this.#watch.unref();
  }

  get openCount(): number {
    return this.#openCount;
  }

  get spare(): SpareDescriptor {
    return this.#spare as SpareDescriptor; // there is one as soon as there is a listener
  }

  listen(address: SocketAddress, onConnection: OnConnection, options: ListenOptions = {}): Listener {
    this.#mustBeOpen();
    const socket = NetSocket.listenOn(address, { ...options, libc: this.#libc, nonBlocking: true });
    return closingOnError(socket, () => this.#addListener(socket, onConnection));
  }

  adoptListener(socket: NetSocket, onConnection: OnConnection): Listener {
    this.#mustBeOpen();
    this.#mustBeNew(socket);
    if (socket.getOption(SOL_SOCKET, SO_ACCEPTCONN) === 0) throw new TypeError('the socket does not listen');
    socket.setNonBlocking(true);
    return this.#addListener(socket, onConnection);
  }

  adoptStream(socket: NetSocket, handler: StreamHandler): Stream {
    this.#mustBeOpen();
    this.#mustBeNew(socket);
    const peer = socket.remoteAddress;
    socket.setNonBlocking(true);
    return this.#add(socket, EPOLLIN, () => new EpollStream(this, socket, peer, EPOLLIN, handler, true));
  }

  connect(address: SocketAddress, handler: StreamHandler, options: ConnectOptions = {}): Stream {
    this.#mustBeOpen();
    const { connectTimeoutMs = this.#connectTimeoutMs, ...socketOptions } = options;
    if (!(connectTimeoutMs > 0)) throw new RangeError(`connectTimeoutMs must be a number > 0, not ${connectTimeoutMs}`);
    const socket = NetSocket.openFor(address, { ...socketOptions, libc: this.#libc, nonBlocking: true });
    return closingOnError(socket, () => {
      const refusal = refusalOf(socket, address);
      const interest = EPOLLIN | EPOLLOUT;
      const stream = this.#add(socket, interest, () => new EpollStream(this, socket, address, interest, handler));
      stream.connecting(connectTimeoutMs, refusal);
      return stream;
    });
  }

  bindUdp(address: SocketAddress, handler: UdpHandler, options: SocketOptions = {}): UdpPort {
    this.#mustBeOpen();
    const socket = UdpSocket.bindTo(address, { ...options, libc: this.#libc, nonBlocking: true });
    return closingOnError(socket, () => this.#add(socket, EPOLLIN, () => new EpollUdpPort(this, socket, handler)));
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
    for (const watched of this.#watched) watched?.close();
    this.#settleSoon();
  }

  // What follows is for those who live on the loop.

  /** Requests of one kind are often equally long: then the last view serves again, and none is made. */
  received(length: number): Buffer {
    if (this.#view.length !== length) this.#view = this.receiveBuffer.subarray(0, length);
    return this.#view;
  }

  addStream(socket: NetSocket, peer: Uint8Array): EpollStream {
    return closingOnError(socket, () =>
      this.#add(socket, EPOLLIN, () => new EpollStream(this, socket, peer, EPOLLIN, NOBODY)),
    );
  }

  unsettled(watched: Watched): void {
    this.#unsettled.push(watched);
    this.#settleSoon();
  }

  gone(fd: number): void {
    this.#watched[fd] = undefined;
    this.#openCount--;
    this.#keepAlive();
    for (const listener of this.resting) listener.wake();
  }

  guard(watched: Watched, callback: () => void): void {
    try {
      callback();
    } catch (error) {
      this.#threw(watched, error);
    }
  }

  #threw(watched: Watched, error: unknown): void {
    watched.onThrow();
    this.host.raise(error);
  }

  #mustBeOpen(): void {
    if (this.#isClosed) throw new Error('the event loop is closed');
  }

  #addListener(socket: NetSocket, onConnection: OnConnection): Listener {
    return this.#add(socket, EPOLLIN, () => {
      this.#spare ??= new SpareDescriptor(this.#libc);
      return new EpollListener(this, socket, onConnection);
    });
  }

  #mustBeNew(socket: Socket): void {
    if (this.#watched[socket.fd] !== undefined) throw new Error('the loop has this socket already');
  }

  #add<W extends Watched>(socket: Socket, interest: number, create: () => W): W {
    const watched = create();
    this.epoll.add(socket.fd, interest);
    this.#watched[socket.fd] = watched;
    this.#openCount++;
    this.#keepAlive();
    return watched;
  }

  #keepAlive(): void {
    const isKeeping = this.#openCount > 0 && !this.#isUnrefed;
    if (isKeeping === this.#isKeepingAlive) return;
    this.#isKeepingAlive = isKeeping;
    if (isKeeping) this.#watch.ref();
    else this.#watch.unref();
  }

  #turn(): boolean {
    const count = this.epoll.wait(0);
    this.#turns++;
    this.#beginTurn();
    for (let i = 0; i < count; i++) {
      const watched = this.#watched[this.epoll.fdOf(i)];
      if (watched === undefined) continue;
      try {
        watched.onEvents(this.epoll.eventsOf(i), this.#turns);
      } catch (error) {
        this.#threw(watched, error);
      }
    }
    this.#endTurn();
    return count >= WORTH_LOOKING_AGAIN && !this.#isClosed;
  }

  #beginTurn(): void {
    this.#turnStartedAt = this.host.now();
    this.#isInTurn = true;
  }

  /** Settling calls onClose, which may unsettle others: they join the end of the list. */
  #endTurn(): void {
    for (let i = 0; i < this.#unsettled.length; i++) {
      const watched = this.#unsettled[i] as Watched;
      this.guard(watched, () => watched.settle());
    }
    this.#unsettled.length = 0;
    this.#isInTurn = false;
    if (this.#isClosed) this.#leave();
  }

  /** Between turns, what is decided is carried out as soon as the program lets go. */
  #settleSoon(): void {
    if (this.#isSettlingSoon || this.#isInTurn) return;
    this.#isSettlingSoon = true;
    this.host.soon(() => {
      this.#isSettlingSoon = false;
      this.#beginTurn();
      this.#endTurn();
    });
  }

  #leave(): void {
    this.#watch.close();
    this.deadlines.close();
    this.#spare?.close();
    this.epoll.close();
  }
}
