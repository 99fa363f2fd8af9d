/**
 * TlsStream: a Stream made of a Stream. The program writes and gets plain bytes; the stream below carries records of TLS.
 *
 *     HANDSHAKE ------> OPEN ------> CLOSED
 *         |              |             ^
 *         +--------------+-> FAILED ---+
 *
 * - HANDSHAKE: both sides agree on keys (tls-handshake.ts). What the program writes is queued.
 * - OPEN: bytes of the program go both ways.
 * - FAILED: the program will get an error. An alert, or a plain answer, is on its way to the peer. What the peer still sends is dropped: closing at once would
 *   send RST, which may overtake the alert.
 * - CLOSED: the program has got its `onClose`, and OpenSSL has its memory back.
 *
 * The rules of Stream hold, and three are particular here. A direction ends with close_notify and then FIN; FIN alone may come from anybody on the way, so it is an error and
 * never an end. Bytes that a program writes are encrypted when the stream below has nothing queued, so what waits for a slow peer waits unencrypted and is counted as the program has written it. And
 * a chunk of the stream below becomes one `onData`, unless it has so many records that the rest waits for the next turn.
 *
 * Next: key-log-file.ts
 */

import { EPROTO, ETIMEDOUT } from '../kernel/abi.ts';
import { SystemError } from '../kernel/system-error.ts';
import type { Stream, StreamHandler } from '../loop/event-loop.ts';
import { handlerToCome } from '../loop/loop-stream.ts';
import { lastFailure } from './openssl.ts';
import type { SslConnection } from './ssl-connection.ts';
import { StreamOverStream } from './stream-over-stream.ts';
import type { TlsCounts, TlsFailure } from './tls-counts.ts';
import { type HandshakeOwner, TlsHandshake, type TlsSetup } from './tls-handshake.ts';
import { infoOf } from './tls-info.ts';
import { TlsInput } from './tls-input.ts';
import type { OnSecureConnection, SecureStream, TlsInfo } from './tls-options.ts';
import { TlsOutput } from './tls-output.ts';
import { sendRecords } from './tls-records.ts';

/** How long a peer may take to hear why its connection ends. */
const FAREWELL_MS = 1_000;

/** How long the last bytes may take to leave when both sides have ended. */
const LINGER_MS = 30_000;

export class TlsStream extends StreamOverStream implements SecureStream, HandshakeOwner {
  readonly #setup: TlsSetup;
  readonly #input: TlsInput;
  readonly #output: TlsOutput;
  /** Null when it is complete. */
  #handshake: TlsHandshake | null;
  /** Null until then. */
  #ssl: SslConnection | null = null;
  #serverName: string | null = null;
  #info: TlsInfo | null = null;
  #error: SystemError | null = null;
  /** The stream below has closed with this error, and a paused program has not got everything yet. */
  #breakError: SystemError | null = null;
  #isPaused = false;
  #isFinSent = false;
  #isPeerEnded = false;

  private constructor(setup: TlsSetup, handler: StreamHandler, open: (handler: StreamHandler) => Stream) {
    super(handler, open);
    this.#setup = setup;
    this.#handshake = new TlsHandshake(setup, this.inner, this);
    this.#input = new TlsInput(this.inner, setup);
    this.#output = new TlsOutput(this.inner, setup);
  }

  static accept(setup: TlsSetup, inner: Stream, onConnection: OnSecureConnection): TlsStream {
    const stream = new TlsStream(setup, handlerToCome, () => inner);
    inner.setDeadline(setup.handshakeMs);
    stream.handler = onConnection(stream);
    return stream;
  }

  static connect(setup: TlsSetup, handler: StreamHandler, open: (handler: StreamHandler) => Stream): TlsStream {
    return new TlsStream(setup, handler, open);
  }

  // What the program calls.

  get tls(): TlsInfo | null {
    if (this.#info === null && this.isOpen && this.#ssl !== null) this.#info = infoOf(this.#ssl, this.#serverName);
    return this.#info;
  }

  get queuedBytes(): number {
    return this.isClosed ? 0 : this.#output.queuedBytes;
  }

  write(bytes: Uint8Array, length = bytes.length, hasMore = false): boolean {
    return this.#write(bytes, length, false, hasMore);
  }

  writeOwned(bytes: Uint8Array): boolean {
    return this.#write(bytes, bytes.length, true, false);
  }

  sendFile(fd: number, offset: number, length: number): boolean {
    if (!this.checkSendFile(fd, offset, length)) return false;
    if (length === 0) return this.queuedBytes === 0;
    return this.#written(this.#output.sendFile(fd, offset, length));
  }

  pause(): void {
    this.#isPaused = true;
    if (this.isOpen) this.inner.pause();
  }

  resume(): void {
    this.#isPaused = false;
    if (!this.isOpen || this.isClosing) return;
    if (!this.#input.hasNews) this.inner.resume();
    else if (this.#breakError !== null) queueMicrotask(() => this.#deliverLast());
    else this.inner.awaitTurn();
  }

  /** During the handshake the bytes that have arrived are those of TLS. */
  hasInput(): boolean {
    if (!this.isOpen || this.isClosing || this.#isPeerEnded) return false;
    return this.#input.hasRecords || (!this.#input.owesEnd && this.inner.hasInput());
  }

  hasOutput(): boolean {
    return !this.isClosing && (this.#output.waitingBytes > 0 || this.inner.hasOutput());
  }

  end(): void {
    if (this.isEnded) return;
    this.hasEnded = true;
    if (this.isOpen && this.#output.waitingBytes === 0) this.#sendFin();
  }

  close(): void {
    if (this.isClosing) {
      this.inner.close();
      return;
    }
    // With close_notify the peer takes what it has for complete.
    if (this.isOpen && !this.#isFinSent && this.queuedBytes === 0) this.#sendCloseNotify();
    this.#finish();
    this.inner.close();
  }

  abort(): void {
    this.#finish();
    this.inner.abort();
  }

  // What the stream below calls.

  /** A client's connection is established. */
  onOpen(): void {
    const { client, handshakeMs } = this.#setup;
    if (client === null || this.isClosing) return;
    this.inner.setDeadline(handshakeMs);
    this.#handshake?.begin(client);
  }

  onData(_inner: Stream, bytes: Buffer): void {
    if (this.isClosing || this.#isPeerEnded) return;
    if (this.#handshake !== null) this.#handshake.receive(bytes);
    else this.#deliver(this.#input.receive(bytes));
  }

  onEnd(): void {
    if (this.isClosing || this.#isPeerEnded) return;
    if (this.isOpen)
      this.#fail('SSL_read', 'the peer has ended the connection without close_notify: bytes may be missing');
    else this.handshakeFailed('the peer has ended the connection before the handshake was complete', 'closed');
  }

  onDrain(): void {
    this.#continue();
  }

  onTurn(): void {
    if (this.isClosing) return;
    if (this.isOpen && this.#input.hasNews && !this.#isPaused) {
      this.#deliverNews();
      if (!this.#isPaused && !this.#input.hasRecords && !this.isClosing) this.inner.resume();
    }
    this.#continue();
    this.takeTurn();
  }

  onTimeout(): void {
    if (this.isClosing) {
      this.inner.close();
      return;
    }
    if (this.isOpen && this.handler.onTimeout !== undefined) {
      this.handler.onTimeout(this);
      return;
    }
    if (!this.isOpen) this.#countFailure('timeout');
    this.#error = new SystemError(this.isOpen ? 'deadline' : 'SSL_do_handshake', -ETIMEDOUT, this.remoteAddress);
    this.#finish();
    this.inner.close();
  }

  onClose(_inner: Stream, error: SystemError | null): void {
    if (!this.isOpen) this.#countFailure('closed');
    // The connection has broken, and the program has not got everything: it does, after `resume` if it has paused, unless it waits for the peer itself.
    const keepsHeld = error !== null && !this.#output.owesDrain && !this.endsAtBreak;
    if (keepsHeld && this.#input.hasRecords && !this.isClosing) {
      this.#breakError = error;
      queueMicrotask(() => this.#deliverLast());
    } else this.#closed(error);
  }

  // What the handshake calls.

  handshakeComplete(ssl: SslConnection, serverName: string | null, rest: Buffer): void {
    this.#handshake = null;
    this.#ssl = ssl;
    this.#serverName = serverName;
    this.#countHandshake(ssl);
    this.#input.open(ssl, rest);
    this.#output.open(ssl);
    this.opened();
    this.#continue();
    if (this.isClosing) return;
    if (this.#isPaused) this.inner.pause();
    else this.#deliverNews();
  }

  handshakeFailed(reason: string, kind: TlsFailure): void {
    this.#countFailure(kind);
    this.#fail('SSL_do_handshake', reason);
  }

  // What is counted.

  #countHandshake(ssl: SslConnection): void {
    const { counts } = this.#setup;
    if (counts === null) return;
    counts.open++;
    const ofVersion = counts.completed[ssl.version as keyof TlsCounts['completed']];
    ofVersion[ssl.isResumed ? 'resumed' : 'full']++;
  }

  /** The first reason counts, and none if this side has closed the connection. */
  #countFailure(kind: TlsFailure): void {
    const { counts } = this.#setup;
    if (counts !== null && !this.isClosing) counts.failed[kind]++;
  }

  // What comes in.

  #deliver(bytes: Buffer): void {
    if (bytes.length > 0) this.handler.onData(this, bytes);
    if (this.isClosing) return;
    const { fault, owesEnd } = this.#input;
    if (fault !== null) this.#fail('SSL_read', fault);
    else if (this.#isPaused) return;
    else if (owesEnd) this.#peerEnded();
    else if (this.#input.hasRecords) {
      this.inner.pause();
      this.inner.awaitTurn();
    }
  }

  #deliverNews(): void {
    if (this.#input.hasRecords) this.#deliver(this.#input.next());
    else if (this.#input.owesEnd) this.#peerEnded();
  }

  /** After `resume` of a stream below which nothing is left. */
  #deliverLast(): void {
    if (this.isClosed || this.#isPaused) return;
    try {
      do this.#deliverNews();
      while (this.#input.hasNews && !this.#isPaused);
    } finally {
      if (!this.#isPaused || !this.#input.hasNews) this.#closed(this.#breakError);
    }
  }

  #peerEnded(): void {
    this.#input.owesEnd = false;
    this.#isPeerEnded = true;
    if (this.handler.onEnd !== undefined) this.handler.onEnd(this);
    else this.end();
    if (this.#isFinSent && !this.isClosing) this.#bothEnded();
  }

  // What goes out.

  #write(bytes: Uint8Array, length: number, isOwned: boolean, hasMore: boolean): boolean {
    if (!this.checkWrite(bytes, length)) return false;
    if (length === 0) return this.queuedBytes === 0;
    return this.#written(this.#output.write(bytes, length, isOwned, hasMore));
  }

  /** What a write returns. */
  #written(result: number): boolean {
    if (result < 0) this.#outputFailed(result);
    return result === 0 && !this.#output.owesDrain;
  }

  /** The stream below has room, or it is this stream's turn. */
  #continue(): void {
    if (!this.isOpen || this.isClosing) return;
    const output = this.#output;
    const result = output.sendQueued();
    if (result < 0) this.#outputFailed(result);
    if (this.isClosing || output.waitingBytes > 0) return;
    if (this.hasEnded) {
      if (!this.#isFinSent) this.#sendFin();
    } else if (output.owesDrain && output.queuedBytes === 0) {
      output.owesDrain = false;
      this.handler.onDrain?.(this);
    }
  }

  // The end.

  #sendCloseNotify(): void {
    const ssl = this.#ssl as SslConnection;
    ssl.shutdown();
    sendRecords(ssl, this.inner);
    this.#isFinSent = true;
  }

  /** Ends our side. */
  #sendFin(): void {
    this.#sendCloseNotify();
    if (this.#isPeerEnded) this.#bothEnded();
    else this.inner.end();
  }

  /** Nothing follows in either direction, also if the peer never sends its FIN. */
  #bothEnded(): void {
    this.#finish();
    if (this.inner.queuedBytes === 0) {
      this.inner.close();
      return;
    }
    this.inner.end();
    this.inner.setDeadline(LINGER_MS);
  }

  /** From now on the program gets `onClose` and nothing else. */
  #finish(): void {
    this.isClosing = true;
    this.#input.close();
    this.#output.close();
    if (this.#breakError !== null) queueMicrotask(() => this.#closed(this.#breakError));
  }

  /** TLS has failed, and the peer hears why. */
  #fail(call: string, reason: string): void {
    this.#error = new SystemError(call, -EPROTO, this.remoteAddress, { EPROTO: reason });
    if (this.#ssl !== null) sendRecords(this.#ssl, this.inner);
    this.isOpen = false;
    this.#finish();
    this.inner.resume();
    this.inner.end();
    this.inner.setDeadline(FAREWELL_MS);
  }

  /** Bytes will be missing, so the peer gets RST. */
  #outputFailed(result: number): void {
    if (result === -EPROTO) {
      // A damaged record in the chunk that the program answers has ended the connection, and that was the reason.
      const { fault } = this.#input;
      /* c8 ignore next -- OpenSSL refuses to write after it has failed to read, and else only without memory. */
      if (fault === null) this.#fail('SSL_write', lastFailure());
      else this.#fail('SSL_read', fault);
      return;
    }
    this.#error = new SystemError(this.#output.isFileFault ? 'sendfile' : 'send', result, this.remoteAddress);
    this.#finish();
    this.inner.abort();
  }

  #closed(error: SystemError | null): void {
    if (this.isClosed) return;
    this.#input.close();
    this.#output.close();
    this.#handshake?.free();
    this.#handshake = null;
    if (this.#ssl !== null && this.#setup.counts !== null) this.#setup.counts.open--;
    this.#ssl?.free();
    this.#ssl = null;
    this.announceEnd(this.#error ?? error);
  }
}
