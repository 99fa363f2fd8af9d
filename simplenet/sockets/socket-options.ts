/**
 * Socket options with names and units, and the moment at which they must be set.
 *
 * Some options count only between socket(2) and bind(2) (SO_REUSEADDR, IPV6_V6ONLY), some only before listen(2) or
 * connect(2) (buffer sizes, which settle TCP's window scale). So all are set at that one moment, in a fixed order, and
 * `control` gets the bare socket right after them for whatever has no name here, as in Go's ListenConfig.
 *
 * Set on a listener, they are inherited by every connection it accepts: no setsockopt per connection.
 *
 * SO_RCVTIMEO and SO_SNDTIMEO are missing on purpose: `wait` in socket.ts bounds a wait, and ARCHITECTURE.md says why.
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

export interface KeepAlive {
  /** Silence before the first probe. */
  readonly idleSeconds: number;
  readonly intervalSeconds: number;
  /** Unanswered probes after which the connection is dead. */
  readonly probes: number;
}

/** tcp(7), socket(7) and ipv6(7) explain each of them at length. */
export interface SocketOptions {
  /** SO_REUSEADDR: bind although old connections of that port linger in TIME_WAIT. */
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
  /** TCP_FASTOPEN: how many connections may have sent data before their handshake is done. */
  readonly fastOpenQueue?: number;
  /** SO_SNDBUF; the kernel doubles it for its own book-keeping, and caps it at net.core.wmem_max. */
  readonly sendBufferBytes?: number;
  /** SO_RCVBUF; doubled and capped likewise. */
  readonly receiveBufferBytes?: number;
  /** SO_LINGER: close(2) sends RST with 0, blocks up to that many seconds otherwise; false: the kernel's default. */
  readonly lingerSeconds?: number | false;
  /** TCP_USER_TIMEOUT: how long sent data may stay unacknowledged before the connection is given up. */
  readonly userTimeoutMs?: number;
  /** SO_BROADCAST: datagrams may go to a broadcast address. */
  readonly broadcast?: boolean;
  /** Called with the raw socket between socket(2) and bind(2) or connect(2), after the options above. */
  readonly control?: (socket: OptionTarget) => void;
}

export interface ListenOptions extends SocketOptions {
  /** Connections that may wait to be accepted. */
  readonly backlog?: number;
}

/** What `control` gets, and what options are set on. */
export interface OptionTarget {
  readonly fd: number;
  readonly family: number;
  setOption(level: number, option: number, value: number | Uint8Array): void;
  getOption(level: number, option: number): number;
  getOptionBytes(level: number, option: number, maxBytes: number): Buffer;
  /** SO_ATTACH_FILTER: from now on only the packets that the program keeps arrive here. */
  attachFilter(program: readonly FilterInstruction[]): void;
  /** SO_ATTACH_REUSEPORT_CBPF: the program chooses the socket of the `reusePort` group, by its number in order of bind or listen. */
  attachReusePortFilter(program: readonly FilterInstruction[]): void;
}

const LINGER_SIZE = 8;

/** Throws for a value that is no integer within the range; the kernel would take the low 32 bits in silence. */
function whole(name: string, value: number, least: number): number {
  if (!Number.isInteger(value) || value < least || value > 0x7fffffff) {
    throw new RangeError(`${name} must be an integer >= ${least}, not ${String(value)}`);
  }
  return value;
}

/** struct linger { int on @0; int seconds @4; } */
export function encodeLinger(seconds: number | false): Buffer {
  const bytes = Buffer.alloc(LINGER_SIZE);
  if (seconds === false) return bytes;
  bytes.writeInt32LE(1, 0);
  bytes.writeInt32LE(whole('lingerSeconds', seconds, 0), 4);
  return bytes;
}

function setKeepAlive(socket: OptionTarget, keepAlive: boolean | KeepAlive): void {
  if (typeof keepAlive !== 'object' || keepAlive === null) {
    socket.setOption(SOL_SOCKET, SO_KEEPALIVE, bit('keepAlive', keepAlive));
    return;
  }
  socket.setOption(SOL_SOCKET, SO_KEEPALIVE, 1);
  socket.setOption(IPPROTO_TCP, TCP_KEEPIDLE, whole('keepAlive.idleSeconds', keepAlive.idleSeconds, 1));
  socket.setOption(IPPROTO_TCP, TCP_KEEPINTVL, whole('keepAlive.intervalSeconds', keepAlive.intervalSeconds, 1));
  socket.setOption(IPPROTO_TCP, TCP_KEEPCNT, whole('keepAlive.probes', keepAlive.probes, 1));
}

type Name = Exclude<keyof SocketOptions, 'control'>;
type Setter<N extends Name> = (socket: OptionTarget, value: NonNullable<SocketOptions[N]>) => void;

/** A flag is true or false: 'no' and 0 are neither, and would pass for yes or no by accident. */
function bit(name: string, value: unknown): number {
  if (typeof value !== 'boolean') throw new TypeError(`${name} must be true or false, not ${String(value)}`);
  return value ? 1 : 0;
}

const flag =
  (name: string, level: number, option: number) =>
  (socket: OptionTarget, value: boolean): void =>
    socket.setOption(level, option, bit(name, value));

const count =
  (name: string, level: number, option: number, least: number) =>
  (socket: OptionTarget, value: number): void =>
    socket.setOption(level, option, whole(name, value, least));

/** One row per option, applied in this order. */
const setters: { readonly [N in Name]: Setter<N> } = {
  reuseAddress: flag('reuseAddress', SOL_SOCKET, SO_REUSEADDR),
  reusePort: flag('reusePort', SOL_SOCKET, SO_REUSEPORT),
  ipv6Only: (socket, value) => {
    if (socket.family !== AF_INET6) throw new RangeError('ipv6Only is for IPv6 addresses');
    socket.setOption(IPPROTO_IPV6, IPV6_V6ONLY, bit('ipv6Only', value));
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
