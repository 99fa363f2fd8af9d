/**
 * A world in which every connection speaks TLS: whatever listens accepts TLS, and whatever connects is a client of TLS. Whatever holds of an event loop holds
 * over TLS, too, so the contract runs here as well.
 */

import { type Libc, libc as processLibc } from '../../simplenet/kernel/libc.ts';
import type { SocketAddress } from '../../simplenet/kernel/socket-address.ts';
import { acceptTls, connectTls } from '../../simplenet/layers/accept-tls.ts';
import { openssl, type SslContext } from '../../simplenet/layers/openssl.ts';
import { openHandles } from '../../simplenet/layers/openssl-handles.ts';
import { createClientContext, createTlsContext, type TlsContext } from '../../simplenet/layers/tls-context.ts';
import type { AcceptTlsOptions } from '../../simplenet/layers/tls-options.ts';
import type {
  ConnectOptions,
  EventLoop,
  Listener,
  ListenerOptions,
  OnConnection,
  Stream,
  StreamHandler,
  UdpHandler,
  UdpPort,
} from '../../simplenet/loop/event-loop.ts';
import type { NetSocket } from '../../simplenet/sockets/net-socket.ts';
import { ecdsa } from '../support/certificates.ts';
import { LoopOver } from './loop-over.ts';
import type { World, WorldFile } from './world.ts';

export type TlsVersion = 'TLSv1.2' | 'TLSv1.3';

/**
 * After a handshake the kernel delays acknowledgments, so Nagle's algorithm (RFC 896) would keep small writes back for some 40 ms. Without a handshake, the
 * first bytes of a connection are acknowledged at once.
 */
const noNagle = { noDelay: true };

export class TlsLoop extends LoopOver implements EventLoop {
  readonly #options: AcceptTlsOptions;
  readonly #server: TlsContext;
  readonly #client: SslContext;

  constructor(inner: EventLoop, maxVersion: TlsVersion, options: AcceptTlsOptions) {
    super(inner);
    this.#options = options;
    this.#server = createTlsContext(ecdsa);
    this.#client = createClientContext({ maxVersion });
  }

  get openCount(): number {
    return this.below.openCount;
  }

  listen(address: SocketAddress, onConnection: OnConnection, options?: ListenerOptions): Listener {
    const secure = acceptTls(this.#server, onConnection, this.#options);
    return this.below.listen(address, secure, { ...noNagle, ...options });
  }

  adoptListener(socket: NetSocket, onConnection: OnConnection): Listener {
    return this.below.adoptListener(socket, acceptTls(this.#server, onConnection, this.#options));
  }

  adoptStream(socket: NetSocket, handler: StreamHandler): Stream {
    return this.below.adoptStream(socket, handler);
  }

  connect(address: SocketAddress, handler: StreamHandler, options?: ConnectOptions): Stream {
    const connect = (below: StreamHandler) => this.below.connect(address, below, { ...noNagle, ...options });
    return connectTls(this.#client, handler, connect, this.#options);
  }

  bindUdp(address: SocketAddress, handler: UdpHandler): UdpPort {
    return this.below.bindUdp(address, handler);
  }

  ref(): void {
    this.below.ref();
  }

  unref(): void {
    this.below.unref();
  }

  close(): void {
    this.below.close();
  }

  /** Frees the settings, which outlive the connections. */
  free(): void {
    this.#server.close();
    openssl.SSL_CTX_free(this.#client);
  }
}

export class TlsWorld implements World {
  readonly loop: TlsLoop;
  readonly #inner: World;
  readonly #openBefore = openHandles();

  constructor(inner: World, maxVersion: TlsVersion = 'TLSv1.3', libc: Libc = processLibc) {
    this.#inner = inner;
    this.loop = new TlsLoop(inner.loop, maxVersion, { maxQueuedBytes: inner.maxQueuedBytes, libc });
  }

  get maxQueuedBytes(): number {
    return this.#inner.maxQueuedBytes;
  }

  get tickMs(): number {
    return this.#inner.tickMs;
  }

  get anyAddress(): SocketAddress {
    return this.#inner.anyAddress;
  }

  get raised(): unknown[] {
    return this.#inner.raised;
  }

  now(): number {
    return this.#inner.now();
  }

  openFile(bytes: Uint8Array): WorldFile {
    return this.#inner.openFile(bytes);
  }

  until(condition: () => boolean, what: string): Promise<void> {
    return this.#inner.until(condition, what);
  }

  quiet(): Promise<void> {
    return this.#inner.quiet();
  }

  async close(): Promise<void> {
    await this.#inner.close();
    this.loop.free();
    const open = openHandles();
    for (const kind of ['SSL', 'SSL_CTX', 'X509', 'EVP_PKEY'] as const) {
      if (open[kind] > this.#openBefore[kind])
        throw new Error(`not freed: ${open[kind] - this.#openBefore[kind]} ${kind}`);
    }
  }
}
