/**
 * Checks of the arguments of libc.ts: integers, ranges, strings, and options and operations whose value would hold an address.
 *
 * koffi does not compare a length with its buffer, and it truncates fd 1.5 to 1. So an unchecked call could read or write outside its
 * buffer, or use another owner's descriptor. Each check is a few comparisons, and throws.
 *
 * Next: libc-memory.ts
 */

import {
  BPF_MAXINSNS,
  EPOLL_EVENT_WORDS,
  F_GETFD,
  F_GETFL,
  F_SETFD,
  F_SETFL,
  IFREQ_SIZE,
  IO_URING_BUF_REG_SIZE,
  IO_URING_PROBE_HEAD_SIZE,
  IO_URING_PROBE_OP_SIZE,
  IORING_REGISTER_EVENTFD,
  IORING_REGISTER_PBUF_RING,
  IORING_REGISTER_PROBE,
  IOU_PBUF_RING_MMAP,
  IPPROTO_IP,
  IPPROTO_IPV6,
  NETFILTER_OPTIONS,
  SO_ATTACH_FILTER,
  SO_ATTACH_REUSEPORT_CBPF,
  SO_ZEROCOPY,
  SOCK_FILTER_SIZE,
  SOL_SOCKET,
  TUNSETIFF,
} from './abi.ts';
import { intrinsicBuffer, intrinsicByteLength, intrinsicByteOffset } from './intrinsic-bytes.ts';

/** The supported commands of fcntl(2) take an integer. Others take a pointer: given an integer, the kernel would write to that address. */
const fcntlCommands = [F_GETFD, F_SETFD, F_GETFL, F_SETFL];

export function checkFcntlCommand(command: number): void {
  if (fcntlCommands.includes(command)) return;
  throw new RangeError(`fcntl command ${String(command)} is not supported: use F_GETFD, F_SETFD, F_GETFL or F_SETFL`);
}

/** The one supported request of ioctl(2) takes a struct without addresses. The number of a request says neither what it writes nor how much. */
export function checkIoctl(request: number, argument: Uint8Array): void {
  if (request !== TUNSETIFF) throw new RangeError(`ioctl request ${String(request)} is not supported: use TUNSETIFF`);
  checkRange(argument, 0, IFREQ_SIZE);
}

export function checkInteger(value: number, what: string): void {
  if ((value | 0) !== value) throw new TypeError(`${what} must be a 32-bit integer, not ${String(value)}`);
}

export function checkFd(fd: number): void {
  if ((fd | 0) !== fd) throw new TypeError(`a file descriptor must be an integer, not ${String(fd)}`);
}

export function checkRange(bytes: Uint8Array, offset: number, length: number): void {
  if (!(bytes instanceof Uint8Array)) throw new TypeError('a buffer must be a Uint8Array');
  if ((offset | 0) !== offset || (length | 0) !== length || offset < 0 || length < 0) {
    throw new RangeError(`offset and length must be integers >= 0, not ${String(offset)} and ${String(length)}`);
  }
  const byteLength = intrinsicByteLength(bytes);
  if (offset + length > byteLength) {
    throw new RangeError(`offset ${offset} + length ${length} is outside a buffer of ${byteLength} bytes`);
  }
}

/** An offset in a file. */
export function checkPosition(position: number): void {
  if (!Number.isSafeInteger(position)) throw new TypeError(`an offset must be an integer, not ${String(position)}`);
}

const WORD_SIZE = 4;
const INT_SIZE = 4;

export function checkEvents(events: Int32Array, count: number): void {
  if (!(events instanceof Int32Array)) throw new TypeError('epoll events must be an Int32Array');
  checkInteger(count, 'maxEvents');
  const words = intrinsicByteLength(events) / WORD_SIZE;
  if (count < 1 || count * EPOLL_EVENT_WORDS > words) {
    throw new RangeError(`${count} epoll events do not fit into ${words} words`);
  }
}

/** Refuses options whose value holds an address: we cannot check whose memory the kernel would read or write there. */
export function checkOption(level: number, option: number): void {
  const holdsAddress =
    (level === SOL_SOCKET && (option === SO_ATTACH_FILTER || option === SO_ATTACH_REUSEPORT_CBPF)) ||
    (level === IPPROTO_IP && option >= NETFILTER_OPTIONS) ||
    (level === IPPROTO_IPV6 && option === NETFILTER_OPTIONS);
  if (holdsAddress) {
    throw new RangeError(`option ${option} of level ${level} is not supported: its value holds an address`);
  }
  if (level === SOL_SOCKET && option === SO_ZEROCOPY) {
    throw new RangeError('SO_ZEROCOPY is not supported: MSG_ZEROCOPY reads the bytes after send(2) has returned');
  }
}

/** For the two options whose address we fill in ourselves, in setsockopt_fprog. */
export function checkFilter(option: number, program: Uint8Array, programLength: number): void {
  if (option !== SO_ATTACH_FILTER && option !== SO_ATTACH_REUSEPORT_CBPF) {
    throw new RangeError(`option ${String(option)} takes no filter: use SO_ATTACH_FILTER or SO_ATTACH_REUSEPORT_CBPF`);
  }
  checkRange(program, 0, programLength);
  // The count of instructions is 16 bits wide: the kernel would take a larger one modulo 65,536.
  if (programLength % SOCK_FILTER_SIZE !== 0 || programLength > BPF_MAXINSNS * SOCK_FILTER_SIZE) {
    throw new RangeError(
      `a filter has at most ${BPF_MAXINSNS} instructions of ${SOCK_FILTER_SIZE} bytes; this one has ${programLength} bytes`,
    );
  }
}

/**
 * The supported operations of io_uring_register(2), and the size of the argument of each. Other operations take arrays of addresses.
 * A buffer ring is registered with address 0: the kernel allocates its memory, and we map it.
 */
const registerSizes: Readonly<Record<number, (count: number) => number>> = {
  [IORING_REGISTER_EVENTFD]: () => INT_SIZE,
  [IORING_REGISTER_PROBE]: (count) => IO_URING_PROBE_HEAD_SIZE + count * IO_URING_PROBE_OP_SIZE,
  [IORING_REGISTER_PBUF_RING]: () => IO_URING_BUF_REG_SIZE,
};

export function checkRegistration(operation: number, argument: Uint8Array, count: number): void {
  const sizeOf = registerSizes[operation];
  if (sizeOf === undefined) throw new RangeError(`io_uring_register operation ${String(operation)} is not supported`);
  checkInteger(count, 'count');
  checkRange(argument, 0, sizeOf(count));
  if (operation !== IORING_REGISTER_PBUF_RING) return;
  const struct = new DataView(intrinsicBuffer(argument), intrinsicByteOffset(argument), IO_URING_BUF_REG_SIZE);
  const isAllocatedByKernel = (struct.getUint16(14, true) & IOU_PBUF_RING_MMAP) !== 0;
  if (!isAllocatedByKernel || struct.getBigUint64(0, true) !== 0n) {
    throw new RangeError(
      'a buffer ring must have the flag IOU_PBUF_RING_MMAP and the address 0: the kernel allocates it',
    );
  }
}

export function checkMapping(mapping: object): void {
  if (typeof mapping !== 'object' || mapping === null) throw new TypeError('a mapping must be an object');
}

export function checkString(text: string): void {
  if (typeof text !== 'string' || text.includes('\0')) throw new TypeError('a C string is text without NUL');
}
