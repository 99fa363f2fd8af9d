/**
 * THE SEAM: all that the programs above see of the network. Interfaces only.
 *
 * There are two ways to offer a connection to a program. Readiness reports "you may read now", and the caller reads; epoll does
 * that. Completion hands over the bytes that were read; io_uring does that. This seam has the second shape: a readiness loop can
 * act as a completion loop (epoll-loop.ts does), and the other direction costs a copy. Both loops implement it, so no program
 * depends on one of them. A TLS layer can implement it as well.
 *
 * The contract, which test/contracts/event-loop.ts checks for every implementation:
 * - Every stream ends with exactly one `onClose`, whatever ended it, and no other callback follows it.
 * - No callback runs inside a call that the program makes: `write`, `end` and `close` return first.
 * - An exception thrown by a callback ends that stream and becomes an uncaught exception. It does not affect other streams.
 *
 * Next: host.ts
 */

import type { SocketAddress } from '../kernel/socket-address.ts';
import type { SystemError } from '../kernel/system-error.ts';
import type { NetSocket, PeerCredentials } from '../sockets/net-socket.ts';
import type { ListenOptions, SocketOptions } from '../sockets/socket-options.ts';
import type { Alarm } from './host.ts';

/**
 * How fast a peer must take what is queued for it: at least `bytes` in each `everyMs`. Bytes beyond that count for up to three of
 * the following spans, because kernels acknowledge in steps (output-watch.ts).
 *
 * ```ts
 * import { createEventLoop, type MinimumProgress } from 'simplenet';
 *
 * const minimum: MinimumProgress = { everyMs: 30_000, bytes: 30 * 240 }; // 240 bytes a second
 * createEventLoop().listen({ address: '127.0.0.1', port: 8080 }, (stream) => {
 *   stream.minimumProgress = minimum;
 *   return { onData: (stream, bytes) => stream.write(bytes) };
 * });
 * ```
 */
export interface MinimumProgress {
  readonly everyMs: number;
  readonly bytes: number;
}

/**
 * One connection, in order and reliable in both directions.
 *
 * ```ts
 * import { createEventLoop, type Stream } from 'simplenet';
 *
 * function echo(stream: Stream, bytes: Buffer): void {
 *   if (!stream.write(bytes)) stream.pause(); // the peer reads too slowly, so it is not read either
 * }
 * createEventLoop().listen({ address: '127.0.0.1', port: 8080 }, () => ({
 *   onData: echo,
 *   onDrain: (stream) => stream.resume(),
 * }));
 * ```
 */
export interface Stream {
  /** The address of the peer. It is kept, so it is still known after the stream has closed. */
  readonly remoteAddress: SocketAddress;
  /** Our own address. Reading it after the stream has closed throws. */
  readonly localAddress: SocketAddress;
  /** The process at the other end of a Unix socket; null for other sockets. Reading it after the stream has closed throws. */
  readonly peerCredentials: PeerCredentials | null;
  /** Its methods are called for this stream. A program may replace it at any time, for example to upgrade the protocol. */
  handler: StreamHandler;
  /**
   * Written bytes that the kernel has not taken. Bytes for which `write` returned true may count later: from the end of the turn on epoll,
   * from the next turn on io_uring.
   */
  readonly queuedBytes: number;
  /** True after `end`, and once the stream is closing. After `end` a further `write` throws; after `close` it is ignored. */
  readonly isEnded: boolean;
  /**
   * Sends the bytes, or the first `length` of them, in order. The caller may reuse them as soon as this returns. False: the kernel has
   * no room, or the stream has used up its share of the turn; the rest is queued, and `onDrain` reports when it is sent. A
   * further write while more than `maxQueuedBytes` is queued ends the stream with ENOBUFS. `hasMore`: another write follows at once, so these bytes need
   * no packet of their own.
   */
  write(bytes: Uint8Array, length?: number, hasMore?: boolean): boolean;
  /**
   * As `write`, but the caller gives the bytes away: the stream keeps what it cannot send yet, and does not copy it. If the program
   * shrinks or transfers their memory before they are sent, the stream ends with EFAULT.
   */
  writeOwned(bytes: Uint8Array): boolean;
  /**
   * Sends `length` bytes of an open file, from `offset` on, behind what was written before. Returns as `write` does. The bytes take no memory here:
   * they count in `queuedBytes`, and not against `maxQueuedBytes`. The stream does not close the descriptor, and does not move its position. The program keeps
   * it open until nothing is queued (`onDrain`) or the stream has closed (`onClose`). If the file ends before `length` bytes are sent, the stream ends with RST and
   * ENODATA: the peer would wait for the rest. Reading from a slow disk holds up the loop.
   */
  sendFile(fd: number, offset: number, length: number): boolean;
  /**
   * Stops `onData` until `resume`. The peer's bytes wait in the kernel; when its buffer is full, TCP stops the peer. If the connection
   * breaks during a pause, its last bytes are kept: after `resume` they come, and then `onClose`.
   */
  pause(): void;
  resume(): void;
  /**
   * Whether bytes of the peer have arrived that `onData` has not delivered yet. It costs a system call. A program calls it before
   * `end`, because a request in those bytes would get no response.
   */
  hasInput(): boolean;
  /**
   * Whether written bytes have not arrived yet, as far as the kernel knows: it holds them, or the stream does. It costs a system call. A
   * program calls it before it closes a connection of its own accord: if the peer sends something after close(2), the kernel replies with
   * RST and drops what it holds.
   */
  hasOutput(): boolean;
  /** Sends what is queued, then FIN. The peer may go on sending. When it has ended its side as well, the stream closes. */
  end(): void;
  /**
   * Closes both directions now. Bytes for which `write` returned true are sent, also if that takes a while; all others are dropped.
   * `onClose` comes when they are sent. It gets null also if that fails. `queuedBytes` may count some of the bytes that are sent.
   */
  close(): void;
  /** Closes now with RST, so that the peer gets an error and not a normal end. After `close` it stops what is still being sent. */
  abort(): void;
  /**
   * Calls `onTimeout` once, in `delayMs` or up to one tick later. Infinity removes the deadline. The delay counts from the beginning
   * of the turn. If it is set before `onOpen`, it counts from `onOpen`.
   */
  setDeadline(delayMs: number): void;
  /** When the deadline passes, by `EventLoop.activeNow`; Infinity if there is none. */
  readonly deadlineAt: number;
  /**
   * While something is queued, the stream ends with RST and ETIMEDOUT if the peer takes less than this. Bytes count when the peer's
   * kernel acknowledges them. Null, the default, sets no minimum. Setting it starts the count from the beginning.
   */
  minimumProgress: MinimumProgress | null;
  /**
   * Calls `onTurn` once, after the news of this turn; in the next turn, if the second part of this one has begun. A program with much
   * work does a part of it, calls this, and returns. `EventLoop.isTurnSpent` says when to do so.
   */
  awaitTurn(): void;
  /**
   * Calls back once, after `onClose` of the handler that the stream has at its end. For a program that must know about the end of a stream whose handler other
   * code may replace. If the stream has closed already, the callback comes soon.
   */
  whenClosed(callback: () => void): void;
}

/**
 * The callbacks of a program for a stream. Only onData is required.
 *
 * ```ts
 * import { createEventLoop, type StreamHandler } from 'simplenet';
 *
 * const client: StreamHandler = {
 *   onOpen(stream) {
 *     stream.write(Buffer.from('ping\n'));
 *     stream.setDeadline(5_000); // without onTimeout, the stream then closes with ETIMEDOUT
 *   },
 *   onData(stream, bytes) {
 *     console.log(`${bytes}`);
 *     stream.end();
 *   },
 *   onClose: (_stream, error) => console.log(error?.message ?? 'done'),
 * };
 * createEventLoop().connect({ address: '127.0.0.1', port: 8080 }, client);
 * ```
 */
export interface StreamHandler {
  /** An outgoing connection is established. Until then, writes are queued. */
  onOpen?(stream: Stream): void;
  /** Bytes have arrived. They lie in a buffer that the loop reuses: read or copy them before returning. */
  onData(stream: Stream, bytes: Buffer): void;
  /** The peer has ended its side. Without this method, the stream ends ours, too. */
  onEnd?(stream: Stream): void;
  /**
   * The kernel has taken all that was queued. This may come although no `write` returned false, because `write` does not always know yet
   * whether the kernel has room.
   */
  onDrain?(stream: Stream): void;
  /** The turn for which the program called `awaitTurn`. */
  onTurn?(stream: Stream): void;
  /** The deadline has passed. Without this method, the stream closes with ETIMEDOUT. */
  onTimeout?(stream: Stream): void;
  /**
   * True: a paused stream ends as soon as its connection breaks, and the last bytes of the peer are lost. This is for a program that
   * has no use for these bytes, and stops its work when the stream ends.
   */
  readonly endsAtBreak?: boolean;
  /**
   * The end. `error` is null if the program ended the stream, by a call or by an exception in a callback, or if both sides ended. With
   * an error, bytes that were still to be sent are lost. On null, a proxy calls `end` on its other stream, and not `close`, because
   * that one may still have bytes in its queue.
   */
  onClose?(stream: Stream, error: SystemError | null): void;
}

/**
 * A listening socket on a loop.
 *
 * ```ts
 * import { createEventLoop, type Listener } from 'simplenet';
 *
 * const listener: Listener = createEventLoop().listen({ address: '127.0.0.1', port: 8080 }, () => ({
 *   onData: (stream, bytes) => stream.write(bytes),
 * }));
 * process.once('SIGTERM', () => listener.closeWhenEmpty(100, () => console.log('no client is waiting any more')));
 * ```
 */
export interface Listener {
  /** The address on which it listens. For port 0 it has the port that the kernel chose. */
  readonly address: SocketAddress;
  /** The descriptor of its socket, for another process (`sendDescriptors`). The listener owns it. -1 if it has none, or is closed. */
  readonly fd: number;
  /**
   * Whether another process goes on listening on this socket: true for an adopted one. Set it before `closeWhenEmpty` when that changes. It then
   * decides whether new connections are refused, and whether the file of a Unix socket is removed.
   */
  isShared: boolean;
  /** Accepts no more connections. Accepted ones go on; the kernel resets those that wait to be accepted. */
  close(): void;
  /**
   * Refuses new connections, accepts those that the kernel has completed, closes, and then calls `onClosed`. TCP handshakes that are
   * under way get `waitMs` to complete. If other processes share the socket, it
   * refuses nothing, accepts for one turn at most, and leaves the rest to them.
   */
  closeWhenEmpty(waitMs: number, onClosed: () => void): void;
}

/**
 * Chooses the handler of a connection that was just accepted.
 *
 * ```ts
 * import { createEventLoop, formatSocketAddress, type OnConnection } from 'simplenet';
 *
 * const greet: OnConnection = (stream) => {
 *   stream.write(Buffer.from(`hello ${formatSocketAddress(stream.remoteAddress)}\n`));
 *   stream.end();
 *   return { onData: () => {} };
 * };
 * createEventLoop().listen({ address: '127.0.0.1', port: 8080 }, greet);
 * ```
 */
export type OnConnection = (stream: Stream) => StreamHandler;

/**
 * Which of the connections of a shared socket a process takes. epoll wakes all processes that wait, and the first one to call accept4(2) gets the connection.
 * That is often the same one.
 *
 * ```ts
 * import { type AcceptPolicy, createEventLoop, NetSocket } from 'simplenet';
 *
 * let open = 0;
 * const few: AcceptPolicy = { mayAccept: () => open < 100, accepted: () => void open++, rested: () => {} };
 * const socket = NetSocket.listenOn({ address: '127.0.0.1', port: 8080 });
 * createEventLoop().adoptListener(socket, () => ({ onData: () => {}, onClose: () => void open-- }), { policy: few });
 * ```
 */
export interface AcceptPolicy {
  /** A connection waits. False leaves it to another process: the listener rests for a millisecond, and then looks again. */
  mayAccept(): boolean;
  /** This process has accepted a connection. */
  accepted(): void;
  /** The rest is over. */
  rested(): void;
}

/**
 * What a program does when a listener cannot go on.
 *
 * ```ts
 * import { type AdoptListenerOptions, createEventLoop, NetSocket } from 'simplenet';
 *
 * const SD_LISTEN_FDS_START = 3; // sd_listen_fds(3): systemd passes the first socket with this number
 * const options: AdoptListenerOptions = { onFailure: (error) => console.error(error.message) };
 * const listener = NetSocket.adopt(SD_LISTEN_FDS_START);
 * createEventLoop().adoptListener(listener, () => ({ onData: (stream, bytes) => stream.write(bytes) }), options);
 * ```
 */
export interface AdoptListenerOptions {
  /**
   * No descriptor, or no memory, is left for the next connection (accept4, EMFILE). A program may close what it can do without, and return
   * true: the listener goes on as soon as a descriptor is free. Without this method, or if it returns false, it also rests
   * for `acceptRestMs`, and then turns the waiting clients away.
   */
  readonly onShortage?: () => boolean;
  /**
   * The listener has closed because of an error that does not pass: another process that shares the socket has shut it down (accept4,
   * EINVAL), or the kernel refuses the loop itself (epoll_wait, io_uring_enter). Without this method the error becomes an uncaught
   * exception.
   */
  readonly onFailure?: (error: SystemError) => void;
  /** For processes that share the socket: which connections this one takes. By default those that it is the first to accept. */
  readonly policy?: AcceptPolicy | undefined;
}

/**
 * The options of `EventLoop.listen`: those of the socket, and what to do when the listener cannot go on.
 *
 * ```ts
 * import { createEventLoop, type ListenerOptions, type StreamHandler } from 'simplenet';
 *
 * const options: ListenerOptions = { backlog: 4_096, noDelay: true, onFailure: (error) => console.error(error.message) };
 * const echo: StreamHandler = { onData: (stream, bytes) => stream.write(bytes) };
 * createEventLoop().listen({ address: '127.0.0.1', port: 8080 }, () => echo, options);
 * ```
 */
export interface ListenerOptions extends ListenOptions, Omit<AdoptListenerOptions, 'policy'> {}

/**
 * The options of `EventLoop.connect`.
 *
 * ```ts
 * import { type ConnectOptions, createEventLoop, type StreamHandler } from 'simplenet';
 *
 * const options: ConnectOptions = { connectTimeoutMs: 2_000, noDelay: true };
 * const printer: StreamHandler = { onData: (_stream, bytes) => console.log(`${bytes}`) };
 * createEventLoop().connect({ address: '127.0.0.1', port: 8080 }, printer, options);
 * ```
 */
export interface ConnectOptions extends SocketOptions {
  /** How long to wait for the connection, by default `LoopLimits.connectTimeoutMs`. The kernel alone would wait some two minutes. */
  readonly connectTimeoutMs?: number;
}

/**
 * A UDP socket on the loop.
 *
 * ```ts
 * import { createEventLoop, type UdpPort } from 'simplenet';
 *
 * const port: UdpPort = createEventLoop().bindUdp({ address: '127.0.0.1', port: 0 }, {
 *   onMessage(port, bytes) {
 *     console.log(`${bytes}`);
 *     port.close();
 *   },
 * });
 * port.send(Buffer.from('ping'), { address: '127.0.0.1', port: 8080 });
 * ```
 */
export interface UdpPort {
  readonly address: SocketAddress;
  /**
   * False: the datagram is lost, and the port goes on. Either the kernel had no room, or the port is closed, or the kernel refused the
   * datagram. After a refusal `onError` is called soon, for one refusal at a time. A refusal does not throw, because a stranger can
   * cause it: a datagram may come from an address without a port or a route. An argument that is not an address or not bytes throws.
   */
  send(bytes: Uint8Array, to: SocketAddress): boolean;
  close(): void;
}

/**
 * The callbacks of a program for a UDP port. Only onMessage is required.
 *
 * ```ts
 * import { createEventLoop, type UdpHandler } from 'simplenet';
 *
 * const responder: UdpHandler = {
 *   onMessage: (port, bytes, from) => port.send(bytes, from),
 *   onError: (_port, error) => console.error(error.message),
 * };
 * createEventLoop().bindUdp({ address: '127.0.0.1', port: 8080 }, responder);
 * ```
 */
export interface UdpHandler {
  /** A whole datagram. The bytes are valid until this returns. */
  onMessage(port: UdpPort, bytes: Buffer, from: SocketAddress): void;
  /**
   * A datagram has failed: it was larger than the loop's receive buffer (recvfrom, EMSGSIZE), the kernel reports an error of an
   * earlier one (recvfrom), or the kernel refused to send it (sendto, with the address it was for). Or the loop has failed, and with
   * it the port.
   */
  onError?(port: UdpPort, error: SystemError): void;
}

/**
 * Many sockets, one thread. A loop with something open keeps the process alive, unless `unref` was called.
 *
 * ```ts
 * import { createEventLoop, type EventLoop } from 'simplenet';
 *
 * function serveDaytime(loop: EventLoop): void {
 *   loop.listen({ address: '127.0.0.1', port: 8013 }, (stream) => {
 *     stream.write(Buffer.from(`${new Date(loop.wallNow()).toISOString()}\n`));
 *     stream.end();
 *     return { onData: () => {} };
 *   });
 * }
 * serveDaytime(createEventLoop());
 * ```
 */
export interface EventLoop {
  /**
   * Throws SystemError or RangeError if it cannot listen, and then leaves nothing open. The listener removes the file of its Unix
   * socket when it closes. A stale file, on which no process listens, is removed first.
   */
  listen(address: SocketAddress, onConnection: OnConnection, options?: ListenerOptions): Listener;
  /**
   * Takes ownership of a listening socket, for example one from socket activation. If it throws, the caller still owns the socket. The
   * file of a Unix socket is not removed at the end.
   */
  adoptListener(socket: NetSocket, onConnection: OnConnection, options?: AdoptListenerOptions): Listener;
  /** Takes ownership of a connected socket. If it throws, the caller still owns the socket. */
  adoptStream(socket: NetSocket, handler: StreamHandler): Stream;
  /**
   * Connects. `onOpen` reports success, `onClose` failure. Throws if no socket can be made. A proxy that connects in a callback must
   * catch that, or it ends when descriptors run out.
   */
  connect(address: SocketAddress, handler: StreamHandler, options?: ConnectOptions): Stream;
  bindUdp(address: SocketAddress, handler: UdpHandler, options?: SocketOptions): UdpPort;
  ref(): void;
  unref(): void;
  /** Milliseconds on a clock that never goes back. The value stays the same within a turn. */
  now(): number;
  /** As `now`, but read at this moment, so it also changes within a turn. */
  exactNow(): number;
  /** As `now`, without the time in which the process was stalled (active-clock.ts). Deadlines count from it. */
  activeNow(): number;
  /** Whether the turn has used up its time (`turnMs`). A program with more to do then calls `awaitTurn`. Reading this reads the clock. */
  readonly isTurnSpent: boolean;
  /** Milliseconds since 1970, on the system clock, which can be set forward and back. */
  wallNow(): number;
  /** Calls back once, not before `delayMs` have passed; with Infinity never. It does not keep the process alive, and it outlives the loop. */
  after(delayMs: number, callback: () => void): Alarm;
  /** How many listeners, streams and UDP ports are open. */
  readonly openCount: number;
  /** Closes all of them, and then itself. Every stream still gets its `onClose`. Closing twice does nothing. */
  close(): void;
}
