/**
 * Checks of the arguments of libc.ts: integers, ranges, strings, and options and operations that would hold an address.
 *
 * koffi compares no length with a buffer and takes fd 1.5 for fd 1. So an unchecked call could read or write outside its buffer, or use
 * the connection of somebody else. Each check is a few comparisons, and throws.
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
} from './abi.ts';
import { intrinsicBuffer, intrinsicByteLength, intrinsicByteOffset } from './intrinsic-bytes.ts';

/** Those of fcntl(2) that take an integer. */
export const fcntlCommands = [F_GETFD, F_SETFD, F_GETFL, F_SETFL];

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

/** Options that hold an address: nothing here can tell whose memory the kernel would read, or write, there. */
export function checkOption(level: number, option: number): void {
  const isOfFilter =
    (level === SOL_SOCKET && (option === SO_ATTACH_FILTER || option === SO_ATTACH_REUSEPORT_CBPF)) ||
    (level === IPPROTO_IP && option >= NETFILTER_OPTIONS) ||
    (level === IPPROTO_IPV6 && option === NETFILTER_OPTIONS);
  if (isOfFilter) throw new RangeError(`option ${option} of level ${level} holds an address, and is not known here`);
  // MSG_ZEROCOPY sends from our memory after the call has returned, when it may be somebody else's.
  if (level === SOL_SOCKET && option === SO_ZEROCOPY) throw new RangeError('SO_ZEROCOPY is not known here');
}

/** The two options whose address we make ourselves, in setsockopt_fprog. */
export function checkFilter(option: number, program: Uint8Array, programLength: number): void {
  if (option !== SO_ATTACH_FILTER && option !== SO_ATTACH_REUSEPORT_CBPF) {
    throw new RangeError(`option ${String(option)} takes no filter`);
  }
  checkRange(program, 0, programLength);
  // The count of instructions is 16 bits wide: more would be attached as their remainder.
  if (programLength % SOCK_FILTER_SIZE !== 0 || programLength > BPF_MAXINSNS * SOCK_FILTER_SIZE) {
    throw new RangeError(`a filter has at most ${BPF_MAXINSNS} instructions of ${SOCK_FILTER_SIZE} bytes`);
  }
}

/**
 * The size of the argument of each operation of io_uring_register(2) that is known here, for a count of `count`. Others take
 * arrays of addresses. The buffer ring's address stays 0: the kernel makes its memory, to be mapped.
 */
const registerSizes: Readonly<Record<number, (count: number) => number>> = {
  [IORING_REGISTER_EVENTFD]: () => INT_SIZE,
  [IORING_REGISTER_PROBE]: (count) => IO_URING_PROBE_HEAD_SIZE + count * IO_URING_PROBE_OP_SIZE,
  [IORING_REGISTER_PBUF_RING]: () => IO_URING_BUF_REG_SIZE,
};

export function checkRegistration(operation: number, argument: Uint8Array, count: number): void {
  const sizeOf = registerSizes[operation];
  if (sizeOf === undefined) throw new RangeError(`io_uring_register ${String(operation)} is not known here`);
  checkInteger(count, 'count');
  checkRange(argument, 0, sizeOf(count));
  if (operation !== IORING_REGISTER_PBUF_RING) return;
  const struct = new DataView(intrinsicBuffer(argument), intrinsicByteOffset(argument), IO_URING_BUF_REG_SIZE);
  const isMadeByKernel = (struct.getUint16(14, true) & IOU_PBUF_RING_MMAP) !== 0;
  if (!isMadeByKernel || struct.getBigUint64(0, true) !== 0n)
    throw new RangeError('a buffer ring is made by the kernel');
}

export function checkMapping(mapping: object): void {
  if (typeof mapping !== 'object' || mapping === null) throw new TypeError('a mapping must be an object');
}

export function checkString(text: string): void {
  if (typeof text !== 'string' || text.includes('\0')) throw new TypeError('a C string is text without NUL');
}
