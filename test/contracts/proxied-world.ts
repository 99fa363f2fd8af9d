/**
 * A world in which every connection begins with a header of the PROXY protocol: whatever listens accepts one. Whatever holds of an
 * event loop holds behind it, too, so the contract runs here as well.
 */

import type { SocketAddress } from '../../simplenet/kernel/socket-address.ts';
import { acceptProxied } from '../../simplenet/layers/proxy-protocol.ts';
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
import { LoopOver } from './loop-over.ts';
import type { World, WorldFile } from './world.ts';

/** The header of a proxy that speaks for itself, so the addresses are those of the connection. */
const local = Buffer.from('\r\n\r\n\0\r\nQUIT\n\x20\0\0\0', 'latin1');

/** The header is delivered at once, so that clients need not send one: they are tested as well, and count what is queued. */
function proxied(onConnection: OnConnection): OnConnection {
  const accept = acceptProxied(onConnection, { from: 'loopback' });
  return (inner) => {
    const handler = accept(inner);
    handler.onData(inner, local);
    return handler;
  };
}

export class ProxiedLoop extends LoopOver implements EventLoop {
  get openCount(): number {
    return this.below.openCount;
  }

  listen(address: SocketAddress, onConnection: OnConnection, options?: ListenerOptions): Listener {
    return this.below.listen(address, proxied(onConnection), options);
  }

  adoptListener(socket: NetSocket, onConnection: OnConnection): Listener {
    return this.below.adoptListener(socket, proxied(onConnection));
  }

  adoptStream(socket: NetSocket, handler: StreamHandler): Stream {
    return this.below.adoptStream(socket, handler);
  }

  connect(address: SocketAddress, handler: StreamHandler, options?: ConnectOptions): Stream {
    return this.below.connect(address, handler, options);
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
}

export class ProxiedWorld implements World {
  readonly loop: ProxiedLoop;
  readonly #inner: World;

  constructor(inner: World) {
    this.#inner = inner;
    this.loop = new ProxiedLoop(inner.loop);
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

  close(): Promise<void> {
    return this.#inner.close();
  }
}
