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
  AdoptListenerOptions,
  ConnectOptions,
  EventLoop,
  Listener,
  ListenerOptions,
  OnConnection,
  Stream,
  StreamHandler,
} from '../../simplenet/loop/event-loop.ts';
import type { NetSocket } from '../../simplenet/sockets/net-socket.ts';
import { ecdsa } from '../support/certificates.ts';
import { LoopOver } from './loop-over.ts';
import type { World } from './world.ts';
import { WorldOver } from './world-over.ts';

export type TlsVersion = 'TLSv1.2' | 'TLSv1.3';

/**
 * After a handshake the kernel delays acknowledgments, so Nagle's algorithm (RFC 896) would keep small writes back for some 40 ms. Without a handshake, the
 * first bytes of a connection are acknowledged at once.
 */
const noNagle = { noDelay: true };

export class TlsLoop extends LoopOver {
  readonly #options: AcceptTlsOptions;
  readonly #server: TlsContext;
  readonly #client: SslContext;

  constructor(inner: EventLoop, maxVersion: TlsVersion, options: AcceptTlsOptions) {
    super(inner);
    this.#options = options;
    this.#server = createTlsContext(ecdsa);
    this.#client = createClientContext({ maxVersion });
  }

  override listen(address: SocketAddress, onConnection: OnConnection, options?: ListenerOptions): Listener {
    const secure = acceptTls(this.#server, onConnection, this.#options);
    return super.listen(address, secure, { ...noNagle, ...options });
  }

  override adoptListener(socket: NetSocket, onConnection: OnConnection, options?: AdoptListenerOptions): Listener {
    return super.adoptListener(socket, acceptTls(this.#server, onConnection, this.#options), options);
  }

  override connect(address: SocketAddress, handler: StreamHandler, options?: ConnectOptions): Stream {
    const connect = (below: StreamHandler) => super.connect(address, below, { ...noNagle, ...options });
    return connectTls(this.#client, handler, connect, this.#options);
  }

  /** Frees the settings, which outlive the connections. */
  free(): void {
    this.#server.close();
    openssl.SSL_CTX_free(this.#client);
  }
}

export class TlsWorld extends WorldOver<TlsLoop> {
  readonly #openBefore: ReturnType<typeof openHandles>;

  constructor(inner: World, maxVersion: TlsVersion = 'TLSv1.3', libc: Libc = processLibc) {
    const openBefore = openHandles();
    super(inner, new TlsLoop(inner.loop, maxVersion, { maxQueuedBytes: inner.maxQueuedBytes, libc }));
    this.#openBefore = openBefore;
  }

  override async close(): Promise<void> {
    await super.close();
    this.loop.free();
    const open = openHandles();
    for (const kind of ['SSL', 'SSL_CTX', 'X509', 'EVP_PKEY'] as const) {
      if (open[kind] > this.#openBefore[kind])
        throw new Error(`not freed: ${open[kind] - this.#openBefore[kind]} ${kind}`);
    }
  }
}
