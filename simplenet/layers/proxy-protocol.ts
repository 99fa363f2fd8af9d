/**
 * acceptProxied: streams whose first bytes say who the client is. A Stream made of a Stream, below TLS.
 *
 *     HEADER ------> OPEN
 *
 * - HEADER: the header comes in. The program gets nothing but an end, and its deadline counts from the end of this state. `pause` also stops the header.
 * - OPEN: all goes through. What stood behind the header is the first `onData`.
 *
 * A header that is wrong or late ends the connection without a word, because whoever sent it does not speak the protocol of the program. A peer that leaves before its
 * first byte is not an error: balancers look so whether a port is open.
 *
 * Next: accept-tls.ts
 */

import { EPROTO, ETIMEDOUT } from '../kernel/abi.ts';
import { AddressRanges } from '../kernel/address-ranges.ts';
import type { SocketAddress } from '../kernel/socket-address.ts';
import { SystemError } from '../kernel/system-error.ts';
import type { MinimumProgress, OnConnection, Stream, StreamHandler } from '../loop/event-loop.ts';
import { handlerToCome } from '../loop/loop-stream.ts';
import { decodeProxyHeader, mayBeProxyHeader, noProxyHeader, type ProxyInfo } from './proxy-header.ts';
import type { OnProxiedConnection, ProxiedStream, ProxyProtocolOptions } from './proxy-options.ts';

const HEADER_MS = 10_000;
const MAX_HEADER_BYTES = 4_096;

interface Setup {
  readonly isOptional: boolean;
  readonly headerMs: number;
  readonly maxHeaderBytes: number;
  readonly admits: (stream: ProxiedStream) => boolean;
  readonly refused: (reason: string, peer: SocketAddress) => void;
}

/**
 * Reads a header of the PROXY protocol, version 1 or 2, from the connections of proxies. Throws RangeError for a list of addresses that makes no sense.
 *
 * ```ts
 * import { acceptProxied, createEventLoop } from 'simplenet';
 *
 * const onConnection = acceptProxied((stream) => ({ onData: (_stream, bytes) => console.log(stream.remoteAddress, `${bytes}`) }), { from: '10.0.0.0/8' });
 * createEventLoop().listen({ address: '0.0.0.0', port: 8080 }, onConnection);
 * ```
 */
export function acceptProxied(onConnection: OnProxiedConnection, options: ProxyProtocolOptions): OnConnection {
  const { from, mode = 'required', headerMs = HEADER_MS, maxHeaderBytes = MAX_HEADER_BYTES } = options;
  const { admits = () => true, onRefused: refused = () => {} } = options;
  const proxies = new AddressRanges(from);
  const setup = { isOptional: mode === 'optional', headerMs, maxHeaderBytes, admits, refused };
  return (inner) => {
    if (proxies.has(inner.remoteAddress)) return ProxyStream.accept(setup, inner, onConnection);
    if (setup.isOptional) return ProxyStream.open(setup, inner, onConnection);
    inner.close();
    refused('the peer is not a proxy', inner.remoteAddress);
    return handlerToCome;
  };
}

class ProxyStream implements ProxiedStream, StreamHandler {
  handler: StreamHandler = handlerToCome;
  readonly #setup: Setup;
  readonly #inner: Stream;
  /** Null in the state HEADER. */
  #info: ProxyInfo | null = null;
  /** The beginning of the header. */
  #held: Buffer | null = null;
  #delayOnceOpenMs = Number.POSITIVE_INFINITY;
  #error: SystemError | null = null;
  /** The program has closed the stream, so it gets `onClose` and nothing else. */
  #isClosing = false;

  private constructor(setup: Setup, inner: Stream) {
    this.#setup = setup;
    this.#inner = inner;
  }

  static accept(setup: Setup, inner: Stream, onConnection: OnProxiedConnection): ProxyStream {
    const stream = new ProxyStream(setup, inner);
    inner.setDeadline(setup.headerMs);
    stream.handler = onConnection(stream);
    return stream;
  }

  /** The peer is nobody who may send a header. */
  static open(setup: Setup, inner: Stream, onConnection: OnProxiedConnection): ProxyStream {
    const stream = new ProxyStream(setup, inner);
    stream.#info = noProxyHeader;
    stream.handler = onConnection(stream);
    stream.#admit();
    return stream;
  }

  // What the program calls.

  get proxy(): ProxyInfo | null {
    return this.#info;
  }

  get remoteAddress(): SocketAddress {
    return this.#info?.source ?? this.#inner.remoteAddress;
  }

  get localAddress(): SocketAddress {
    const own = this.#inner.localAddress; // it throws once the stream has closed, and this does the same
    return this.#info?.destination ?? own;
  }

  get peerCredentials(): Stream['peerCredentials'] {
    return this.#inner.peerCredentials;
  }

  get queuedBytes(): number {
    return this.#inner.queuedBytes;
  }

  get isEnded(): boolean {
    return this.#inner.isEnded;
  }

  write(bytes: Uint8Array, length?: number, hasMore?: boolean): boolean {
    return this.#inner.write(bytes, length, hasMore);
  }

  writeOwned(bytes: Uint8Array): boolean {
    return this.#inner.writeOwned(bytes);
  }

  sendFile(fd: number, offset: number, length: number): boolean {
    return this.#inner.sendFile(fd, offset, length);
  }

  pause(): void {
    this.#inner.pause();
  }

  resume(): void {
    this.#inner.resume();
  }

  /** While the header comes in, the bytes that have arrived are its own. */
  hasInput(): boolean {
    return this.#info !== null && this.#inner.hasInput();
  }

  hasOutput(): boolean {
    return this.#inner.hasOutput();
  }

  end(): void {
    this.#inner.end();
  }

  close(): void {
    this.#isClosing = true;
    this.#inner.close();
  }

  abort(): void {
    this.#isClosing = true;
    this.#inner.abort();
  }

  setDeadline(delayMs: number): void {
    if (Number.isNaN(delayMs)) throw new RangeError('a delay is a number of milliseconds, not NaN');
    if (this.#info === null) this.#delayOnceOpenMs = delayMs;
    else this.#inner.setDeadline(delayMs);
  }

  /** Before the end of the header: when its time is over. */
  get deadlineAt(): number {
    return this.#inner.deadlineAt;
  }

  get minimumProgress(): MinimumProgress | null {
    return this.#inner.minimumProgress;
  }

  set minimumProgress(minimum: MinimumProgress | null) {
    this.#inner.minimumProgress = minimum;
  }

  awaitTurn(): void {
    this.#inner.awaitTurn();
  }

  whenClosed(callback: () => void): void {
    this.#inner.whenClosed(callback);
  }

  // What the stream below calls.

  get endsAtBreak(): boolean {
    return this.handler.endsAtBreak === true;
  }

  onData(_inner: Stream, bytes: Buffer): void {
    if (this.#info === null) this.#readHeader(bytes);
    else this.handler.onData(this, bytes);
  }

  onEnd(): void {
    if (this.#info === null) {
      const held = this.#held;
      if (held !== null && !this.#setup.isOptional) {
        this.#refuse('the peer has ended the connection within its header');
        return;
      }
      // Nothing came, or what came is no header after all.
      if (!this.#open(noProxyHeader)) return;
      if (held !== null) this.handler.onData(this, held);
      if (this.#isClosing) return;
    }
    if (this.handler.onEnd === undefined) this.end();
    else this.handler.onEnd(this);
  }

  onDrain(): void {
    this.handler.onDrain?.(this);
  }

  onTurn(): void {
    this.handler.onTurn?.(this);
  }

  onTimeout(): void {
    if (this.#info !== null && this.handler.onTimeout !== undefined) {
      this.handler.onTimeout(this);
      return;
    }
    this.#error = new SystemError('deadline', -ETIMEDOUT, this.remoteAddress);
    if (this.#info === null) this.#setup.refused('the header took too long', this.remoteAddress);
    this.#inner.close();
  }

  onClose(_inner: Stream, error: SystemError | null): void {
    this.#held = null;
    this.handler.onClose?.(this, this.#error ?? error);
  }

  // The header.

  #readHeader(chunk: Buffer): void {
    const bytes = this.#held === null ? chunk : Buffer.concat([this.#held, chunk]);
    if (this.#setup.isOptional && !mayBeProxyHeader(bytes)) {
      if (this.#open(noProxyHeader)) this.handler.onData(this, bytes);
      return;
    }
    const header = decodeProxyHeader(bytes, this.#setup.maxHeaderBytes);
    if (header === null) {
      this.#held = this.#held === null ? Buffer.from(chunk) : bytes;
    } else if ('reason' in header) {
      this.#refuse(header.reason);
    } else if (this.#open(header.info) && header.end < bytes.length) {
      this.handler.onData(this, bytes.subarray(header.end));
    }
  }

  /** Returns whether the client may come in. */
  #open(info: ProxyInfo): boolean {
    this.#info = info;
    this.#held = null;
    this.#inner.setDeadline(this.#delayOnceOpenMs);
    return this.#admit();
  }

  #admit(): boolean {
    const isAdmitted = this.#setup.admits(this);
    if (!isAdmitted) this.close();
    return isAdmitted;
  }

  #refuse(reason: string): void {
    this.#error = new SystemError('proxy header', -EPROTO, this.#inner.remoteAddress, { EPROTO: reason });
    this.#setup.refused(reason, this.#inner.remoteAddress);
    this.#inner.close();
  }
}
