/**
 * Listening: what a server listens on: one socket, or several that it gets from systemd or from its predecessor. One server has them all, so that limits,
 * metrics and the end are those of the site, however its clients come in.
 *
 * The server owns the sockets, and closes them at its end. If the kernel takes one of them away, the server ends: half of a site is harder to notice than none.
 *
 * Next: tls-entrance.ts
 */

import {
  type AcceptPolicy,
  type AdoptListenerOptions,
  type EventLoop,
  type Listener,
  type ListenOptions,
  NetSocket,
  type OnConnection,
  type SocketAddress,
} from '../simplenet/index.ts';
import type { MetricsOptions } from './metrics/metrics-options.ts';
import { markTaken, passedSockets } from './passed-sockets.ts';
import { addressFrom, type ListenPlace, listenPlaceOf, portFrom, type ServeOptions } from './serve-options.ts';

/** What a worker has in common with the others. */
export interface SharedSockets {
  /** Makes the rule for one socket: which of its connections this process takes. */
  readonly createPolicy: () => AcceptPolicy;
  /** The socket of plain HTTP that sends clients to https. */
  readonly redirectFd: number | null;
  /** That of the port of the metrics. */
  readonly watchFd: number | null;
}

/** What `Listening` gets beside the place. */
export interface ListeningSetup extends Pick<AdoptListenerOptions, 'onFailure' | 'onShortage'> {
  /** Options of a socket that is opened here. */
  readonly socket: ListenOptions | undefined;
  readonly createPolicy: SharedSockets['createPolicy'] | undefined;
}

export class Listening {
  readonly #listeners: readonly Listener[];

  /** Throws if it cannot listen on one of the sockets, and then listens on none. */
  constructor(loop: EventLoop, place: ListenPlace, onConnection: OnConnection, setup: ListeningSetup) {
    const { socket, createPolicy, ...callbacks } = setup;
    if (!('fds' in place)) {
      this.#listeners = [loop.listen(place, onConnection, { ...socketOptionsFor(place, socket), ...callbacks })];
      return;
    }
    const listeners: Listener[] = [];
    this.#listeners = listeners;
    try {
      for (const fd of place.fds) {
        const options = { ...callbacks, policy: createPolicy?.() };
        listeners.push(loop.adoptListener(NetSocket.adopt(fd), onConnection, options));
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Where it listens. There is one address at least. */
  get addresses(): readonly SocketAddress[] {
    return this.#listeners.map(({ address }) => address);
  }

  get fds(): readonly number[] {
    return this.#listeners.map(({ fd }) => fd);
  }

  /** Whether another process goes on listening. */
  get isShared(): boolean {
    return this.#listeners.some(({ isShared }) => isShared);
  }

  set isShared(isShared: boolean) {
    for (const listener of this.#listeners) listener.isShared = isShared;
  }

  close(): void {
    for (const listener of this.#listeners) listener.close();
  }

  /** As `closeWhenEmpty` of a listener, of all. */
  closeWhenEmpty(waitMs: number, onClosed: () => void): void {
    let open = this.#listeners.length;
    for (const listener of this.#listeners) listener.closeWhenEmpty(waitMs, () => void (--open === 0 && onClosed()));
  }
}

/** What these options, which have been checked, say to listen on. Sockets of systemd that they name, or that are free where they name no place, are taken. */
export function takePlace(options: ServeOptions): ListenPlace {
  const isOfKernel = options.loop === undefined || options.systemdSocket !== undefined;
  const free = isOfKernel ? passedSockets().filter(({ isTaken }) => !isTaken) : [];
  const { systemdSocket } = options;
  const { LISTEN_PID } = process.env;
  if (systemdSocket !== undefined && LISTEN_PID !== undefined && LISTEN_PID !== String(process.pid)) {
    const why = 'workers, and other processes that it starts, have none but those of their site';
    throw new RangeError(
      `the sockets of systemd are for process ${LISTEN_PID}, so this one cannot take '${systemdSocket}': ${why}`,
    );
  }
  const place = listenPlaceOf(options, free);
  if ('fds' in place) markTaken(place.fds);
  return place;
}

/** Where to listen for plain HTTP beside HTTPS; null if nowhere. */
export function placeBeside(
  place: ListenPlace,
  redirectFrom: ServeOptions['redirectFrom'],
): { readonly host: string; readonly port: number } | null {
  const port = portFrom(redirectFrom);
  return port === null || !('address' in place) ? null : { host: place.address, port };
}

/** Where the metrics have a port of their own; null if they have none. A socket of a predecessor that listens elsewhere is closed. */
export function watchPlace(
  metrics: MetricsOptions | undefined,
): { readonly fd: number } | { readonly address: string; readonly port: number } | null {
  if (metrics?.port === undefined) return null;
  const wanted = addressFrom(metrics);
  const { fd = null } = metrics;
  if (fd === null) return wanted;
  const socket = NetSocket.adopt(fd);
  const at = socket.localAddress;
  if ('port' in at && at.address === wanted.address && (at.port === wanted.port || wanted.port === 0)) {
    return { fd: socket.release() };
  }
  socket.close();
  return wanted;
}

/** Without TCP_NODELAY a small response could wait for an acknowledgement. `::` takes IPv4, too. */
export function socketOptionsFor(
  place: Exclude<ListenPlace, { fds: readonly number[] }>,
  socket: ListenOptions | undefined,
): ListenOptions {
  if ('path' in place) return { ...socket };
  return { noDelay: true, ...(place.address === '::' ? { ipv6Only: false } : {}), ...socket };
}
