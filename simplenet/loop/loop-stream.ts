/**
 * LoopStream: what all connections share, whatever carries their bytes: the handler, deadlines, turns, the watch over slow peers, and
 * the order of their end. socket-stream.ts adds a socket of the kernel, and ../tcpip/stack-stream.ts a connection of our own TCP.
 *
 * A stream ends in two steps: `finish` marks it, and `settle`, at the end of the turn, calls `dispose`. turn.ts says why.
 *
 * Next: socket-stream.ts
 */

import { ETIMEDOUT } from '../kernel/abi.ts';
import { intrinsicByteLength } from '../kernel/intrinsic-bytes.ts';
import type { SocketAddress } from '../kernel/socket-address.ts';
import { SystemError } from '../kernel/system-error.ts';
import type { PeerCredentials } from '../sockets/net-socket.ts';
import type { Deadlines, Timed } from './deadlines.ts';
import { addEndCallback, callEndCallbacks } from './end-callbacks.ts';
import type { MinimumProgress, Stream, StreamHandler } from './event-loop.ts';
import { checkFilePart } from './file-pieces.ts';
import { OutputWatch, type WatchedOutput } from './output-watch.ts';
import type { Continuing, Turn } from './turn.ts';

/* c8 ignore next 2 -- nothing is delivered before the program has chosen the handler. */
/** The handler of an accepted stream until the program has chosen one, in `onConnection`. */
export const handlerToCome: StreamHandler = { onData: () => {} };

/** Throws RangeError if there are not so many bytes. */
export function checkLength(bytes: Uint8Array, length: number): void {
  const byteLength = intrinsicByteLength(bytes);
  if (Number.isInteger(length) && length >= 0 && length <= byteLength) return;
  throw new RangeError(
    `length must be an integer from 0 to ${byteLength}, the size of the bytes, not ${String(length)}`,
  );
}

/** What a stream needs of its loop. */
export interface StreamContext {
  readonly turn: Turn;
  readonly deadlines: Deadlines;
}

export abstract class LoopStream<C extends StreamContext> implements Stream, Continuing, Timed, WatchedOutput {
  handler: StreamHandler;
  deadlineAt = Number.POSITIVE_INFINITY;
  deadlineSlot = -1;
  needsSettle = false;

  protected readonly context: C;
  protected isConnecting: boolean;
  protected isPaused = false;
  /** The program has ended our side. */
  protected hasEnded = false;
  protected isFinSent = false;
  protected isPeerEnded = false;
  /** The stream has ended; `settle` will dispose of it. */
  protected isClosing = false;
  protected isAborted = false;
  protected error: SystemError | null = null;
  /** A delay that was set while the stream was connecting. It counts from `opened`. */
  #delayOnceOpenMs = Number.POSITIVE_INFINITY;
  #isTurnRequested = false;
  #isDisposed = false;
  #minimumProgress: MinimumProgress | null = null;
  /** Null until something is queued. */
  #outputWatch: OutputWatch | null = null;

  constructor(context: C, handler: StreamHandler, isConnecting: boolean) {
    this.context = context;
    this.handler = handler;
    this.isConnecting = isConnecting;
  }

  abstract readonly remoteAddress: SocketAddress;
  abstract readonly localAddress: SocketAddress;
  abstract readonly peerCredentials: PeerCredentials | null;
  abstract readonly queuedBytes: number;
  abstract write(bytes: Uint8Array, length?: number, hasMore?: boolean): boolean;
  abstract writeOwned(bytes: Uint8Array): boolean;
  abstract sendFile(fd: number, offset: number, length: number): boolean;
  abstract hasInput(): boolean;
  abstract hasOutput(): boolean;
  abstract abort(): void;
  abstract settle(): void;
  abstract takenBytes(sentBytes: number): number;

  /** Bytes must still be sent before FIN. */
  protected abstract readonly isSending: boolean;
  protected abstract sendFin(): void;
  /** Gives up what carries the bytes, and leaves the loop. */
  protected abstract release(): void;

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

  end(): void {
    if (this.isEnded) return;
    this.hasEnded = true;
    if (!this.isConnecting && !this.isSending) this.sendFin();
  }

  close(): void {
    this.finish(null);
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
    addEndCallback(this, callback);
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
    if (this.isClosing) return;
    if (this.isConnecting) this.fail('connect', -ETIMEDOUT);
    else if (this.handler.onTimeout === undefined) this.fail('deadline', -ETIMEDOUT);
    else this.context.turn.guard(this, () => this.handler.onTimeout?.(this));
  }

  onPeerStuck(): void {
    if (this.isClosing) return;
    this.isAborted = true;
    this.fail('send', -ETIMEDOUT);
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
    checkLength(bytes, length);
    return true;
  }

  /** As `checkWrite`, for a part of a file. */
  protected checkSendFile(fd: number, offset: number, length: number): boolean {
    if (this.isClosing) return false;
    if (this.hasEnded) throw new Error('sendFile after end: this program has ended the stream');
    checkFilePart(fd, offset, length);
    return true;
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

  protected fail(syscall: string, result: number): void {
    this.finish(new SystemError(syscall, result, this.remoteAddress));
  }

  protected settleLater(): void {
    if (!this.#isDisposed) this.context.turn.settleLater(this);
  }

  /** Releases what carries the bytes. After `onClose` nothing happens to the stream. */
  protected dispose(): void {
    /* c8 ignore next -- `settle` delivers held bytes; a callback that ends the stream there may cause a second call. */
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.context.deadlines.remove(this);
    this.#outputWatch?.remove();
    this.context.turn.cancelTurn(this);
    this.release();
    try {
      this.handler.onClose?.(this, this.error);
    } finally {
      callEndCallbacks(this);
    }
  }
}
