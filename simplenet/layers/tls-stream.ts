/**
 * TlsStream: a Stream made of a Stream. The program writes and gets plain bytes; the stream below carries records of TLS.
 *
 *     HELLO ------> HANDSHAKE ------> OPEN ------> CLOSED
 *       |               |              |             ^
 *       +---------------+--------------+-> FAILED ---+
 *
 * - HELLO: the first message of a client comes in. It names the server that the client wants, and so chooses the certificate.
 * - HANDSHAKE: OpenSSL agrees with the peer on keys. What the program writes is queued.
 * - OPEN: bytes of the program go both ways.
 * - FAILED: the program will get an error. An alert, or a plain answer, is on its way to the peer. What the peer still sends is dropped: closing at once would
 *   send RST, which may overtake the alert.
 * - CLOSED: the program has got its `onClose`, and OpenSSL has its memory back.
 *
 * The rules of Stream hold, and three are particular here. A direction ends with close_notify and then FIN; FIN alone may come from anybody on the way, so it is an error and
 * never an end. Bytes that a program writes are encrypted when the stream below has nothing queued, so what waits for a slow peer waits unencrypted and is counted as the program has written it. And
 * a chunk of the stream below becomes one `onData`, whatever the number of its records.
 *
 * Next: crc32c.ts
 */

import { EPROTO, ETIMEDOUT } from '../kernel/abi.ts';
import { intrinsicByteLength } from '../kernel/intrinsic-bytes.ts';
import type { SocketAddress } from '../kernel/socket-address.ts';
import { SystemError } from '../kernel/system-error.ts';
import { addEndCallback, callEndCallbacks } from '../loop/end-callbacks.ts';
import type { MinimumProgress, Stream, StreamHandler } from '../loop/event-loop.ts';
import { checkFilePart } from '../loop/file-pieces.ts';
import { handlerToCome } from '../loop/loop-stream.ts';
import { decodeClientHello } from './client-hello.ts';
import { lastFailure, openssl, SSL_ERROR_WANT_READ, SSL_ERROR_ZERO_RETURN, type SslContext } from './openssl.ts';
import { SslConnection } from './ssl-connection.ts';
import type { TlsContext } from './tls-context.ts';
import { infoOf } from './tls-info.ts';
import type { OnSecureConnection, SecureStream, TlsInfo } from './tls-options.ts';
import { type OutputLimits, TlsOutput } from './tls-output.ts';
import { openRecords, sendRecords } from './tls-records.ts';

const HELLO = 0;
const HANDSHAKE = 1;
const OPEN = 2;
const FAILED = 3;
const CLOSED = 4;
type State = typeof HELLO | typeof HANDSHAKE | typeof OPEN | typeof FAILED | typeof CLOSED;

/** How long a peer may take to hear why its connection ends. */
const FAREWELL_MS = 1_000;

/** How long the last bytes may take to leave when both sides have ended. */
const LINGER_MS = 30_000;

/** A record with an alert that ends the connection: type 21, level 2 (RFC 8446 section 6). */
const alertRecord = (alert: number) => Uint8Array.of(21, 3, 3, 0, 2, 2, alert);

/** What all connections of a listener share, or what a client is made of. */
export interface TlsSetup extends OutputLimits {
  /** Null for a client. */
  readonly context: TlsContext | null;
  /** Null for a server. */
  readonly client: { readonly context: SslContext; readonly serverName: string | null } | null;
  readonly handshakeMs: number;
  readonly plainAnswer: (firstBytes: Buffer) => Uint8Array | null;
}

export class TlsStream implements SecureStream, StreamHandler {
  handler: StreamHandler;
  readonly #setup: TlsSetup;
  readonly #inner: Stream;
  readonly #output: TlsOutput;
  #state: State = HELLO;
  #ssl: SslConnection | null = null;
  /** Bytes of the peer that wait: the beginning of its hello, or records that came with the end of the handshake to a paused stream. */
  #held: Buffer | null = null;
  #serverName: string | null = null;
  #info: TlsInfo | null = null;
  #delayOnceOpenMs = Number.POSITIVE_INFINITY;
  #error: SystemError | null = null;
  /** The stream below has closed with this error, and a paused program has not got everything yet. */
  #breakError: SystemError | null = null;
  #isPaused = false;
  #isTurnRequested = false;
  /** The peer has ended its side while the stream was paused. */
  #owesEnd = false;
  #hasEnded = false;
  #isFinSent = false;
  #isPeerEnded = false;
  /** No further callback follows but `onClose`. */
  #isClosing = false;

  /** `open` returns the stream below, whose handler is its argument. */
  private constructor(setup: TlsSetup, handler: StreamHandler, open: (handler: StreamHandler) => Stream) {
    this.#setup = setup;
    this.handler = handler;
    this.#inner = open(this);
    this.#output = new TlsOutput(this.#inner, setup);
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

  get remoteAddress(): SocketAddress {
    return this.#inner.remoteAddress;
  }

  get localAddress(): SocketAddress {
    return this.#inner.localAddress;
  }

  get peerCredentials(): Stream['peerCredentials'] {
    return this.#inner.peerCredentials;
  }

  get tls(): TlsInfo | null {
    if (this.#info === null && this.#state === OPEN && this.#ssl !== null)
      this.#info = infoOf(this.#ssl, this.#serverName);
    return this.#info;
  }

  get queuedBytes(): number {
    return this.#state === CLOSED ? 0 : this.#output.queuedBytes;
  }

  get isEnded(): boolean {
    return this.#hasEnded || this.#isClosing;
  }

  write(bytes: Uint8Array, length = bytes.length, hasMore = false): boolean {
    return this.#write(bytes, length, false, hasMore);
  }

  writeOwned(bytes: Uint8Array): boolean {
    return this.#write(bytes, bytes.length, true, false);
  }

  sendFile(fd: number, offset: number, length: number): boolean {
    if (this.#isClosing) return false;
    if (this.#hasEnded) throw new Error('sendFile after end: this program has ended the stream');
    checkFilePart(fd, offset, length);
    if (length === 0) return this.queuedBytes === 0;
    return this.#written(this.#output.sendFile(fd, offset, length));
  }

  pause(): void {
    this.#isPaused = true;
    if (this.#state === OPEN) this.#inner.pause();
  }

  resume(): void {
    this.#isPaused = false;
    if (this.#state !== OPEN || this.#isClosing) return;
    if (!this.#hasNews) this.#inner.resume();
    else if (this.#breakError !== null) queueMicrotask(() => this.#deliverLast());
    else this.#inner.awaitTurn();
  }

  /** During the handshake the bytes that have arrived are those of TLS. */
  hasInput(): boolean {
    if (this.#state !== OPEN || this.#isClosing || this.#isPeerEnded) return false;
    return this.#held !== null || (!this.#owesEnd && this.#inner.hasInput());
  }

  hasOutput(): boolean {
    return !this.#isClosing && (this.#output.waitingBytes > 0 || this.#inner.hasOutput());
  }

  end(): void {
    if (this.isEnded) return;
    this.#hasEnded = true;
    if (this.#state === OPEN && this.#output.waitingBytes === 0) this.#sendFin();
  }

  close(): void {
    if (this.#isClosing) {
      this.#inner.close();
      return;
    }
    // With close_notify the peer takes what it has for complete.
    if (this.#state === OPEN && !this.#isFinSent && this.queuedBytes === 0) this.#sendCloseNotify();
    this.#finish();
    this.#inner.close();
  }

  abort(): void {
    this.#finish();
    this.#inner.abort();
  }

  setDeadline(delayMs: number): void {
    if (Number.isNaN(delayMs)) throw new RangeError('a delay is a number of milliseconds, not NaN');
    if (this.#isClosing) return;
    if (this.#state === OPEN) this.#inner.setDeadline(delayMs);
    else this.#delayOnceOpenMs = delayMs;
  }

  /** Before the end of the handshake: when its time is over. */
  get deadlineAt(): number {
    return this.#isClosing ? Number.POSITIVE_INFINITY : this.#inner.deadlineAt;
  }

  get minimumProgress(): MinimumProgress | null {
    return this.#inner.minimumProgress;
  }

  set minimumProgress(minimum: MinimumProgress | null) {
    if (!this.#isClosing) this.#inner.minimumProgress = minimum;
  }

  awaitTurn(): void {
    if (this.#isClosing) return;
    this.#isTurnRequested = true;
    this.#inner.awaitTurn();
  }

  whenClosed(callback: () => void): void {
    if (this.#state === CLOSED) {
      queueMicrotask(callback);
      return;
    }
    addEndCallback(this, callback);
  }

  // What the stream below calls.

  get endsAtBreak(): boolean {
    return this.handler.endsAtBreak === true;
  }

  /** A client's connection is established. */
  onOpen(): void {
    const { client, handshakeMs } = this.#setup;
    if (client === null || this.#isClosing) return;
    this.#inner.setDeadline(handshakeMs);
    this.#serverName = client.serverName;
    this.#begin(SslConnection.connect(client.context, client.serverName));
    this.#shakeHands();
  }

  onData(_inner: Stream, bytes: Buffer): void {
    if (this.#isClosing) return;
    if (this.#ssl === null) {
      this.#readHello(bytes);
      return;
    }
    this.#ssl.receive(bytes, bytes.length);
    if (this.#state === HANDSHAKE) this.#shakeHands();
    else this.#deliver(this.#ssl, bytes.length);
  }

  onEnd(): void {
    if (this.#isClosing || this.#isPeerEnded) return;
    if (this.#state === OPEN)
      this.#fail('SSL_read', 'the peer has ended the connection without close_notify: bytes may be missing');
    else this.#fail('SSL_do_handshake', 'the peer has ended the connection before the handshake was complete');
  }

  onDrain(): void {
    this.#continue();
  }

  onTurn(): void {
    if (this.#isClosing) return;
    if (this.#hasNews && !this.#isPaused) {
      this.#deliverNews();
      if (!this.#isPaused && !this.#isClosing) this.#inner.resume();
    }
    this.#continue();
    if (!this.#isTurnRequested || this.#isClosing) return;
    this.#isTurnRequested = false;
    this.handler.onTurn?.(this);
  }

  onTimeout(): void {
    if (this.#isClosing) {
      this.#inner.close();
      return;
    }
    if (this.#state === OPEN && this.handler.onTimeout !== undefined) {
      this.handler.onTimeout(this);
      return;
    }
    this.#error = new SystemError(
      this.#state === OPEN ? 'deadline' : 'SSL_do_handshake',
      -ETIMEDOUT,
      this.remoteAddress,
    );
    this.#finish();
    this.#inner.close();
  }

  onClose(_inner: Stream, error: SystemError | null): void {
    // The connection has broken, and a paused program has not got everything. It does so after `resume`, unless it waits for the peer itself.
    const keepsHeld = error !== null && this.#isPaused && !this.#output.owesDrain && !this.endsAtBreak;
    if (keepsHeld && this.#hasNews && this.#held !== null && !this.#isClosing) {
      this.#breakError = error;
    } else this.#closed(error);
  }

  // The handshake.

  #readHello(chunk: Buffer): void {
    const { context, plainAnswer } = this.#setup;
    const bytes = this.#held === null ? chunk : Buffer.concat([this.#held, chunk]);
    const hello = decodeClientHello(bytes);
    if (hello === null) {
      this.#held = this.#held === null ? Buffer.from(chunk) : bytes;
    } else if ('reason' in hello) {
      const answer = hello.alert === null ? plainAnswer(bytes) : alertRecord(hello.alert);
      if (answer !== null) this.#inner.write(answer);
      this.#fail('SSL_do_handshake', hello.reason);
    } else if (context !== null) {
      this.#held = null;
      this.#serverName = hello.serverName;
      const ssl = SslConnection.accept(context.contextFor(hello.serverName));
      this.#begin(ssl);
      ssl.receive(bytes, bytes.length);
      this.#shakeHands();
    }
  }

  #begin(ssl: SslConnection): void {
    this.#ssl = ssl;
    this.#state = HANDSHAKE;
  }

  #shakeHands(): void {
    const ssl = this.#ssl as SslConnection;
    const result = ssl.handshake();
    const reason = lastFailure();
    this.#logKeys();
    sendRecords(ssl, this.#inner);
    if (result === -SSL_ERROR_WANT_READ) return;
    if (result > 0) this.#opened(ssl);
    else this.#fail('SSL_do_handshake', reason);
  }

  #opened(ssl: SslConnection): void {
    this.#state = OPEN;
    this.#output.open(ssl);
    this.#inner.setDeadline(this.#delayOnceOpenMs);
    this.handler.onOpen?.(this);
    this.#continue();
    if (this.#isClosing) return;
    if (!this.#isPaused) {
      this.#deliver(ssl, 0);
      return;
    }
    this.#inner.pause();
    const behind = ssl.takeInput();
    if (behind.length > 0) this.#held = behind;
  }

  #logKeys(): void {
    const onKeyLog = this.#setup.context?.options.onKeyLog;
    if (onKeyLog === undefined) return;
    // OpenSSL's callback has written the lines without their ends: a label in capitals, and two numbers in small letters.
    for (const line of openssl.takeKeyLog().match(/[A-Z][A-Z0-9_]* [0-9a-f]+ [0-9a-f]+/g) ?? []) onKeyLog(line);
  }

  // What comes in.

  /** Whether something waits for `resume` that the stream below does not have any more. */
  get #hasNews(): boolean {
    return this.#state === OPEN && (this.#held !== null || this.#owesEnd);
  }

  #deliver(ssl: SslConnection, length: number): void {
    const { bytes, result } = openRecords(ssl, this.#inner, length);
    const reason = lastFailure();
    if (bytes.length > 0) this.handler.onData(this, bytes);
    if (result === 0 || this.#isClosing) return;
    if (result !== -SSL_ERROR_ZERO_RETURN) this.#fail('SSL_read', reason);
    else if (this.#isPaused) this.#owesEnd = true;
    else this.#peerEnded();
  }

  #deliverNews(): void {
    const held = this.#held;
    this.#held = null;
    if (held !== null) {
      const ssl = this.#ssl as SslConnection;
      ssl.receiveAgain(held, held.length);
      this.#deliver(ssl, held.length);
    }
    if (!this.#owesEnd || this.#isPaused || this.#isClosing) return;
    this.#owesEnd = false;
    this.#peerEnded();
  }

  /** After `resume` of a stream below which nothing is left. */
  #deliverLast(): void {
    if (this.#state === CLOSED || this.#isPaused) return;
    try {
      this.#deliverNews();
    } finally {
      if (!this.#isPaused || !this.#hasNews) this.#closed(this.#breakError);
    }
  }

  #peerEnded(): void {
    this.#isPeerEnded = true;
    if (this.handler.onEnd !== undefined) this.handler.onEnd(this);
    else this.end();
    if (this.#isFinSent && !this.#isClosing) this.#bothEnded();
  }

  // What goes out.

  #write(bytes: Uint8Array, length: number, isOwned: boolean, hasMore: boolean): boolean {
    if (!this.#checkWrite(bytes, length)) return false;
    if (length === 0) return this.queuedBytes === 0;
    return this.#written(this.#output.write(bytes, length, isOwned, hasMore));
  }

  /** What a write returns. */
  #written(result: number): boolean {
    if (result < 0) this.#outputFailed(result);
    return result === 0 && !this.#output.owesDrain;
  }

  /** Returns false if the stream is closing. Throws for a mistake of the program. */
  #checkWrite(bytes: Uint8Array, length: number): boolean {
    if (this.#isClosing) return false;
    if (this.#hasEnded) throw new Error('write after end: this program has ended the stream');
    const byteLength = intrinsicByteLength(bytes);
    if (!Number.isInteger(length) || length < 0 || length > byteLength) {
      throw new RangeError(
        `length must be an integer from 0 to ${byteLength}, the size of the bytes, not ${String(length)}`,
      );
    }
    return true;
  }

  /** The stream below has room, or it is this stream's turn. */
  #continue(): void {
    if (this.#state !== OPEN || this.#isClosing) return;
    const output = this.#output;
    const result = output.sendQueued();
    if (result < 0) this.#outputFailed(result);
    if (this.#isClosing || output.waitingBytes > 0) return;
    if (this.#hasEnded) {
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
    sendRecords(ssl, this.#inner);
    this.#isFinSent = true;
  }

  /** Ends our side. */
  #sendFin(): void {
    this.#sendCloseNotify();
    if (this.#isPeerEnded) this.#bothEnded();
    else this.#inner.end();
  }

  /** Nothing follows in either direction, also if the peer never sends its FIN. */
  #bothEnded(): void {
    this.#finish();
    if (this.#inner.queuedBytes === 0) {
      this.#inner.close();
      return;
    }
    this.#inner.end();
    this.#inner.setDeadline(LINGER_MS);
  }

  /** From now on the program gets `onClose` and nothing else. */
  #finish(): void {
    this.#isClosing = true;
    this.#output.close();
    this.#held = null;
    if (this.#breakError !== null) queueMicrotask(() => this.#closed(this.#breakError));
  }

  /** TLS has failed, and the peer hears why. */
  #fail(call: string, reason: string): void {
    this.#error = new SystemError(call, -EPROTO, this.remoteAddress, { EPROTO: reason });
    if (this.#ssl !== null) sendRecords(this.#ssl, this.#inner);
    this.#state = FAILED;
    this.#finish();
    this.#inner.resume();
    this.#inner.end();
    this.#inner.setDeadline(FAREWELL_MS);
  }

  /** Bytes will be missing, so the peer gets RST. */
  #outputFailed(result: number): void {
    if (result === -EPROTO) {
      this.#fail('SSL_write', lastFailure());
      return;
    }
    this.#error = new SystemError(this.#output.isFileFault ? 'sendfile' : 'send', result, this.remoteAddress);
    this.#finish();
    this.#inner.abort();
  }

  #closed(error: SystemError | null): void {
    if (this.#state === CLOSED) return;
    this.#state = CLOSED;
    this.#isClosing = true;
    this.#output.close();
    this.#held = null;
    this.#ssl?.free();
    this.#ssl = null;
    try {
      this.handler.onClose?.(this, this.#error ?? error);
    } finally {
      callEndCallbacks(this);
    }
  }
}
