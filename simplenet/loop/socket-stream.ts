/**
 * SocketStream: a stream on a socket of the kernel, as far as both loops over the kernel agree: addresses, half-close, a kernel that refuses
 * calls, and lingering. epoll-stream.ts and uring-stream.ts receive and send bytes.
 *
 * A stream closes its socket when the turn ends, not at once: `finish` marks it, and `settle` closes it.
 *
 * Next: socket-listener.ts
 */

import { EINTR, ENODATA, EPIPE, SHUT_WR } from '../kernel/abi.ts';
import { retryOnEintr } from '../kernel/interruption.ts';
import { decodeSocketAddress, type SocketAddress } from '../kernel/socket-address.ts';
import type { NetSocket, PeerCredentials } from '../sockets/net-socket.ts';
import type { MinimumProgress, StreamHandler } from './event-loop.ts';
import type { Alarm } from './host.ts';
import { LoopStream } from './loop-stream.ts';
import type { LoopContext } from './member.ts';
import { isPassing, MAX_ATTEMPTS_AT_ONCE, pauseMsAfter } from './setbacks.ts';

/**
 * The minimum progress of a lingering stream whose program has set none. The kernel would try for longer, but here the stream holds
 * memory of ours.
 */
const MIN_PROGRESS: MinimumProgress = { everyMs: 30_000, bytes: 1 };

/** A length is a signed 32-bit number in the table of system calls. */
const MAX_SENT_BYTES = 0x4000_0000;

export abstract class SocketStream<C extends LoopContext> extends LoopStream<C> {
  protected readonly socket: NetSocket;
  /** The stream is closing, and sends first what the program counts as sent. */
  protected isLingering = false;
  /**
   * The bytes of a struct sockaddr as a text, until `remoteAddress` decodes it. Most programs never read it, and an array of bytes would take six times as
   * much memory.
   */
  #peer: SocketAddress | string;
  /** Calls in a row that the kernel has refused (`isPassing`). */
  #refusals = 0;
  #rest: Alarm | null = null;

  constructor(
    context: C,
    socket: NetSocket,
    peer: SocketAddress | string,
    handler: StreamHandler,
    isConnecting: boolean,
  ) {
    super(context, handler, isConnecting);
    this.socket = socket;
    this.#peer = peer;
  }

  get remoteAddress(): SocketAddress {
    if (typeof this.#peer === 'string') {
      this.#peer = decodeSocketAddress(Buffer.from(this.#peer, 'latin1'), this.#peer.length);
    }
    return this.#peer;
  }

  get localAddress(): SocketAddress {
    return this.socket.localAddress;
  }

  get peerCredentials(): PeerCredentials | null {
    return this.socket.peerCredentials;
  }

  hasInput(): boolean {
    if (this.isConnecting || this.isClosing || this.isPeerEnded) return false;
    return retryOnEintr(() => this.socket.tryPeek()) > 0;
  }

  hasOutput(): boolean {
    return !this.isClosing && (this.isSending || this.socket.holdsOutput);
  }

  /** A lingering stream gets this from a loop that closes, too: `lingerMs` is finite then, so the deadline is set again. */
  override close(): void {
    super.close();
    if (this.isLingering && this.isSending) this.linger();
  }

  /** After `close` it has an effect on bytes that the kernel does not have yet. */
  abort(): void {
    if (!this.isClosing || this.isSending) this.isAborted = true;
    this.finish(null);
    if (this.isLingering) this.abandonOutput();
  }

  takenBytes(sentBytes: number): number {
    return this.socket.takenBytes(sentBytes);
  }

  override onPeerStuck(): void {
    if (this.isLingering) this.abandonOutput();
    super.onPeerStuck();
  }

  override onDeadline(): void {
    if (this.isLingering) this.abandonOutput();
    super.onDeadline();
  }

  /** The stream makes no calls for a moment, because the kernel has refused many in a row. */
  protected get isResting(): boolean {
    return this.#rest !== null;
  }

  /** The kernel refused a call (`isPassing`). It is repeated when the kernel reports the socket, or after a rest. */
  protected callRefused(): void {
    const restMs = pauseMsAfter(++this.#refusals);
    if (restMs === 0 || this.#rest !== null) return;
    this.#rest = this.context.host.alarm(restMs, () => {
      this.#rest = null;
      this.restEnded();
    });
    this.settleLater();
  }

  protected callSucceeded(): void {
    this.#refusals = 0;
  }

  protected restEnded(): void {
    this.settleLater();
  }

  /** Goes on sending what the program counts as sent, for as long as the peer takes it, and for `lingerMs` at most. */
  protected linger(): void {
    const { deadlines, lingerMs, turn } = this.context;
    // When lingering begins, the program's deadline does not count any more. Later calls can only bring the end nearer.
    const earlierAt = this.isLingering ? this.deadlineAt : Number.POSITIVE_INFINITY;
    this.isLingering = true;
    deadlines.set(this, Math.min(earlierAt, turn.activeNow() + lingerMs));
    this.watchOutput(this.minimumProgress ?? MIN_PROGRESS);
  }

  /** Nothing more is sent, and the stream ends with RST: bytes are missing. */
  protected abandonOutput(): void {
    this.isAborted = true;
    this.dropOutput();
    this.settleLater();
  }

  /** Forgets all that is to be sent. */
  protected abstract dropOutput(): void;

  /** sendfile(2). Returns how many bytes the kernel took, or -errno; -ENODATA if the file has none at this offset. */
  protected trySendFile(fd: number, offset: number, length: number): number {
    const { libc } = this.socket;
    const max = Math.min(length, MAX_SENT_BYTES);
    let sent = libc.sendfile(this.socket.fd, fd, offset, max);
    for (let attempts = 1; sent === -EINTR && attempts < MAX_ATTEMPTS_AT_ONCE; attempts++) {
      sent = libc.sendfile(this.socket.fd, fd, offset, max);
    }
    return sent === 0 ? -ENODATA : sent;
  }

  /** Sends FIN with shutdown(2). If the peer has ended its side, close(2) at the end of the turn sends the same FIN. */
  protected sendFin(): void {
    if (this.isPeerEnded) {
      this.finish(null);
      return;
    }
    this.isFinSent = true;
    const result = this.socket.libc.shutdown(this.socket.fd, SHUT_WR);
    if (result < 0) this.fail('shutdown', result);
  }

  /**
   * Handles POLLHUP or POLLERR while we do not read: ends the stream if its connection has ended, and returns whether it did. A stream that
   * has nothing to send is not ended while bytes may wait: Linux keeps bytes that came before an RST, and recv(2) returns them
   * before the error.
   */
  protected checkHangUp(): boolean {
    let error = 0;
    if ((this.isPaused || this.isResting) && !this.isSending && this.handler.endsAtBreak !== true) {
      let result = this.socket.tryPeek();
      for (let attempts = 1; isPassing(result) && attempts < MAX_ATTEMPTS_AT_ONCE; attempts++) {
        result = this.socket.tryPeek();
      }
      if (result > 0 || isPassing(result)) return false;
      error = -result;
    }
    if (error === 0) error = this.socket.takeError();
    if (error !== 0) this.fail('recv', -error);
    else if (this.isPeerEnded)
      this.fail('send', -EPIPE); // a Unix peer has closed both directions, and will not read
    else return false;
    return true;
  }

  protected override release(): void {
    const { fd } = this.socket;
    if (this.isAborted) this.socket.reset();
    else this.socket.close();
    this.context.forget(fd);
  }
}
