/**
 * THE SEAM: what the programs above see of the network, and all they see. Interfaces only.
 *
 * Two ways exist to offer a connection to a program. Readiness says "you may read now" and leaves reading to the caller,
 * as epoll does. Completion hands over the bytes that have been read, as io_uring does. This seam has the second shape,
 * because a readiness loop can act like a completion loop (epoll-loop.ts does) and the other way round it costs a copy.
 * So io_uring could come as new files (uring-loop.ts), with no change above this one, and TLS can.
 *
 * The contract, which test/contracts/event-loop.ts holds every implementation to:
 * - Every stream ends in exactly one `onClose`, whoever ended it, and no other callback follows it.
 * - No callback runs inside a call that the program makes: `write`, `end` and `close` return first.
 * - An exception thrown by a callback ends that stream, surfaces as an uncaught exception, and touches nothing else.
 *
 * Next: host.ts
 */

import type { SocketAddress } from '../kernel/socket-address.ts';
import type { SystemError } from '../kernel/system-error.ts';
import type { NetSocket, PeerCredentials } from '../sockets/net-socket.ts';
import type { ListenOptions, SocketOptions } from '../sockets/socket-options.ts';
import type { Alarm } from './host.ts';

/**
 * How fast a peer must take what is queued for it: at least `bytes` in each `everyMs`. What it takes beyond that counts for the next
 * three of them, as kernels acknowledge in steps (output-watch.ts).
 */
export interface MinimumProgress {
  readonly everyMs: number;
  readonly bytes: number;
}

/** One connection, in order and reliable in both directions. */
export interface Stream {
  /** The peer as it was when the connection was made, so it is still known when the peer is gone. */
  readonly remoteAddress: SocketAddress;
  /** Known while the stream is open. */
  readonly localAddress: SocketAddress;
  /** Known while the stream is open: the process at the other end of a Unix socket, null for all others. */
  readonly peerCredentials: PeerCredentials | null;
  /** Who hears of this stream. It may be replaced at any time: so a protocol is upgraded. */
  handler: StreamHandler;
  /** Bytes accepted by `write` that the kernel has not taken, as far as is known: io_uring tells in the next turn. */
  readonly queuedBytes: number;
  /** True from `end` on, and once the stream is closing: a further `write` throws after `end`, and is lost after `close`. */
  readonly isEnded: boolean;
  /**
   * Sends the bytes, or the first `length` of them, in order. The caller may reuse them as soon as this returns. False: not all
   * are sent yet, as the kernel has no room or the stream has had its share of the turn; the rest is queued, and `onDrain` will tell;
   * a program that goes on regardless ends at `maxQueuedBytes` with ENOBUFS. `hasMore`: another write follows at once, so these bytes
   * need no packet of their own.
   */
  write(bytes: Uint8Array, length?: number, hasMore?: boolean): boolean;
  /**
   * As `write`, but the caller gives the bytes away: what cannot be sent yet is kept and not copied. If their memory is shrunk or
   * transferred meanwhile, the stream ends with EFAULT.
   */
  writeOwned(bytes: Uint8Array): boolean;
  /**
   * No `onData` until `resume`: the peer's bytes wait in the kernel, whose full buffer in the end stops the peer. If the connection breaks
   * meanwhile, its last bytes wait there, too: after `resume` they come, and then `onClose`.
   */
  pause(): void;
  resume(): void;
  /**
   * Asks the kernel whether bytes of the peer have arrived that `onData` has not brought yet. It costs a system call, and is for a
   * program that is about to `end`: those bytes would get no answer.
   */
  hasInput(): boolean;
  /** Sends what is queued, then FIN. The peer may go on sending; when it has ended too, the stream closes. */
  end(): void;
  /**
   * Closes now, both ways. What `write` has answered true for is sent, all else is dropped. On io_uring `queuedBytes` may count some
   * of what is sent.
   */
  close(): void;
  /** Closes now with RST, so that the peer learns that something went wrong. */
  abort(): void;
  /**
   * Calls `onTimeout` once, in `delayMs` or up to one tick later; Infinity takes the deadline back. It counts from the beginning
   * of the turn; set before `onOpen`, from there.
   */
  setDeadline(delayMs: number): void;
  /**
   * While something is queued, a peer that takes less than this ends the stream with RST and ETIMEDOUT. What counts is what the peer's
   * kernel has acknowledged. Null, as at first: a peer may take for ever. Setting it begins a new count.
   */
  minimumProgress: MinimumProgress | null;
  /**
   * Calls `onTurn` once, when other streams and Node's timers have had their turn. For a program that has much to do: it does some
   * of it, asks for another turn, and returns. `EventLoop.isTurnSpent` says when it is time.
   */
  awaitTurn(): void;
}

/** What a program does about a stream. Only onData must be there. */
export interface StreamHandler {
  /** An outgoing connection stands. Before this, writes are queued. */
  onOpen?(stream: Stream): void;
  /** Bytes arrived. They lie in a buffer that the loop reuses: read or copy them before returning. */
  onData(stream: Stream, bytes: Buffer): void;
  /** The peer has ended its side. Without this method, ours is ended too. */
  onEnd?(stream: Stream): void;
  /**
   * All that was queued has been handed to the kernel. It may come where no `write` has answered false: that the kernel has no room
   * may turn out later.
   */
  onDrain?(stream: Stream): void;
  /** The turn that `awaitTurn` has asked for. */
  onTurn?(stream: Stream): void;
  /** The deadline has passed. Without this method, the stream closes with ETIMEDOUT. */
  onTimeout?(stream: Stream): void;
  /**
   * True: a paused stream ends as soon as its connection breaks, and the last bytes of the peer are lost. For a program that could do
   * nothing with them, and wants to know of the end.
   */
  readonly endsAtBreak?: boolean;
  /**
   * The end. `error` is null where the program ended it, by a call or by an exception in a callback, or both sides did. With an
   * error, bytes that were still to be sent are lost. A proxy answers null with `end` on its other side, and not with `close`: there
   * may still be bytes in its queue.
   */
  onClose?(stream: Stream, error: SystemError | null): void;
}

export interface Listener {
  /** Where it really listens: with the port that the kernel chose for port 0. */
  readonly address: SocketAddress;
  /** Takes no more connections. Those accepted live on; the kernel resets those that wait to be accepted. */
  close(): void;
  /**
   * Lets nobody begin a connection any more, takes those that the kernel has completed, and then closes; `onClosed` tells when. TCP
   * handshakes that are under way get `waitMs` to complete. A socket that others share is left to them at once.
   */
  closeWhenEmpty(waitMs: number, onClosed: () => void): void;
}

/** Chooses the handler of a connection that was just accepted. */
export type OnConnection = (stream: Stream) => StreamHandler;

export interface AdoptListenerOptions {
  /**
   * The listener has ended because of an error that no waiting can mend, and is closed already: somebody who shares its socket has shut
   * it down (accept4, EINVAL), or the kernel refuses the loop itself (epoll_wait, io_uring_enter). Without this method the error
   * becomes an uncaught exception.
   */
  readonly onFailure?: (error: SystemError) => void;
}

export interface ListenerOptions extends ListenOptions, AdoptListenerOptions {}

export interface ConnectOptions extends SocketOptions {
  /** How long to wait for the peer's answer: 30 s unless said otherwise. The kernel alone would wait some two minutes. */
  readonly connectTimeoutMs?: number;
}

/** A UDP socket on the loop. */
export interface UdpPort {
  readonly address: SocketAddress;
  /**
   * False: the datagram is lost, as datagrams may be, and the port goes on. The kernel had no room, or the port is closed; or the
   * kernel refused it, and then `onError` is told soon, of one refusal at a time. Whom an answer would go to is for a stranger
   * to say: a sender without a port or a route, or an answer that is too large, must not become an exception in `onMessage`.
   * What is no address or no bytes is a mistake of the program, and throws.
   */
  send(bytes: Uint8Array, to: SocketAddress): boolean;
  close(): void;
}

export interface UdpHandler {
  /** A whole datagram. The bytes are valid until this returns. */
  onMessage(port: UdpPort, bytes: Buffer, from: SocketAddress): void;
  /**
   * One datagram has failed: it was larger than the loop's receive buffer (recvfrom, EMSGSIZE), the kernel reports an error of an
   * earlier one (recvfrom), or it refused to send one (sendto, with the address it was for).
   */
  onError?(port: UdpPort, error: SystemError): void;
}

/** Many sockets, one thread. While it has something open it keeps the process alive, unless it was unref'ed. */
export interface EventLoop {
  /**
   * Throws SystemError or RangeError where it cannot listen, and then leaves nothing behind. The file of a Unix socket goes with the
   * listener; one on which nobody answers is removed first.
   */
  listen(address: SocketAddress, onConnection: OnConnection, options?: ListenerOptions): Listener;
  /**
   * Takes a listening socket over, from another program (socket activation) or made by hand. If it throws, it has not. The file of a
   * Unix socket stays where it is.
   */
  adoptListener(socket: NetSocket, onConnection: OnConnection, options?: AdoptListenerOptions): Listener;
  /** Takes a connected socket over. If it throws, it has not. */
  adoptStream(socket: NetSocket, handler: StreamHandler): Stream;
  /**
   * Connects. Success is told by `onOpen`, failure by `onClose`. Throws where not even a socket can be made: a proxy that connects
   * in a callback must catch that, or it ends when descriptors run out.
   */
  connect(address: SocketAddress, handler: StreamHandler, options?: ConnectOptions): Stream;
  bindUdp(address: SocketAddress, handler: UdpHandler, options?: SocketOptions): UdpPort;
  ref(): void;
  unref(): void;
  /** Milliseconds on a clock that never goes back. It stands still within a turn. */
  now(): number;
  /** As `now`, without the time in which the process was stalled (active-clock.ts). Deadlines count from it. */
  activeNow(): number;
  /** Whether the turn has taken its time (`turnMs`): whoever has more to do asks for another one. Asking reads the clock. */
  readonly isTurnSpent: boolean;
  /** Milliseconds since 1970, on the clock on the wall, which people set. */
  wallNow(): number;
  /** Calls back once, not before `delayMs` have passed; Infinity is never. It keeps no process alive, and outlives the loop. */
  after(delayMs: number, callback: () => void): Alarm;
  /** Listeners, streams and UDP ports that are open. */
  readonly openCount: number;
  /** Closes all of them; every stream still gets its `onClose`. Then the loop is gone. Closing twice does nothing. */
  close(): void;
}
