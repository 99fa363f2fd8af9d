/**
 * Socket options with names and units, and the moment at which they must be set.
 *
 * Some options count only between socket(2) and bind(2) (SO_REUSEADDR, IPV6_V6ONLY), others only before listen(2) or
 * connect(2) (buffer sizes, which decide TCP's window scale). So all are set right after socket(2), in a fixed order. Then
 * `control` gets the socket, to set options that have no name here, as in Go's ListenConfig.
 *
 * The connections of a listener inherit its options, so a connection costs no setsockopt(2).
 *
 * SO_RCVTIMEO and SO_SNDTIMEO are missing on purpose: `wait` in socket.ts limits a wait, and ARCHITECTURE.md says why.
 *
 * Next: socket.ts
 */

import {
  AF_INET6,
  IPPROTO_IPV6,
  IPPROTO_TCP,
  IPV6_V6ONLY,
  SO_BROADCAST,
  SO_KEEPALIVE,
  SO_LINGER,
  SO_RCVBUF,
  SO_REUSEADDR,
  SO_REUSEPORT,
  SO_SNDBUF,
  SOL_SOCKET,
  TCP_DEFER_ACCEPT,
  TCP_FASTOPEN,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
  TCP_NODELAY,
  TCP_USER_TIMEOUT,
} from '../kernel/abi.ts';
import type { FilterInstruction } from './socket-filter.ts';

/**
 * When TCP asks a silent peer whether it is still there, and when it gives up: tcp(7).
 *
 * ```ts
 * import { type KeepAlive, NetSocket } from 'simplenet';
 *
 * const keepAlive: KeepAlive = { idleSeconds: 60, intervalSeconds: 10, probes: 3 };
 * const socket = NetSocket.connectTo({ address: '127.0.0.1', port: 8080 }, { keepAlive });
 * ```
 */
export interface KeepAlive {
  /** Silence before the first probe. */
  readonly idleSeconds: number;
  readonly intervalSeconds: number;
  /** How many probes in a row may get no response before the connection ends. */
  readonly probes: number;
}

/**
 * tcp(7), socket(7) and ipv6(7) describe these options in full.
 *
 * ```ts
 * import { NetSocket, type SocketOptions } from 'simplenet';
 *
 * const options: SocketOptions = { noDelay: true, keepAlive: true, userTimeoutMs: 30_000 };
 * const socket = NetSocket.connectTo({ address: '127.0.0.1', port: 8080 }, options);
 * ```
 */
export interface SocketOptions {
  /** SO_REUSEADDR: bind although old connections of that port are still in TIME_WAIT. */
  readonly reuseAddress?: boolean;
  /** SO_REUSEPORT: several sockets on one port, among which the kernel spreads the connections. */
  readonly reusePort?: boolean;
  /** IPV6_V6ONLY: false lets `::` accept IPv4 as well. */
  readonly ipv6Only?: boolean;
  /** TCP_NODELAY: send small writes at once and do not wait for acknowledgements (Nagle's algorithm off). */
  readonly noDelay?: boolean;
  /** SO_KEEPALIVE with the kernel's times, or with the three given. */
  readonly keepAlive?: boolean | KeepAlive;
  /** TCP_DEFER_ACCEPT: the kernel reports a connection only when data has come, or after this time. */
  readonly deferAcceptSeconds?: number;
  /** TCP_FASTOPEN: how many connections may send data before their handshake is complete. */
  readonly fastOpenQueue?: number;
  /** SO_SNDBUF; the kernel doubles it for its own book-keeping, and caps it at net.core.wmem_max. */
  readonly sendBufferBytes?: number;
  /** SO_RCVBUF; doubled in the same way, and capped at net.core.rmem_max. */
  readonly receiveBufferBytes?: number;
  /** SO_LINGER: with 0, close(2) sends RST; with more, it blocks for up to that many seconds. False is the kernel's default. */
  readonly lingerSeconds?: number | false;
  /** TCP_USER_TIMEOUT: how long sent data may stay unacknowledged before the kernel ends the connection. */
  readonly userTimeoutMs?: number;
  /** SO_BROADCAST: datagrams may go to a broadcast address. */
  readonly broadcast?: boolean;
  /** Called with the raw socket between socket(2) and bind(2) or connect(2), after the options above. */
  readonly control?: (socket: OptionTarget) => void;
}

/**
 * The options of a listening socket. Its connections inherit them.
 *
 * ```ts
 * import { type ListenOptions, NetSocket } from 'simplenet';
 *
 * const options: ListenOptions = { reusePort: true, backlog: 4_096 };
 * const listener = NetSocket.listenOn({ address: '127.0.0.1', port: 8080 }, options);
 * ```
 */
export interface ListenOptions extends SocketOptions {
  /** How many connections may wait to be accepted. */
  readonly backlog?: number;
}

/**
 * The socket on which options are set; `control` gets it, too.
 *
 * ```ts
 * import { NetSocket, type OptionTarget } from 'simplenet';
 *
 * const IPPROTO_IP = 0;
 * const IP_TTL = 2; // ip(7): an option without a name in SocketOptions
 * const control = (socket: OptionTarget) => socket.setOption(IPPROTO_IP, IP_TTL, 16);
 * const listener = NetSocket.listenOn({ address: '127.0.0.1', port: 8080 }, { control });
 * ```
 */
export interface OptionTarget {
  readonly fd: number;
  readonly family: number;
  setOption(level: number, option: number, value: number | Uint8Array): void;
  getOption(level: number, option: number): number;
  getOptionBytes(level: number, option: number, maxBytes: number): Buffer;
  /** SO_ATTACH_FILTER: from now on the socket gets only packets that the program keeps. */
  attachFilter(program: readonly FilterInstruction[]): void;
  /** SO_ATTACH_REUSEPORT_CBPF: the program returns the number of the socket in the `reusePort` group, counted in order of bind or listen. */
  attachReusePortFilter(program: readonly FilterInstruction[]): void;
}

const LINGER_SIZE = 8;

/** Throws for a value outside the range. The kernel would take its low 32 bits without an error. */
function checkedInteger(name: string, value: number, min: number): number {
  if (!Number.isInteger(value) || value < min || value > 0x7fffffff) {
    throw new RangeError(`${name} must be an integer >= ${min}, not ${String(value)}`);
  }
  return value;
}

/** struct linger { int on @0; int seconds @4; } */
export function encodeLinger(seconds: number | false): Buffer {
  const bytes = Buffer.alloc(LINGER_SIZE);
  if (seconds === false) return bytes;
  bytes.writeInt32LE(1, 0);
  bytes.writeInt32LE(checkedInteger('lingerSeconds', seconds, 0), 4);
  return bytes;
}

function setKeepAlive(socket: OptionTarget, keepAlive: boolean | KeepAlive): void {
  if (typeof keepAlive !== 'object' || keepAlive === null) {
    socket.setOption(SOL_SOCKET, SO_KEEPALIVE, flagValue('keepAlive', keepAlive));
    return;
  }
  socket.setOption(SOL_SOCKET, SO_KEEPALIVE, 1);
  socket.setOption(IPPROTO_TCP, TCP_KEEPIDLE, checkedInteger('keepAlive.idleSeconds', keepAlive.idleSeconds, 1));
  socket.setOption(
    IPPROTO_TCP,
    TCP_KEEPINTVL,
    checkedInteger('keepAlive.intervalSeconds', keepAlive.intervalSeconds, 1),
  );
  socket.setOption(IPPROTO_TCP, TCP_KEEPCNT, checkedInteger('keepAlive.probes', keepAlive.probes, 1));
}

type Name = Exclude<keyof SocketOptions, 'control'>;
type Setter<N extends Name> = (socket: OptionTarget, value: NonNullable<SocketOptions[N]>) => void;

/** Accepts only true and false: 'no' would otherwise count as true. */
function flagValue(name: string, value: unknown): number {
  if (typeof value !== 'boolean') throw new TypeError(`${name} must be true or false, not ${String(value)}`);
  return value ? 1 : 0;
}

const flag =
  (name: string, level: number, option: number) =>
  (socket: OptionTarget, value: boolean): void =>
    socket.setOption(level, option, flagValue(name, value));

const count =
  (name: string, level: number, option: number, min: number) =>
  (socket: OptionTarget, value: number): void =>
    socket.setOption(level, option, checkedInteger(name, value, min));

/** One row per option, applied in this order. */
const setters: { readonly [N in Name]: Setter<N> } = {
  reuseAddress: flag('reuseAddress', SOL_SOCKET, SO_REUSEADDR),
  reusePort: flag('reusePort', SOL_SOCKET, SO_REUSEPORT),
  ipv6Only: (socket, value) => {
    if (socket.family !== AF_INET6) throw new RangeError('ipv6Only is for IPv6 addresses');
    socket.setOption(IPPROTO_IPV6, IPV6_V6ONLY, flagValue('ipv6Only', value));
  },
  noDelay: flag('noDelay', IPPROTO_TCP, TCP_NODELAY),
  keepAlive: setKeepAlive,
  deferAcceptSeconds: count('deferAcceptSeconds', IPPROTO_TCP, TCP_DEFER_ACCEPT, 0),
  fastOpenQueue: count('fastOpenQueue', IPPROTO_TCP, TCP_FASTOPEN, 0),
  sendBufferBytes: count('sendBufferBytes', SOL_SOCKET, SO_SNDBUF, 1),
  receiveBufferBytes: count('receiveBufferBytes', SOL_SOCKET, SO_RCVBUF, 1),
  lingerSeconds: (socket, value) => socket.setOption(SOL_SOCKET, SO_LINGER, encodeLinger(value)),
  userTimeoutMs: count('userTimeoutMs', IPPROTO_TCP, TCP_USER_TIMEOUT, 0),
  broadcast: flag('broadcast', SOL_SOCKET, SO_BROADCAST),
};

/** Sets all options that are given, then calls `control`. */
export function applySocketOptions(socket: OptionTarget, options: SocketOptions): void {
  for (const name of Object.keys(setters) as Name[]) applyOne(socket, options, name);
  options.control?.(socket);
}

function applyOne<N extends Name>(socket: OptionTarget, options: SocketOptions, name: N): void {
  const value = options[name];
  if (value !== undefined) (setters[name] as Setter<N>)(socket, value as NonNullable<SocketOptions[N]>);
}
