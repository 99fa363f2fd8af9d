/**
 * Socket: the calls that stream and datagram sockets share, and `makeSocket`, which makes both.
 *
 * Next: net-socket.ts
 */

import {
  EBADF,
  F_GETFL,
  F_SETFD,
  F_SETFL,
  FD_CLOEXEC,
  O_NONBLOCK,
  POLLFD_SIZE,
  POLLIN,
  POLLOUT,
  SO_ATTACH_FILTER,
  SO_ATTACH_REUSEPORT_CBPF,
  SO_DOMAIN,
  SO_GET_FILTER,
  SO_TYPE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOL_SOCKET,
} from '../kernel/abi.ts';
import { Descriptor } from '../kernel/descriptor.ts';
import { waitUninterrupted } from '../kernel/interruption.ts';
import { type Libc, libc as processLibc } from '../kernel/libc.ts';
import {
  decodeSocketAddress,
  encodeSocketAddress,
  familyOf,
  SOCKADDR_MAX_SIZE,
  type SocketAddress,
} from '../kernel/socket-address.ts';
import { check, SystemError } from '../kernel/system-error.ts';
import { encodeFilter, type FilterInstruction } from './socket-filter.ts';
import { applySocketOptions, type OptionTarget, type SocketOptions } from './socket-options.ts';

/**
 * The options of `listenOn`, `connectTo`, `bindTo` and `openFor`.
 *
 * ```ts
 * import { type SocketSetup, UdpSocket } from 'simplenet';
 *
 * const setup: SocketSetup = { nonBlocking: true, receiveBufferBytes: 1024 * 1024 };
 * const socket = UdpSocket.bindTo({ address: '127.0.0.1', port: 8080 }, setup);
 * ```
 */
export interface SocketSetup extends SocketOptions {
  /** Calls that would wait return EAGAIN. By default they wait. */
  readonly nonBlocking?: boolean;
  /** The table of system calls to use; by default the process's own. */
  readonly libc?: Libc;
}

/**
 * Whether reading and writing would return without waiting.
 *
 * ```ts
 * import { NetSocket, type Readiness } from 'simplenet';
 *
 * const socket = NetSocket.connectTo({ address: '127.0.0.1', port: 8080 });
 * const { readable, writable }: Readiness = socket.waitEither(5_000);
 * if (!readable && !writable) console.log('the peer neither sends nor takes anything');
 * ```
 */
export interface Readiness {
  readonly readable: boolean;
  readonly writable: boolean;
}

const INT_SIZE = 4;

/** Scratch space for calls that return values through pointers. Read it right after the call: the next call overwrites it. */
const sockaddr = Buffer.alloc(SOCKADDR_MAX_SIZE);
const int = Buffer.alloc(INT_SIZE);
const lengthCell = new Int32Array(1);
const nothing = Buffer.alloc(0);

export class Socket extends Descriptor implements OptionTarget {
  /** AF_INET, AF_INET6 or AF_UNIX. */
  get family(): number {
    return this.getOption(SOL_SOCKET, SO_DOMAIN);
  }

  /** bind(2). */
  bind(address: SocketAddress): void {
    const bytes = this.encode(address);
    check('bind', this.libc.bind(this.fd, bytes, bytes.length), address);
  }

  /** getsockname(2): our own address, with the port that the kernel chose for port 0. */
  get localAddress(): SocketAddress {
    lengthCell[0] = sockaddr.length;
    check('getsockname', this.libc.getsockname(this.fd, sockaddr, lengthCell));
    return decodeSocketAddress(sockaddr, lengthCell[0]);
  }

  /** getpeername(2): throws ENOTCONN once the connection has ended. */
  get remoteAddress(): SocketAddress {
    lengthCell[0] = sockaddr.length;
    check('getpeername', this.libc.getpeername(this.fd, sockaddr, lengthCell));
    return decodeSocketAddress(sockaddr, lengthCell[0]);
  }

  /** setsockopt(2), with an int or with the bytes of the struct that the option takes. */
  setOption(level: number, option: number, value: number | Uint8Array): void {
    let bytes: Uint8Array = int;
    if (typeof value !== 'number') bytes = value;
    else if ((value | 0) === value) int.writeInt32LE(value);
    else throw new RangeError(`the value of a socket option is a 32-bit integer, not ${value}`);
    check('setsockopt', this.libc.setsockopt(this.fd, level, option, bytes, bytes.byteLength));
  }

  /** getsockopt(2) of an int. */
  getOption(level: number, option: number): number {
    lengthCell[0] = int.length;
    int.fill(0); // some options write nothing while they are not set
    check('getsockopt', this.libc.getsockopt(this.fd, level, option, int, lengthCell));
    return int.readInt32LE();
  }

  /** getsockopt(2) of a struct: returns what the kernel wrote, at most `maxBytes`. */
  getOptionBytes(level: number, option: number, maxBytes: number): Buffer {
    const bytes = Buffer.alloc(maxBytes);
    lengthCell[0] = maxBytes;
    check('getsockopt', this.libc.getsockopt(this.fd, level, option, bytes, lengthCell));
    return bytes.subarray(0, lengthCell[0]);
  }

  /** Whether a filter is attached. Attaching another one would replace it. */
  get hasFilter(): boolean {
    lengthCell[0] = 0; // returns the number of instructions, and not the instructions
    const result = this.libc.getsockopt(this.fd, SOL_SOCKET, SO_GET_FILTER, nothing, lengthCell);
    return result < 0 || lengthCell[0] > 0; // the call fails (EACCES) if an eBPF program is attached
  }

  /** SO_ATTACH_FILTER: from now on the socket gets only packets that the program keeps. Throws if the kernel refuses the program. */
  attachFilter(program: readonly FilterInstruction[]): void {
    this.#setFilter(SO_ATTACH_FILTER, program);
  }

  /** As `attachFilter`, but returns false if the kernel refuses the filter. */
  tryAttachFilter(program: readonly FilterInstruction[]): boolean {
    const bytes = encodeFilter(program);
    return this.libc.setsockopt_fprog(this.fd, SO_ATTACH_FILTER, bytes, bytes.length) >= 0;
  }

  /** SO_ATTACH_REUSEPORT_CBPF: the program returns the number of the socket in the `reusePort` group that gets the packet. */
  attachReusePortFilter(program: readonly FilterInstruction[]): void {
    this.#setFilter(SO_ATTACH_REUSEPORT_CBPF, program);
  }

  /** fcntl(2), O_NONBLOCK: two calls, for adopted sockets. socket(2) and accept4(2) set the flag of our own sockets. */
  setNonBlocking(nonBlocking: boolean): void {
    const flags = check('fcntl', this.libc.fcntl(this.fd, F_GETFL, 0));
    check('fcntl', this.libc.fcntl(this.fd, F_SETFL, nonBlocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
  }

  /** poll(2): waits up to `timeoutMs` until reading or writing would not block; false if the time passed. -1 waits without limit. */
  wait(direction: 'readable' | 'writable', timeoutMs: number): boolean {
    return this.#poll(direction === 'readable' ? POLLIN : POLLOUT, timeoutMs) !== 0;
  }

  /** As `wait`, for reading or writing, whichever is possible first. Both are false if the time passed. */
  waitEither(timeoutMs: number): Readiness {
    const events = this.#poll(POLLIN | POLLOUT, timeoutMs);
    // POLLERR, POLLHUP: no call would block, and each reports the error or the end.
    const isOver = (events & ~(POLLIN | POLLOUT)) !== 0;
    return { readable: isOver || (events & POLLIN) !== 0, writable: isOver || (events & POLLOUT) !== 0 };
  }

  /** The struct sockaddr of an address. if_nametoindex(3) looks up an interface in an IPv6 scope. */
  encode(address: SocketAddress): Buffer {
    return encodeWith(this.libc, address);
  }

  /** Returns the events, or 0 if the time passed. */
  #poll(events: number, timeoutMs: number): number {
    if (this.isClosed) throw new SystemError('poll', -EBADF); // poll(2) skips negative descriptors and would just wait
    const pollfd = Buffer.alloc(POLLFD_SIZE);
    pollfd.writeInt32LE(this.fd, 0);
    pollfd.writeInt16LE(events, 4);
    const result = waitUninterrupted(timeoutMs, (leftMs) => this.libc.poll(pollfd, 1, leftMs));
    return check('poll', result) === 0 ? 0 : pollfd.readInt16LE(6);
  }

  #setFilter(option: number, program: readonly FilterInstruction[]): void {
    const bytes = encodeFilter(program);
    check('setsockopt', this.libc.setsockopt_fprog(this.fd, option, bytes, bytes.length));
  }
}

/**
 * Makes a socket for an address: socket(2), the options, `control`, then `finish` (bind, listen or connect). If one of them
 * throws, closes the descriptor and throws the error again.
 */
export function makeSocket<S extends Socket>(
  create: (fd: number, libc: Libc) => S,
  type: number,
  address: SocketAddress,
  setup: SocketSetup,
  finish: (socket: S) => void,
): S {
  const libc = setup.libc ?? processLibc;
  // An invalid address throws here, before there is a descriptor.
  encodeWith(libc, address);
  const flags = SOCK_CLOEXEC | (setup.nonBlocking === true ? SOCK_NONBLOCK : 0);
  const socket = create(check('socket', libc.socket(familyOf(address), type | flags, 0), address), libc);
  try {
    applySocketOptions(socket, setup);
    finish(socket);
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** Takes ownership of an open descriptor. Throws, and takes nothing, if the kernel says that it is not a socket of that type. */
export function adoptSocket<S extends Socket>(
  create: (fd: number, libc: Libc) => S,
  type: number,
  fd: number,
  libc: Libc,
): S {
  if (!Number.isInteger(fd) || fd < 0) throw new TypeError(`a file descriptor is an integer >= 0, not ${String(fd)}`);
  const socket = create(fd, libc);
  try {
    const actual = socket.getOption(SOL_SOCKET, SO_TYPE); // ENOTSOCK, EBADF
    if (actual !== type) throw new TypeError(`descriptor ${fd} is a socket of type ${actual}, not ${type}`);
    check('fcntl', libc.fcntl(fd, F_SETFD, FD_CLOEXEC));
    return socket;
  } catch (error) {
    socket.release(); // the caller still owns it
    throw error;
  }
}

function encodeWith(libc: Libc, address: SocketAddress): Buffer {
  return encodeSocketAddress(address, (name) => check('if_nametoindex', libc.if_nametoindex(name), address));
}
