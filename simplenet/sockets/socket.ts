/**
 * Socket: the calls that streams and datagrams share, and the one way in which sockets are made.
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

/** Options of the ways to make a socket. */
export interface SocketSetup extends SocketOptions {
  /** Calls answer EAGAIN where they would wait. Sockets wait unless this is set. */
  readonly nonBlocking?: boolean;
  /** The table of system calls to use; the process's own if none is given. */
  readonly libc?: Libc;
}

/** Which calls would not block now. */
export interface Readiness {
  readonly readable: boolean;
  readonly writable: boolean;
}

const INT_SIZE = 4;

/** Scratch space for calls that answer through pointers. Nothing in here outlives the statement that called. */
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

  /** getpeername(2): throws ENOTCONN once the peer is gone. */
  get remoteAddress(): SocketAddress {
    lengthCell[0] = sockaddr.length;
    check('getpeername', this.libc.getpeername(this.fd, sockaddr, lengthCell));
    return decodeSocketAddress(sockaddr, lengthCell[0]);
  }

  /** setsockopt(2), with an int or with the bytes of whatever struct the option takes. */
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
    int.fill(0); // some options write nothing while they are unset
    check('getsockopt', this.libc.getsockopt(this.fd, level, option, int, lengthCell));
    return int.readInt32LE();
  }

  /** getsockopt(2) of a struct: at most `maxBytes`, as many as the kernel has. */
  getOptionBytes(level: number, option: number, maxBytes: number): Buffer {
    const bytes = Buffer.alloc(maxBytes);
    lengthCell[0] = maxBytes;
    check('getsockopt', this.libc.getsockopt(this.fd, level, option, bytes, lengthCell));
    return bytes.subarray(0, lengthCell[0]);
  }

  /** Whether a filter is attached already: another one would take its place. */
  get hasFilter(): boolean {
    lengthCell[0] = 0; // asks for the number of instructions alone
    const result = this.libc.getsockopt(this.fd, SOL_SOCKET, SO_GET_FILTER, nothing, lengthCell);
    return result < 0 || lengthCell[0] > 0; // EACCES: it is a program of another kind
  }

  attachFilter(program: readonly FilterInstruction[]): void {
    this.#setFilter(SO_ATTACH_FILTER, program);
  }

  /** As `attachFilter`, where the kernel may refuse it: false then. */
  tryAttachFilter(program: readonly FilterInstruction[]): boolean {
    const bytes = encodeFilter(program);
    return this.libc.setsockopt_fprog(this.fd, SO_ATTACH_FILTER, bytes, bytes.length) >= 0;
  }

  attachReusePortFilter(program: readonly FilterInstruction[]): void {
    this.#setFilter(SO_ATTACH_REUSEPORT_CBPF, program);
  }

  /** fcntl(2), O_NONBLOCK. Two calls, for sockets that others made; our own are born as they should be. */
  setNonBlocking(nonBlocking: boolean): void {
    const flags = check('fcntl', this.libc.fcntl(this.fd, F_GETFL, 0));
    check('fcntl', this.libc.fcntl(this.fd, F_SETFL, nonBlocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
  }

  /** poll(2): waits at most `timeoutMs` until reading or writing would not block; false if the time passed. -1 is without limit. */
  wait(direction: 'readable' | 'writable', timeoutMs: number): boolean {
    return this.#poll(direction === 'readable' ? POLLIN : POLLOUT, timeoutMs) !== 0;
  }

  /** As `wait`, for what comes first: neither of them if the time passed. */
  waitEither(timeoutMs: number): Readiness {
    const events = this.#poll(POLLIN | POLLOUT, timeoutMs);
    // An error or the end of all: no call would block, each tells it.
    const isOver = (events & ~(POLLIN | POLLOUT)) !== 0;
    return { readable: isOver || (events & POLLIN) !== 0, writable: isOver || (events & POLLOUT) !== 0 };
  }

  /** Its struct sockaddr. An interface in an IPv6 scope is looked up, if_nametoindex(3). */
  encode(address: SocketAddress): Buffer {
    return encodeWith(this.libc, address);
  }

  /** The events that came; 0 if the time passed. */
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
 * Makes a socket for an address and readies it: socket(2), the options, `control`, then `finish` (bind, listen or
 * connect). Where any of it fails the descriptor is closed and the error goes on.
 */
export function makeSocket<S extends Socket>(
  create: (fd: number, libc: Libc) => S,
  type: number,
  address: SocketAddress,
  setup: SocketSetup,
  finish: (socket: S) => void,
): S {
  const libc = setup.libc ?? processLibc;
  // An address that makes no sense must fail before there is anything to close.
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

/** Takes over a descriptor that others opened, after asking the kernel whether it is a socket of that type. */
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
    socket.release(); // not ours after all
    throw error;
  }
}

function encodeWith(libc: Libc, address: SocketAddress): Buffer {
  return encodeSocketAddress(address, (name) => check('if_nametoindex', libc.if_nametoindex(name), address));
}
