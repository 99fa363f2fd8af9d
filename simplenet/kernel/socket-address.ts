/**
 * Socket addresses in three forms: objects { address, port } and { path }, the kernel's struct sockaddr, and text. Pure.
 *
 * A Unix path that begins with NUL is in the abstract namespace of unix(7): a name without a file.
 *
 * Next: system-error.ts
 */

import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  SOCKADDR_IN_SIZE,
  SOCKADDR_IN6_SIZE,
  SOCKADDR_UN_PATH,
  SOCKADDR_UN_SIZE,
} from './abi.ts';
import { formatIPv4, formatIPv6, htons, ntohs, parseIPv4, parseIPv6 } from './ip-address.ts';

/**
 * An IP address and a port.
 *
 * ```ts
 * import { type InternetAddress, NetSocket } from 'simplenet';
 *
 * const everywhere: InternetAddress = { address: '::', port: 8080 };
 * const listener = NetSocket.listenOn(everywhere, { ipv6Only: false }); // IPv4 as well
 * ```
 */
export interface InternetAddress {
  /** IPv4 or IPv6, as text; a scoped IPv6 address ends in `%` and an interface's number or name. */
  readonly address: string;
  readonly port: number;
}

/**
 * The name of a Unix socket: a path, or NUL and a name in the abstract namespace.
 *
 * ```ts
 * import { NetSocket, type UnixAddress } from 'simplenet';
 *
 * const abstract: UnixAddress = { path: '\0my-service' }; // a name without a file
 * const listener = NetSocket.listenOn(abstract);
 * ```
 */
export interface UnixAddress {
  readonly path: string;
}

/**
 * Where a socket is: an IP address and a port, or the name of a Unix socket.
 *
 * ```ts
 * import { NetSocket, type SocketAddress } from 'simplenet';
 *
 * const { SOCKET_PATH } = process.env;
 * const address: SocketAddress = SOCKET_PATH ? { path: SOCKET_PATH } : { address: '127.0.0.1', port: 8080 };
 * const listener = NetSocket.listenOn(address);
 * ```
 */
export type SocketAddress = InternetAddress | UnixAddress;

/** A struct sockaddr of each supported family fits into this. */
export const SOCKADDR_MAX_SIZE = SOCKADDR_UN_SIZE;

const MAX_PORT = 65_535;

/** Room is left for a closing NUL: unix(7) also allows 108 bytes without one, which many programs misread. */
const MAX_PATH_BYTES = SOCKADDR_UN_SIZE - SOCKADDR_UN_PATH - 1;

const FAMILY_SIZE = 2;

const UNIX_PREFIX = 'unix:';

/** The address family of this address: AF_UNIX, AF_INET6 or AF_INET. */
export function familyOf(address: SocketAddress): number {
  if ('path' in address) return AF_UNIX;
  return String(address.address).includes(':') ? AF_INET6 : AF_INET;
}

/**
 * The bytes of a struct sockaddr. `indexOfInterface` turns a scope such as `eth0` into its number. It is not called for a scope
 * that is a number.
 *
 * ```ts
 * import { abi, encodeSocketAddress, libc, SystemError } from 'simplenet';
 *
 * const fd = libc.socket(abi.AF_INET, abi.SOCK_STREAM | abi.SOCK_CLOEXEC, 0);
 * const address = encodeSocketAddress({ address: '127.0.0.1', port: 8080 });
 * const result = libc.bind(fd, address, address.length);
 * if (result < 0) throw new SystemError('bind', result);
 * ```
 */
export function encodeSocketAddress(address: SocketAddress, indexOfInterface?: (name: string) => number): Buffer {
  if ('path' in address) return encodeUnixAddress(address.path);
  const { port } = address;
  if (!Number.isInteger(port) || port < 0 || port > MAX_PORT) {
    throw new RangeError(`a port is an integer from 0 to ${MAX_PORT}, not ${String(port)}`);
  }
  if (typeof address.address !== 'string') {
    throw new TypeError(`an address is a string such as '127.0.0.1' or '::1', not ${String(address.address)}`);
  }
  const v4 = parseIPv4(address.address);
  if (v4 !== null) {
    const bytes = Buffer.alloc(SOCKADDR_IN_SIZE);
    bytes.writeUInt16LE(AF_INET, 0);
    bytes.writeUInt16LE(htons(port), 2);
    bytes.set(v4, 4);
    return bytes;
  }
  const v6 = parseIPv6(address.address);
  if (v6 !== null) {
    const bytes = Buffer.alloc(SOCKADDR_IN6_SIZE);
    bytes.writeUInt16LE(AF_INET6, 0);
    bytes.writeUInt16LE(htons(port), 2);
    bytes.set(v6.bytes, 8);
    bytes.writeUInt32LE(scopeIndex(v6.zone, indexOfInterface), 24);
    return bytes;
  }
  throw new RangeError(`'${address.address}' is not an IPv4 or IPv6 address (names are not looked up here)`);
}

function scopeIndex(zone: string, indexOfInterface: ((name: string) => number) | undefined): number {
  if (zone === '') return 0;
  if (/^\d{1,9}$/.test(zone)) return Number(zone);
  if (indexOfInterface === undefined) throw new RangeError(`the scope '${zone}' must be a number here`);
  return indexOfInterface(zone);
}

function encodeUnixAddress(path: string): Buffer {
  if (typeof path !== 'string' || path === '' || path === '\0') {
    throw new TypeError('the path of a Unix socket is missing');
  }
  const isAbstract = path.startsWith('\0');
  if (!isAbstract && path.includes('\0')) throw new TypeError('the path of a Unix socket must not contain NUL');
  const name = Buffer.from(path);
  if (name.length > MAX_PATH_BYTES) {
    throw new RangeError(
      `the path of a Unix socket must have at most ${MAX_PATH_BYTES} bytes, not ${name.length}: ${path}`,
    );
  }
  // The address length gives the length of an abstract name. A path ends with NUL.
  const bytes = Buffer.alloc(SOCKADDR_UN_PATH + name.length + (isAbstract ? 0 : 1));
  bytes.writeUInt16LE(AF_UNIX, 0);
  bytes.set(name, SOCKADDR_UN_PATH);
  return bytes;
}

/**
 * Decodes what the kernel wrote into a sockaddr buffer. An unnamed Unix socket has the path ''.
 *
 * ```ts
 * import { decodeSocketAddress, libc, type SocketAddress, SystemError } from 'simplenet';
 *
 * function addressOf(fd: number): SocketAddress {
 *   const sockaddr = Buffer.alloc(128); // sizeof(struct sockaddr_storage): no address is longer
 *   const length = new Int32Array([sockaddr.length]);
 *   const result = libc.getsockname(fd, sockaddr, length);
 *   if (result < 0) throw new SystemError('getsockname', result);
 *   return decodeSocketAddress(sockaddr, length[0] ?? 0);
 * }
 * ```
 */
export function decodeSocketAddress(sockaddr: Uint8Array, length: number): SocketAddress {
  const bytes = Buffer.from(sockaddr.buffer, sockaddr.byteOffset, sockaddr.byteLength);
  const family = length >= FAMILY_SIZE ? bytes.readUInt16LE(0) : AF_UNIX;
  if (family === AF_INET && length >= SOCKADDR_IN_SIZE) {
    return { address: formatIPv4(bytes.subarray(4, 8)), port: ntohs(bytes.readUInt16LE(2)) };
  }
  if (family === AF_INET6 && length >= SOCKADDR_IN6_SIZE) {
    const scope = bytes.readUInt32LE(24);
    const text = formatIPv6(bytes.subarray(8, 24));
    return { address: scope === 0 ? text : `${text}%${scope}`, port: ntohs(bytes.readUInt16LE(2)) };
  }
  if (family === AF_UNIX) return { path: decodeUnixPath(bytes.subarray(0, length)) };
  throw new RangeError(`a socket address of family ${family} and ${length} bytes is not supported`);
}

function decodeUnixPath(sockaddr: Buffer): string {
  const name = sockaddr.subarray(Math.min(SOCKADDR_UN_PATH, sockaddr.length));
  if (name[0] === 0) return name.toString();
  const end = name.indexOf(0);
  return name.toString('utf8', 0, end === -1 ? name.length : end);
}

/**
 * As text: `127.0.0.1:80`, `[::1]:80`, `unix:/run/a.sock`, `unix:@abstract`.
 *
 * ```ts
 * import { formatSocketAddress } from 'simplenet';
 *
 * console.log(formatSocketAddress({ address: '::1', port: 80 })); // [::1]:80
 * console.log(formatSocketAddress({ path: '/run/a.sock' })); // unix:/run/a.sock
 * ```
 */
export function formatSocketAddress(address: SocketAddress): string {
  if ('path' in address) return `${UNIX_PREFIX}${address.path.replace(/^\0/, '@')}`;
  return address.address.includes(':') ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`;
}

/**
 * Parses what `formatSocketAddress` returns. Null for all other text: names such as `localhost` are not looked up here. `@` stands
 * for the abstract namespace; write `unix:./@name` for a file whose name begins with `@`.
 *
 * ```ts
 * import { NetSocket, parseSocketAddress } from 'simplenet';
 *
 * const address = parseSocketAddress(process.argv[2] ?? '127.0.0.1:8080');
 * if (address === null) throw new Error('usage: ADDRESS:PORT, [ADDRESS]:PORT or unix:PATH');
 * const listener = NetSocket.listenOn(address);
 * ```
 */
export function parseSocketAddress(text: string): SocketAddress | null {
  if (text.startsWith(UNIX_PREFIX)) {
    const path = text.slice(UNIX_PREFIX.length).replace(/^@/, '\0');
    return path === '' || path === '\0' ? null : { path };
  }
  const [, v6, v4, port] = /^(?:\[(.+)\]|([^:]+)):(0|[1-9]\d{0,4})$/.exec(text) ?? [];
  if (port === undefined || Number(port) > MAX_PORT) return null;
  if (v6 !== undefined) return parseIPv6(v6) === null ? null : { address: v6, port: Number(port) };
  return parseIPv4(v4 as string) === null ? null : { address: v4 as string, port: Number(port) };
}

/**
 * The port of an address that must have one, such as that of a TCP listener. Throws a TypeError for a Unix address, which has no port.
 *
 * ```ts
 * import { NetSocket, portOf } from 'simplenet';
 *
 * const listener = NetSocket.listenOn({ address: '127.0.0.1', port: 0 }); // any free port
 * console.log(`http://localhost:${portOf(listener.localAddress)}`);
 * ```
 */
export function portOf(address: SocketAddress): number {
  if ('path' in address) throw new TypeError(`${formatSocketAddress(address)} has no port`);
  return address.port;
}
