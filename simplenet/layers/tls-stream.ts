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
 * Next: ../index.ts
 */

import { X509Certificate } from 'node:crypto';
import { markAsUntransferable } from 'node:worker_threads';
import { ENOBUFS, EPROTO, ETIMEDOUT } from '../kernel/abi.ts';
import { intrinsicByteLength } from '../kernel/intrinsic-bytes.ts';
import { type Libc, libc as processLibc } from '../kernel/libc.ts';
import type { SocketAddress } from '../kernel/socket-address.ts';
import { SystemError } from '../kernel/system-error.ts';
import type { MinimumProgress, OnConnection, Stream, StreamHandler } from '../loop/event-loop.ts';
import { checkFilePart } from '../loop/file-pieces.ts';
import { NO_FILE, WriteQueue } from '../loop/write-queue.ts';
import { decodeClientHello } from './client-hello.ts';
import { lastFailure, openssl, SSL_ERROR_WANT_READ, SSL_ERROR_ZERO_RETURN, type SslContext } from './openssl.ts';
import { SslConnection } from './ssl-connection.ts';
import type { TlsContext } from './tls-context.ts';
import type { AcceptTlsOptions, OnSecureConnection, SecureStream, TlsInfo } from './tls-options.ts';
import { BATCH_BYTES, openRecords, seal, sealFile, sendRecords } from './tls-records.ts';

const HELLO = 0;
const HANDSHAKE = 1;
const OPEN = 2;
const FAILED = 3;
const CLOSED = 4;
type State = typeof HELLO | typeof HANDSHAKE | typeof OPEN | typeof FAILED | typeof CLOSED;

const HANDSHAKE_MS = 10_000;
const MAX_QUEUED_BYTES = 16 * 1024 * 1024;

/** How long a peer may take to hear why its connection ends. */
const FAREWELL_MS = 1_000;

/** How long the last bytes may take to leave when both sides have ended. */
const LINGER_MS = 30_000;

/** How much of one stream is encrypted in its share of a turn. As LoopLimits.sentBytesPerStream. */
const SHARE_BYTES = 1024 * 1024;

/** A record with an alert that ends the connection: type 21, level 2 (RFC 8446 section 6). */
const alertRecord = (alert: number) => Uint8Array.of(21, 3, 3, 0, 2, 2, alert);

/** What all connections of a listener share, or what a client is made of. */
interface Setup {
  /** Null for a client. */
  readonly context: TlsContext | null;
  /** Null for a server. */
  readonly client: { readonly context: SslContext; readonly serverName: string | null } | null;
  readonly handshakeMs: number;
  readonly maxQueuedBytes: number;
  readonly plainAnswer: (firstBytes: Buffer) => Uint8Array | null;
  readonly libc: Libc;
}

function setupOf(options: AcceptTlsOptions, context: TlsContext | null, client: Setup['client'] = null): Setup {
  return {
    context,
    client,
    handshakeMs: options.handshakeMs ?? HANDSHAKE_MS,
    maxQueuedBytes: options.maxQueuedBytes ?? MAX_QUEUED_BYTES,
    plainAnswer: options.plainAnswer ?? (() => null),
    libc: options.libc ?? processLibc,
  };
}

/** What `whenClosed` was given. Hardly any stream has it, so it is not a field of every stream. */
const callbacksAtEnd = new WeakMap<TlsStream, () => void>();

const noHandler: StreamHandler = { onData: () => {} };

export class TlsStream implements SecureStream, StreamHandler {
  handler: StreamHandler = noHandler;
  readonly #setup: Setup;
  #inner: Stream;
  #state: State = HELLO;
  #ssl: SslConnection | null = null;
  #queue: WriteQueue | null = null;
  /** Bytes of the peer that wait: the beginning of its hello, or records that came with the end of the handshake to a paused stream. */
  #held: Buffer | null = null;
  #serverName: string | null = null;
  #info: TlsInfo | null = null;
  #delayOnceOpenMs = Number.POSITIVE_INFINITY;
  #error: SystemError | null = null;
  /** The stream below has closed with this error, and a paused program has not got everything yet. */
  #lastError: SystemError | null = null;
  #isInnerClosed = false;
  #isPaused = false;
  #isTurnRequested = false;
  /** Bytes of the program have gone to the stream below. */
  #hasWritten = false;
  /** Something was queued, and `onDrain` has not been called since. */
  #owesDrain = false;
  /** The peer has ended its side while the stream was paused. */
  #owesEnd = false;
  #hasEnded = false;
  #isFinSent = false;
  #isPeerEnded = false;
  #isClosing = false;

  /** Without `inner`, `connectTls` gives it one at once. */
  private constructor(setup: Setup, inner: Stream | null) {
    this.#setup = setup;
    this.#inner = inner as Stream;
  }

  static accept(setup: Setup, inner: Stream, onConnection: OnSecureConnection): TlsStream {
    const stream = new TlsStream(setup, inner);
    inner.setDeadline(setup.handshakeMs);
    stream.handler = onConnection(stream);
    return stream;
  }

  static connect(setup: Setup, handler: StreamHandler, connect: (handler: StreamHandler) => Stream): TlsStream {
    const stream = new TlsStream(setup, null);
    stream.handler = handler;
    stream.#inner = connect(stream);
    return stream;
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

  /** Messages of TLS do not count, before the program has written something. */
  get queuedBytes(): number {
    if (this.#state === CLOSED) return 0;
    return this.#hasWritten ? this.#ownQueuedBytes + this.#inner.queuedBytes : this.#ownQueuedBytes;
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
    this.#queue ??= new WriteQueue();
    this.#queue.pushFile(fd, offset, length);
    if (this.#state === OPEN) this.#sendQueued();
    if (this.#isClosing) return false;
    if (this.queuedBytes === 0) return true;
    this.#owesDrain = true;
    return false;
  }

  pause(): void {
    this.#isPaused = true;
    if (this.#state === OPEN) this.#inner.pause();
  }

  resume(): void {
    this.#isPaused = false;
    if (this.#state !== OPEN || this.#isClosing) return;
    if (!this.#hasNews) this.#inner.resume();
    else if (this.#isInnerClosed) queueMicrotask(() => this.#deliverLast());
    else this.#inner.awaitTurn();
  }

  /** During the handshake the bytes that have arrived are those of TLS. */
  hasInput(): boolean {
    if (this.#state !== OPEN || this.#isClosing || this.#isPeerEnded) return false;
    return this.#held !== null || (!this.#isInnerClosed && !this.#owesEnd && this.#inner.hasInput());
  }

  hasOutput(): boolean {
    return !this.#isClosing && (this.#ownQueuedBytes > 0 || this.#inner.hasOutput());
  }

  end(): void {
    if (this.isEnded) return;
    this.#hasEnded = true;
    if (this.#state === OPEN && this.#ownQueuedBytes === 0) this.#sendFin();
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

  get deadlineAt(): number {
    return this.#state === OPEN && !this.#isClosing ? this.#inner.deadlineAt : Number.POSITIVE_INFINITY;
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
    const earlier = callbacksAtEnd.get(this);
    callbacksAtEnd.set(this, () => {
      earlier?.();
      callback();
    });
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
    const keepsHeld = error !== null && this.#isPaused && !this.#owesDrain && !this.endsAtBreak;
    if (keepsHeld && this.#hasNews && this.#held !== null && !this.#isClosing) {
      this.#isInnerClosed = true;
      this.#lastError = error;
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
    else this.#fail('SSL_do_handshake', result === -SSL_ERROR_ZERO_RETURN ? 'the peer has given up' : reason);
  }

  #opened(ssl: SslConnection): void {
    this.#state = OPEN;
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
      if (!this.#isPaused || !this.#hasNews) this.#closed(this.#lastError);
    }
  }

  #peerEnded(): void {
    this.#isPeerEnded = true;
    if (this.handler.onEnd !== undefined) this.handler.onEnd(this);
    else this.end();
    if (this.#isFinSent && !this.#isClosing) this.#bothEnded();
  }

  // What goes out.

  get #ownQueuedBytes(): number {
    return this.#queue === null ? 0 : this.#queue.byteLength;
  }

  #write(bytes: Uint8Array, length: number, isOwned: boolean, hasMore: boolean): boolean {
    if (!this.#checkWrite(bytes, length)) return false;
    if (length === 0) return this.queuedBytes === 0;
    let sent = 0;
    if (this.#state === OPEN && this.#ownQueuedBytes === 0 && this.#inner.queuedBytes === 0) {
      // Much that may wait leaves in the second part of the turn, so that other clients get their responses first.
      if (!isOwned || length <= BATCH_BYTES) {
        sent = this.#sendNow(bytes, length, hasMore);
        if (sent === length && !this.#owesDrain) return true;
        if (this.#isClosing || sent === length) return false;
      }
      this.#inner.awaitTurn();
    } else if ((this.#queue?.memoryBytes ?? 0) > this.#setup.maxQueuedBytes) {
      this.#breakOff('send', -ENOBUFS);
      return false;
    }
    this.#queue ??= new WriteQueue();
    if (isOwned) {
      markAsUntransferable(bytes.buffer); // a program could transfer them with postMessage before they are sent
      this.#queue.pushOwned(bytes, sent, length);
    } else this.#queue.pushCopy(bytes, sent, length);
    this.#owesDrain = true;
    return false;
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

  /** Encrypts and sends while the stream below has room, and returns how much. */
  #sendNow(bytes: Uint8Array, length: number, hasMore: boolean): number {
    const ssl = this.#ssl as SslConnection;
    this.#hasWritten = true;
    let sent = 0;
    for (let hasRoom = true; hasRoom && sent < length && sent < SHARE_BYTES; ) {
      const batch = Math.min(BATCH_BYTES, length - sent);
      if (seal(ssl, bytes, sent, batch, sent === 0) < 0) {
        this.#fail('SSL_write', lastFailure());
        return sent;
      }
      sent += batch;
      hasRoom = sendRecords(ssl, this.#inner, hasMore || sent < length);
      if (!hasRoom) this.#owesDrain = true;
    }
    return sent;
  }

  /** Sends from the queue while the stream below has room, and one share at most. Calls no callback. */
  #sendQueued(): void {
    const queue = this.#queue;
    if (queue === null) return;
    if (queue.byteLength > 0) this.#hasWritten = true;
    const ssl = this.#ssl as SslConnection;
    let isFile = false;
    const sealChunk = (bytes: Uint8Array, offset: number, length: number, fd: number): number => {
      isFile = fd !== NO_FILE;
      if (isFile) return sealFile(ssl, this.#setup.libc, fd, offset, length);
      const result = seal(ssl, bytes, offset, length, false);
      return result < 0 ? result : length;
    };
    for (let share = SHARE_BYTES; queue.byteLength > 0 && this.#inner.queuedBytes === 0; ) {
      if (share <= 0) {
        this.#inner.awaitTurn();
        return;
      }
      const before = queue.byteLength;
      const result = queue.drain(sealChunk, BATCH_BYTES);
      share -= before - queue.byteLength;
      sendRecords(ssl, this.#inner);
      if (result === -EPROTO) this.#fail('SSL_write', lastFailure());
      else if (result < 0) this.#breakOff(isFile ? 'sendfile' : 'send', result);
      if (this.#isClosing) return;
    }
  }

  /** The stream below has room, or it is this stream's turn. */
  #continue(): void {
    if (this.#state !== OPEN || this.#isClosing) return;
    this.#sendQueued();
    if (this.#isClosing || this.#ownQueuedBytes > 0) return;
    if (this.#hasEnded) {
      if (!this.#isFinSent) this.#sendFin();
    } else if (this.#owesDrain && this.#inner.queuedBytes === 0) {
      this.#owesDrain = false;
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
    this.#queue = null;
    this.#held = null;
    if (this.#isInnerClosed) queueMicrotask(() => this.#closed(this.#lastError));
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
  #breakOff(call: string, result: number): void {
    this.#error = new SystemError(call, result, this.remoteAddress);
    this.#finish();
    this.#inner.abort();
  }

  #closed(error: SystemError | null): void {
    if (this.#state === CLOSED) return;
    this.#state = CLOSED;
    this.#isClosing = true;
    this.#queue = null;
    this.#held = null;
    this.#ssl?.free();
    this.#ssl = null;
    try {
      this.handler.onClose?.(this, this.#error ?? error);
    } finally {
      callbacksAtEnd.get(this)?.();
    }
  }
}

function infoOf(ssl: SslConnection, serverName: string | null): TlsInfo {
  const certificate = ssl.peerCertificate;
  let parsed: X509Certificate | null = null;
  return {
    version: ssl.version,
    cipher: ssl.cipher,
    serverName,
    alpn: ssl.hasAlpn ? 'http/1.1' : null,
    isResumed: ssl.isResumed,
    get peerCertificate() {
      if (certificate !== null) parsed ??= new X509Certificate(certificate);
      return parsed;
    },
  };
}

/**
 * Puts TLS on what a loop accepts. Throws nothing: a handshake that fails ends its connection with an error.
 *
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { acceptTls, createEventLoop, createTlsContext } from 'simplenet';
 *
 * const context = createTlsContext({ cert: readFileSync('cert.pem'), key: readFileSync('key.pem') });
 * const echo = acceptTls(context, () => ({ onData: (stream, bytes) => stream.write(bytes) }));
 * createEventLoop().listen({ address: '127.0.0.1', port: 8443 }, echo);
 * ```
 */
export function acceptTls(
  context: TlsContext,
  onConnection: OnSecureConnection,
  options: AcceptTlsOptions = {},
): OnConnection {
  const setup = setupOf(options, context);
  return (inner) => TlsStream.accept(setup, inner, onConnection);
}

/** A client, for tests of servers: it verifies nothing. `connect` opens the stream below with the handler that it gets. */
export function connectTls(
  context: SslContext,
  handler: StreamHandler,
  connect: (handler: StreamHandler) => Stream,
  options: AcceptTlsOptions & { readonly serverName?: string } = {},
): SecureStream {
  const setup = setupOf(options, null, { context, serverName: options.serverName ?? null });
  return TlsStream.connect(setup, handler, connect);
}
