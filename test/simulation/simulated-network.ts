/**
 * SimulatedNetwork: one machine with a loopback interface and nothing else, and the names of Unix sockets.
 *
 * It knows the address of each socket. So it decides whether a bind succeeds, which socket gets a connection or a datagram, and which port is free. The
 * machine owns 127.0.0.0/8 and ::1. Packets to 192.0.2.0/24, which RFC 5737 keeps for documentation, vanish without a
 * response, so that a connect can time out; no other network can be reached. There is no TIME_WAIT: a port is free again
 * when the last connection on it has ended at both ends.
 *
 * Next: simulated-socket.ts
 */

import { constants } from 'node:os';
import { AF_INET6, ENETUNREACH, SO_REUSEADDR, SO_REUSEPORT } from '../../simplenet/kernel/abi.ts';
import type { InternetAddress, SocketAddress } from '../../simplenet/kernel/socket-address.ts';
import type { Random } from './random.ts';
import type { SimulatedSocket } from './simulated-socket.ts';
import type { SimulatedWire } from './simulated-wire.ts';

const { EADDRINUSE, EADDRNOTAVAIL, ENOENT, ECONNREFUSED } = constants.errno;

/** ip(7), ip_local_port_range. */
const FIRST_EPHEMERAL_PORT = 32_768;
const LAST_EPHEMERAL_PORT = 60_999;

const MAPPED = '::ffff:';
const SILENT = /^192\.0\.2\./;

/** The IPv4 address that an IPv4-mapped IPv6 address stands for; any other as it is. */
function unmapped(address: string): string {
  return address.startsWith(MAPPED) && address.includes('.') ? address.slice(MAPPED.length) : address;
}

/** As a socket of that family shows it. */
export function inFamily(address: InternetAddress, family: number): InternetAddress {
  const plain = unmapped(address.address);
  return { address: family === AF_INET6 && !plain.includes(':') ? MAPPED + plain : plain, port: address.port };
}

function isAny(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}

export class SimulatedNetwork {
  readonly random: Random;
  readonly wire: SimulatedWire;
  readonly defaultSendBufferBytes: number;
  readonly defaultReceiveBufferBytes: number;
  /** Whoever has a local port, connections that live on without a descriptor included. */
  readonly #internet = new Set<SimulatedSocket>();
  readonly #unix = new Map<string, SimulatedSocket | null>();
  #nextPort: number;

  constructor(random: Random, wire: SimulatedWire, sendBufferBytes: number, receiveBufferBytes: number) {
    this.random = random;
    this.wire = wire;
    this.defaultSendBufferBytes = sendBufferBytes;
    this.defaultReceiveBufferBytes = receiveBufferBytes;
    this.#nextPort = FIRST_EPHEMERAL_PORT + random.below(LAST_EPHEMERAL_PORT - FIRST_EPHEMERAL_PORT);
  }

  /** bind(2) for AF_INET and AF_INET6; port 0 chooses one. */
  bind(socket: SimulatedSocket, address: InternetAddress): number {
    const plain = unmapped(address.address);
    if (!isAny(plain) && !this.isLocal(plain)) return -EADDRNOTAVAIL;
    const bound = address.port === 0 ? this.#withFreePort(socket, address.address) : address;
    if (bound === null || this.conflicts(socket, bound)) return -EADDRINUSE;
    this.register(socket, bound);
    return 0;
  }

  register(socket: SimulatedSocket, local: SocketAddress): void {
    socket.local = local;
    this.#internet.add(socket);
  }

  release(socket: SimulatedSocket): void {
    this.#internet.delete(socket);
    for (const [key, owner] of this.#unix) {
      if (owner !== socket) continue;
      // unix(7): a path stays in the file system until somebody removes it, an abstract name goes with its socket.
      if (isAbstractKey(key)) this.#unix.delete(key);
      else this.#unix.set(key, null);
    }
  }

  /** The rules of socket(7): SO_REUSEADDR on both does not help against a listener, SO_REUSEPORT on both does. */
  conflicts(socket: SimulatedSocket, address: InternetAddress): boolean {
    for (const other of this.#internet) {
      if (other === socket || other.type !== socket.type || !overlap(socket, address, other)) continue;
      if (socket.isOn(SO_REUSEPORT) && other.isOn(SO_REUSEPORT)) continue;
      if (socket.isOn(SO_REUSEADDR) && other.isOn(SO_REUSEADDR) && !other.isListening) continue;
      return true;
    }
    return false;
  }

  bindUnix(socket: SimulatedSocket, path: string): number {
    const key = unixKey(path, socket.type);
    if (this.#unix.has(key)) return -EADDRINUSE;
    this.#unix.set(key, socket);
    socket.local = { path };
    return 0;
  }

  /** The socket of that name, or -errno. */
  findUnix(path: string, type: number): SimulatedSocket | number {
    const socket = this.#unix.get(unixKey(path, type));
    if (socket === undefined) return path.startsWith('\0') ? -ECONNREFUSED : -ENOENT;
    return socket ?? -ECONNREFUSED;
  }

  /** unlink(2) of a Unix socket's path. */
  unlink(path: string): boolean {
    return this.#unix.delete(unixKey(path, 0));
  }

  /** 0, or why packets do not even leave for that address. */
  routeTo(address: string): number {
    const plain = unmapped(address);
    return this.isLocal(plain) || isAny(plain) || SILENT.test(plain) ? 0 : -ENETUNREACH;
  }

  isSilent(address: string): boolean {
    return SILENT.test(unmapped(address));
  }

  isLocal(address: string): boolean {
    return address.startsWith('127.') || address === '::1';
  }

  /** The address a connection really goes to: one to "any" goes to this machine, ip(7). */
  destination(address: InternetAddress): InternetAddress {
    if (!isAny(unmapped(address.address))) return address;
    return { address: address.address.startsWith('::') ? '::1' : '127.0.0.1', port: address.port };
  }

  /** Gives a socket its own address, as connect and sendto do where bind did not. `toward` null: any address. */
  autobind(socket: SimulatedSocket, toward: InternetAddress | null): number {
    const local = socket.local as InternetAddress | null;
    const isChosen = local !== null && !isAny(unmapped(local.address));
    let address = socket.family === AF_INET6 ? '::' : '0.0.0.0';
    if (toward !== null) address = unmapped(toward.address).includes(':') ? '::1' : '127.0.0.1';
    if (isChosen) address = local.address;
    const source = toward === null ? { address, port: 0 } : inFamily({ address, port: 0 }, socket.family);
    if (local !== null) {
      this.register(socket, { ...source, port: local.port });
      return 0;
    }
    const bound = this.#withFreePort(socket, source.address);
    if (bound === null) return -EADDRNOTAVAIL;
    this.register(socket, bound);
    return 0;
  }

  /** Whoever listens at that address, or null. With SO_REUSEPORT there may be several, and any of them is it. */
  listenerAt(address: InternetAddress, type: number): SimulatedSocket | null {
    return this.#best(type, (socket) => (socket.isListening ? matchOf(socket, address) : 0));
  }

  /** Who gets a datagram. A socket connected to the sender is a better match than one that takes from all, udp(7). */
  receiverAt(to: InternetAddress, from: InternetAddress, type: number): SimulatedSocket | null {
    return this.#best(type, (socket) => {
      const match = matchOf(socket, to);
      if (match === 0 || socket.remote === null) return match;
      return isSame(socket.remote as InternetAddress, from) ? match + 10 : 0;
    });
  }

  #best(type: number, score: (socket: SimulatedSocket) => number): SimulatedSocket | null {
    let best: SimulatedSocket[] = [];
    let highest = 1;
    for (const socket of this.#internet) {
      if (socket.type !== type) continue;
      const match = score(socket);
      if (match < highest) continue;
      if (match > highest) best = [];
      highest = match;
      best.push(socket);
    }
    if (best.length < 2) return best[0] ?? null;
    return this.random.pick(best);
  }

  #withFreePort(socket: SimulatedSocket, address: string): InternetAddress | null {
    const count = LAST_EPHEMERAL_PORT - FIRST_EPHEMERAL_PORT + 1;
    for (let tried = 0; tried < count; tried++) {
      const port = this.#nextPort;
      this.#nextPort = port === LAST_EPHEMERAL_PORT ? FIRST_EPHEMERAL_PORT : port + 1;
      if (!this.#isPortTaken(port, socket.type)) return { address, port };
    }
    return null;
  }

  #isPortTaken(port: number, type: number): boolean {
    for (const socket of this.#internet) {
      if (socket.type === type && (socket.local as InternetAddress).port === port) return true;
    }
    return false;
  }
}

export function isSame(a: InternetAddress, b: InternetAddress): boolean {
  return a.port === b.port && unmapped(a.address) === unmapped(b.address);
}

/** How well a socket's own address fits one that a packet is sent to; 0: not at all. */
function matchOf(socket: SimulatedSocket, to: InternetAddress): number {
  const local = socket.local as InternetAddress;
  if (local.port !== to.port) return 0;
  if (unmapped(local.address) === unmapped(to.address)) return 3;
  const isV6 = unmapped(to.address).includes(':');
  if (local.address === '0.0.0.0') return isV6 ? 0 : 2;
  if (local.address === '::') return isV6 ? 2 : socket.isIpv6Only ? 0 : 1;
  return 0;
}

function overlap(socket: SimulatedSocket, address: InternetAddress, other: SimulatedSocket): boolean {
  const taken = other.local as InternetAddress;
  if (taken.port !== address.port) return false;
  const [a, b] = [unmapped(address.address), unmapped(taken.address)];
  return a === b || covers(a, socket, b) || covers(b, other, a);
}

/** Whether `any`, the address of `owner`, stands for `address` as well. */
function covers(any: string, owner: SimulatedSocket, address: string): boolean {
  if (any === '0.0.0.0') return !address.includes(':');
  return any === '::' && (address.includes(':') || !owner.isIpv6Only);
}

/** Abstract names are kept apart by type, paths are not. */
function unixKey(path: string, type: number): string {
  return path.startsWith('\0') ? `${type}${path}` : path;
}

function isAbstractKey(key: string): boolean {
  return key.includes('\0');
}
