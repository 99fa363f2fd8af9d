/**
 * StreamOverStream: what a Stream has that makes other bytes of those of a Stream: deadlines, turns, checks and the callbacks of its end are its own. ProxyStream (proxy-protocol.ts)
 * changes nothing behind its header, and leaves all that to the stream below.
 *
 * Next: tls-handshake.ts
 */

import type { SocketAddress } from '../kernel/socket-address.ts';
import type { SystemError } from '../kernel/system-error.ts';
import { addEndCallback, callEndCallbacks } from '../loop/end-callbacks.ts';
import type { MinimumProgress, Stream, StreamHandler } from '../loop/event-loop.ts';
import { checkFilePart } from '../loop/file-pieces.ts';
import { checkLength } from '../loop/loop-stream.ts';

export abstract class StreamOverStream implements Stream, StreamHandler {
  handler: StreamHandler;
  protected readonly inner: Stream;
  /** Bytes of the program can go both ways. */
  protected isOpen = false;
  /** The program has ended our side. */
  protected hasEnded = false;
  /** No further callback follows but `onClose`. */
  protected isClosing = false;
  /** `onClose` has been called. */
  protected isClosed = false;
  /** A delay that was set before the stream was open. */
  #delayOnceOpenMs = Number.POSITIVE_INFINITY;
  #isTurnRequested = false;

  /** `open` returns the stream below, whose handler is its argument. */
  constructor(handler: StreamHandler, open: (handler: StreamHandler) => Stream) {
    this.handler = handler;
    this.inner = open(this);
  }

  abstract readonly queuedBytes: number;
  abstract write(bytes: Uint8Array, length?: number, hasMore?: boolean): boolean;
  abstract writeOwned(bytes: Uint8Array): boolean;
  abstract sendFile(fd: number, offset: number, length: number): boolean;
  abstract pause(): void;
  abstract resume(): void;
  abstract hasInput(): boolean;
  abstract hasOutput(): boolean;
  abstract end(): void;
  abstract close(): void;
  abstract abort(): void;
  abstract onData(inner: Stream, bytes: Buffer): void;

  get remoteAddress(): SocketAddress {
    return this.inner.remoteAddress;
  }

  get localAddress(): SocketAddress {
    return this.inner.localAddress;
  }

  get peerCredentials(): Stream['peerCredentials'] {
    return this.inner.peerCredentials;
  }

  get isEnded(): boolean {
    return this.hasEnded || this.isClosing;
  }

  get endsAtBreak(): boolean {
    return this.handler.endsAtBreak === true;
  }

  setDeadline(delayMs: number): void {
    if (Number.isNaN(delayMs)) throw new RangeError('a delay is a number of milliseconds, not NaN');
    if (this.isClosing) return;
    if (this.isOpen) this.inner.setDeadline(delayMs);
    else this.#delayOnceOpenMs = delayMs;
  }

  /** Before the stream is open: when the time for that is over. */
  get deadlineAt(): number {
    return this.isClosing ? Number.POSITIVE_INFINITY : this.inner.deadlineAt;
  }

  get minimumProgress(): MinimumProgress | null {
    return this.inner.minimumProgress;
  }

  set minimumProgress(minimum: MinimumProgress | null) {
    if (!this.isClosing) this.inner.minimumProgress = minimum;
  }

  awaitTurn(): void {
    if (this.isClosing) return;
    this.#isTurnRequested = true;
    this.inner.awaitTurn();
  }

  whenClosed(callback: () => void): void {
    if (this.isClosed) queueMicrotask(callback);
    else addEndCallback(this, callback);
  }

  protected opened(): void {
    this.isOpen = true;
    this.inner.setDeadline(this.#delayOnceOpenMs);
    this.handler.onOpen?.(this);
  }

  /** The turn that the program has asked for. */
  protected takeTurn(): void {
    if (!this.#isTurnRequested || this.isClosing) return;
    this.#isTurnRequested = false;
    this.handler.onTurn?.(this);
  }

  /** Returns false if the stream is closing. Throws for a mistake of the program. */
  protected checkWrite(bytes: Uint8Array, length: number): boolean {
    if (this.isClosing) return false;
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

  protected announceEnd(error: SystemError | null): void {
    this.isClosed = true;
    this.isClosing = true;
    try {
      this.handler.onClose?.(this, error);
    } finally {
      callEndCallbacks(this);
    }
  }
}
