/**
 * SocketStream: what the connections of both loops share: addresses, deadlines, half-close, errors, and the ways in which a stream
 * ends. epoll-stream.ts and uring-stream.ts receive and send bytes.
 *
 * A stream closes its socket when the turn ends, not at once: `finish` marks it, and `settle` closes it.
 *
 * Next: socket-listener.ts
 */

import { EINTR, ENODATA, EPIPE, ETIMEDOUT, SHUT_WR } from '../kernel/abi.ts';
import { retryOnEintr } from '../kernel/interruption.ts';
import { intrinsicByteLength } from '../kernel/intrinsic-bytes.ts';
import { decodeSocketAddress, type SocketAddress } from '../kernel/socket-address.ts';
import { SystemError } from '../kernel/system-error.ts';
import type { NetSocket, PeerCredentials } from '../sockets/net-socket.ts';
import type { Timed } from './deadlines.ts';
import type { MinimumProgress, Stream, StreamHandler } from './event-loop.ts';
import { checkFilePart } from './file-pieces.ts';
import type { Alarm } from './host.ts';
import type { LoopContext } from './member.ts';
import { OutputWatch, type WatchedOutput } from './output-watch.ts';
import { isPassing, MAX_ATTEMPTS_AT_ONCE, pauseMsAfter } from './setbacks.ts';
import type { Continuing } from './turn.ts';

/**
 * The minimum progress of a lingering stream whose program has set none. The kernel would try for longer, but here the stream holds
 * memory of ours.
 */
const MIN_PROGRESS: MinimumProgress = { everyMs: 30_000, bytes: 1 };

/** A length is a signed 32-bit number in the table of system calls. */
const MAX_SENT_BYTES = 0x4000_0000;

/** What `whenClosed` was given. Hardly any stream has it, so it is not a field of every stream. */
const callbacksAtEnd = new WeakMap<object, () => void>();

export abstract class SocketStream<C extends LoopContext> implements Stream, Continuing, Timed, WatchedOutput {
  handler: StreamHandler;
  deadlineAt = Number.POSITIVE_INFINITY;
  deadlineSlot = -1;
  needsSettle = false;

  protected readonly context: C;
  protected readonly socket: NetSocket;
  protected isConnecting: boolean;
  protected isPaused = false;
  /** The program has ended our side. */
  protected hasEnded = false;
  protected isFinSent = false;
  protected isPeerEnded = false;
  /** The stream has ended; `settle` will close the socket. */
  protected isClosing = false;
  protected isAborted = false;
  /** The stream is closing, and sends first what the program counts as sent. */
  protected isLingering = false;
  protected error: SystemError | null = null;
  /** A struct sockaddr until `remoteAddress` decodes it. Most programs never read it. */
  #peer: SocketAddress | Uint8Array;
  /** A delay that was set while the stream was connecting. It counts from `opened`. */
  #delayOnceOpenMs = Number.POSITIVE_INFINITY;
  #isTurnRequested = false;
  #isDisposed = false;
  /** Calls in a row that the kernel has refused (`isPassing`). */
  #refusals = 0;
  #rest: Alarm | null = null;
  #minimumProgress: MinimumProgress | null = null;
  /** Null until something is queued. */
  #outputWatch: OutputWatch | null = null;

  constructor(
    context: C,
    socket: NetSocket,
    peer: SocketAddress | Uint8Array,
    handler: StreamHandler,
    isConnecting: boolean,
  ) {
    this.context = context;
    this.socket = socket;
    this.#peer = peer;
    this.handler = handler;
    this.isConnecting = isConnecting;
  }

  abstract readonly queuedBytes: number;
  abstract write(bytes: Uint8Array, length?: number, hasMore?: boolean): boolean;
  abstract writeOwned(bytes: Uint8Array): boolean;
  abstract sendFile(fd: number, offset: number, length: number): boolean;
  abstract settle(): void;

  get remoteAddress(): SocketAddress {
    if (this.#peer instanceof Uint8Array) this.#peer = decodeSocketAddress(this.#peer, this.#peer.byteLength);
    return this.#peer;
  }

  get localAddress(): SocketAddress {
    return this.socket.localAddress;
  }

  get peerCredentials(): PeerCredentials | null {
    return this.socket.peerCredentials;
  }

  get isEnded(): boolean {
    return this.hasEnded || this.isClosing;
  }

  pause(): void {
    this.isPaused = true;
    this.settleLater();
  }

  resume(): void {
    this.isPaused = false;
    this.settleLater();
  }

  hasInput(): boolean {
    if (this.isConnecting || this.isClosing || this.isPeerEnded) return false;
    return retryOnEintr(() => this.socket.tryPeek()) > 0;
  }

  hasOutput(): boolean {
    return !this.isClosing && (this.isSending || this.socket.holdsOutput);
  }

  end(): void {
    if (this.isEnded) return;
    this.hasEnded = true;
    if (!this.isConnecting && !this.isSending) this.sendFin();
  }

  /** A lingering stream gets this from a loop that closes, too: `lingerMs` is finite then, so the deadline is set again. */
  close(): void {
    this.finish(null);
    if (this.isLingering && this.isSending) this.linger();
  }

  /** After `close` it has an effect on bytes that the kernel does not have yet. */
  abort(): void {
    if (!this.isClosing || this.isSending) this.isAborted = true;
    this.finish(null);
    if (this.isLingering) this.abandonOutput();
  }

  setDeadline(delayMs: number): void {
    if (Number.isNaN(delayMs)) throw new RangeError('a delay is a number of milliseconds, not NaN');
    if (this.isConnecting) this.#delayOnceOpenMs = delayMs;
    else if (!this.isClosing) this.context.deadlines.set(this, this.context.turn.activeNow() + delayMs);
  }

  get minimumProgress(): MinimumProgress | null {
    return this.#minimumProgress;
  }

  set minimumProgress(minimum: MinimumProgress | null) {
    if (this.isClosing) return; // bytes that are still being sent are watched already
    this.#minimumProgress = minimum;
    this.#outputWatch?.remove();
    this.#outputWatch = null;
    if (this.queuedBytes > 0) this.outputQueued();
  }

  takenBytes(sentBytes: number): number {
    return this.socket.takenBytes(sentBytes);
  }

  onPeerStuck(): void {
    if (this.isLingering) this.abandonOutput();
    if (this.isClosing) return;
    this.isAborted = true;
    this.fail('send', -ETIMEDOUT);
  }

  awaitTurn(): void {
    if (this.isClosing) return;
    this.#isTurnRequested = true;
    this.context.turn.awaitTurn(this);
  }

  whenClosed(callback: () => void): void {
    if (this.#isDisposed) {
      queueMicrotask(callback);
      return;
    }
    const earlier = callbacksAtEnd.get(this);
    const both = () => {
      earlier?.();
      callback();
    };
    callbacksAtEnd.set(this, both);
  }

  onTurn(): void {
    if (!this.#isTurnRequested || this.isClosing) return;
    this.#isTurnRequested = false;
    this.handler.onTurn?.(this);
  }

  onThrow(): void {
    this.abort();
  }

  onDeadline(): void {
    if (this.isLingering) this.abandonOutput();
    if (this.isClosing) return;
    if (this.isConnecting) this.fail('connect', -ETIMEDOUT);
    else if (this.handler.onTimeout === undefined) this.fail('deadline', -ETIMEDOUT);
    else this.context.turn.guard(this, () => this.handler.onTimeout?.(this));
  }

  /** Ends the stream. `onClose` will get the error. Only the first call has an effect. */
  finish(error: SystemError | null): void {
    if (this.isClosing) return;
    this.isClosing = true;
    this.error = error;
    this.settleLater();
  }

  lose(error: SystemError): void {
    this.finish(error);
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

  /** Bytes must still be sent before FIN. */
  protected abstract readonly isSending: boolean;

  /** `queuedBytes` has become greater than 0. */
  protected outputQueued(): void {
    const minimum = this.#minimumProgress;
    if (minimum !== null && !this.isConnecting && !this.isClosing) this.watchOutput(minimum);
  }

  /** Starts the output watch. Makes one if there is none. */
  protected watchOutput(minimum: MinimumProgress): void {
    this.#outputWatch ??= new OutputWatch(this, this.context.deadlines, minimum);
    this.#outputWatch.start(this.context.turn.activeNow());
  }

  /** Goes on sending what the program counts as sent, for as long as the peer takes it, and for `lingerMs` at most. */
  protected linger(): void {
    const { deadlines, lingerMs, turn } = this.context;
    // When lingering begins, the program's deadline does not count any more. Later calls can only bring the end nearer.
    const earlierAt = this.isLingering ? this.deadlineAt : Number.POSITIVE_INFINITY;
    this.isLingering = true;
    deadlines.set(this, Math.min(earlierAt, turn.activeNow() + lingerMs));
    this.watchOutput(this.#minimumProgress ?? MIN_PROGRESS);
  }

  /** Nothing more is sent, and the stream ends with RST: bytes are missing. */
  protected abandonOutput(): void {
    this.isAborted = true;
    this.dropOutput();
    this.settleLater();
  }

  /** Forgets all that is to be sent. */
  protected abstract dropOutput(): void;

  /** The kernel has taken `bytes` more bytes. */
  protected outputSent(bytes: number): void {
    if (this.#outputWatch === null) return;
    this.#outputWatch.sentBytes += bytes;
    if (this.queuedBytes === 0) this.#outputWatch.stop();
  }

  /** Sets the time limit of a connection attempt. */
  protected connectWithin(timeoutMs: number): void {
    this.context.deadlines.set(this, this.context.turn.activeNow() + timeoutMs);
  }

  /** Returns false if the stream is closing. Throws for a mistake of the program. */
  protected checkWrite(bytes: Uint8Array, length: number): boolean {
    if (this.isClosing) return false; // not a mistake: the peer may disconnect at any time
    if (this.hasEnded) throw new Error('write after end: this program has ended the stream');
    const byteLength = intrinsicByteLength(bytes);
    if (!Number.isInteger(length) || length < 0 || length > byteLength) {
      throw new RangeError(
        `length must be an integer from 0 to ${byteLength}, the size of the bytes, not ${String(length)}`,
      );
    }
    return true;
  }

  /** As `checkWrite`, for a part of a file. */
  protected checkSendFile(fd: number, offset: number, length: number): boolean {
    if (this.isClosing) return false;
    if (this.hasEnded) throw new Error('sendFile after end: this program has ended the stream');
    checkFilePart(fd, offset, length);
    return true;
  }

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

  protected opened(): void {
    this.isConnecting = false;
    this.setDeadline(this.#delayOnceOpenMs);
    if (this.queuedBytes > 0) this.outputQueued();
    this.settleLater();
    this.handler.onOpen?.(this);
  }

  protected peerEnded(): void {
    this.isPeerEnded = true;
    if (this.handler.onEnd !== undefined) this.handler.onEnd(this);
    else this.end();
    if (this.isFinSent) this.finish(null);
    // Our side is still open, and the descriptor stays readable from now on. `settle` stops watching it for input.
    else this.settleLater();
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

  protected fail(syscall: string, result: number): void {
    this.finish(new SystemError(syscall, result, this.remoteAddress));
  }

  protected settleLater(): void {
    if (!this.#isDisposed) this.context.turn.settleLater(this);
  }

  /** Closes the socket, and removes the stream from the loop. After `onClose` nothing happens to it. */
  protected dispose(): void {
    /* c8 ignore next -- `settle` delivers held bytes; a callback that ends the stream there may cause a second call. */
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    const { fd } = this.socket;
    this.context.deadlines.remove(this);
    this.#outputWatch?.remove();
    this.context.turn.cancelTurn(this);
    if (this.isAborted) this.socket.reset();
    else this.socket.close();
    this.context.forget(fd);
    try {
      this.handler.onClose?.(this, this.error);
    } finally {
      callbacksAtEnd.get(this)?.();
    }
  }
}
