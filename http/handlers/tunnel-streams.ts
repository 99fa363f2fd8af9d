/**
 * TunnelStreams: the stream of a tunnel as a ReadableStream and a WritableStream, and how it ends.
 *
 *     OPEN -> one side ended -> both ended: closed resolves
 *       \________________\______________ cancel, abort, destroy, reset by the peer, silence: closed rejects, RST
 *
 * Backpressure goes both ways: above `tunnelBufferBytes` the connection is paused, and a write waits until the client has taken what is queued.
 *
 * Next: capsule-streams.ts
 */

import type { Stream, StreamHandler, SystemError } from '../../simplenet/index.ts';
import { ClientGoneError } from '../http-error.ts';
import { markHandled } from '../promises.ts';
import { invalidState } from './exchange-state.ts';
import { inboundErrorOf, protocolError, tunnelErrorOf } from './protocol-error.ts';

export class TunnelStreams implements StreamHandler {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  readonly closed: Promise<void>;
  readonly #stream: Stream;
  readonly #idleMs: number;
  #reads!: ReadableStreamDefaultController<Uint8Array>;
  #writes!: WritableStreamDefaultController;
  #resolveClosed!: () => void;
  #rejectClosed!: (reason: unknown) => void;
  #isPaused = false;
  #hasPeerEnded = false;
  #hasEnded = false;
  /** `closed` is settled. */
  #isOver = false;
  /** Our side ends when what has been written is sent. */
  #isEnding = false;
  /** Pieces that `writable` has taken and not passed on yet. */
  #waitingPieces = 0;
  #resumeWrite: ((error: unknown) => void) | null = null;

  /** `bufferBytes` may wait for the program, and so much it may write without waiting. */
  constructor(stream: Stream, idleMs: number, bufferBytes: number) {
    this.#stream = stream;
    this.#idleMs = idleMs;
    const closed = new Promise<void>((resolve, reject) => {
      this.#resolveClosed = resolve;
      this.#rejectClosed = reject;
    });
    this.closed = markHandled(closed);
    this.readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#reads = controller;
        },
        pull: () => this.#resume(),
        cancel: (reason) => this.#terminate(tunnelErrorOf(reason)),
      },
      { highWaterMark: bufferBytes, size: (piece) => piece.byteLength },
    );
    this.writable = new WritableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#writes = controller;
        },
        write: (piece) => this.#write(piece),
        close: () => this.#end(),
        abort: (reason) => this.#terminate(tunnelErrorOf(reason)),
      },
      // Called for each piece when it is written: this is the only way to know how many wait.
      { highWaterMark: bufferBytes, size: (piece) => this.#countPiece(piece) },
    );
    this.#isActive();
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Ends our side after what has been written, also if the program holds a writer. */
  close(): void {
    if (this.#isOver || this.#isEnding || this.#hasEnded) return;
    this.#isEnding = true;
    if (!this.writable.locked) void markHandled(this.writable.close());
    else if (this.#waitingPieces === 0) this.#end();
  }

  destroy(error: unknown): void {
    this.#terminate(error ?? protocolError('ERR_HTTP_CONNECT_ERROR', 'the tunnel was destroyed'));
  }

  // For the stream.

  onData(stream: Stream, bytes: Buffer): void {
    this.#isActive();
    this.#reads.enqueue(new Uint8Array(bytes)); // a copy: the buffer is used again
    if ((this.#reads.desiredSize as number) > 0) return;
    this.#isPaused = true;
    stream.pause();
  }

  onEnd(): void {
    this.#isActive();
    this.#hasPeerEnded = true;
    this.#reads.close();
  }

  onDrain(): void {
    this.#isActive();
    this.#settleWrite(null);
  }

  onTimeout(): void {
    this.#terminate(protocolError('ERR_HTTP_TIMEOUT', `the tunnel has been silent for ${this.#idleMs} ms`));
  }

  onClose(_stream: Stream, error: SystemError | null): void {
    if (this.#isOver) return;
    if (error === null && this.#hasEnded && this.#hasPeerEnded) {
      this.#isOver = true;
      this.#settleWrite(null);
      this.#resolveClosed();
      return;
    }
    this.#fail(inboundErrorOf(new ClientGoneError({ cause: error })));
  }

  #resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#stream.resume();
  }

  #countPiece(piece: unknown): number {
    this.#waitingPieces++;
    return (piece as Uint8Array | null)?.byteLength ?? 0;
  }

  async #write(piece: unknown): Promise<void> {
    this.#waitingPieces--;
    if (!ArrayBuffer.isView(piece) && !(piece instanceof ArrayBuffer)) {
      const error = new TypeError('a tunnel carries bytes');
      this.#terminate(error);
      throw error;
    }
    if (this.#hasEnded) throw invalidState('this side of the tunnel has been closed');
    this.#isActive();
    const bytes = ArrayBuffer.isView(piece)
      ? new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength)
      : new Uint8Array(piece);
    if (!this.#stream.write(bytes)) await this.#drained();
    if (this.#isEnding && this.#waitingPieces === 0) this.#end();
  }

  #drained(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#resumeWrite = (error) => (error === null ? resolve() : reject(error));
    });
  }

  #settleWrite(error: unknown): void {
    const resume = this.#resumeWrite;
    this.#resumeWrite = null;
    resume?.(error);
  }

  #end(): void {
    if (this.#hasEnded || this.#isOver) return;
    this.#hasEnded = true;
    this.#stream.end();
  }

  #terminate(reason: unknown): void {
    if (this.#isOver) return;
    this.#fail(reason);
    this.#stream.abort();
  }

  #fail(reason: unknown): void {
    this.#isOver = true;
    this.#reads.error(reason);
    this.#writes.error(reason);
    this.#settleWrite(reason);
    this.#rejectClosed(reason);
  }

  #isActive(): void {
    if (this.#idleMs !== Number.POSITIVE_INFINITY) this.#stream.setDeadline(this.#idleMs);
  }
}
