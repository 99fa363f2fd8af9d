/** A loop made of another loop, which passes everything on. A world replaces what it is about. */

import type { SocketAddress } from '../../simplenet/kernel/socket-address.ts';
import type {
  AdoptListenerOptions,
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
import type { Alarm } from '../../simplenet/loop/host.ts';
import type { NetSocket } from '../../simplenet/sockets/net-socket.ts';
import type { SocketOptions } from '../../simplenet/sockets/socket-options.ts';

export class LoopOver implements EventLoop {
  protected readonly below: EventLoop;

  constructor(below: EventLoop) {
    this.below = below;
  }

  get openCount(): number {
    return this.below.openCount;
  }

  listen(address: SocketAddress, onConnection: OnConnection, options?: ListenerOptions): Listener {
    return this.below.listen(address, onConnection, options);
  }

  adoptListener(socket: NetSocket, onConnection: OnConnection, options?: AdoptListenerOptions): Listener {
    return this.below.adoptListener(socket, onConnection, options);
  }

  adoptStream(socket: NetSocket, handler: StreamHandler): Stream {
    return this.below.adoptStream(socket, handler);
  }

  connect(address: SocketAddress, handler: StreamHandler, options?: ConnectOptions): Stream {
    return this.below.connect(address, handler, options);
  }

  bindUdp(address: SocketAddress, handler: UdpHandler, options?: SocketOptions): UdpPort {
    return this.below.bindUdp(address, handler, options);
  }

  get isTurnSpent(): boolean {
    return this.below.isTurnSpent;
  }

  now(): number {
    return this.below.now();
  }

  exactNow(): number {
    return this.below.exactNow();
  }

  activeNow(): number {
    return this.below.activeNow();
  }

  wallNow(): number {
    return this.below.wallNow();
  }

  after(delayMs: number, callback: () => void): Alarm {
    return this.below.after(delayMs, callback);
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
