/**
 * Trace formatters: print the arguments and the result of each system call, as strace does.
 *
 * Next: tracing.ts
 */

import * as abi from './abi.ts';
import type { Libc } from './libc.ts';
import { decodeSocketAddress, formatSocketAddress } from './socket-address.ts';
import { nameError } from './system-error.ts';

/** How many bytes of a buffer are shown; strace shows as many. */
const SHOWN_BYTES = 32;

type Arguments<Name extends keyof Libc> = Parameters<Libc[Name]>;
type Formatters = { readonly [Name in keyof Libc]: (args: Arguments<Name>, result: number) => readonly unknown[] };

/** Prints the arguments of each call. It runs after the call, so it can show what the kernel wrote. */
export const formatters: Formatters = {
  socket: ([domain, type, protocol]) => [
    symbol(domain, 'AF_'),
    symbol(type & ~SOCKET_FLAGS, 'SOCK_') + socketFlags(type),
    protocol,
  ],
  bind: ([fd, address, length]) => [fd, sockaddr(address, length), length],
  listen: ([fd, backlog]) => [fd, backlog],
  accept4: ([fd, address, length, how], result) => [
    fd,
    result < 0 || address === null || length === null ? 'NULL' : sockaddr(address, length[0] as number),
    flags(how, ['SOCK_NONBLOCK', 'SOCK_CLOEXEC']),
  ],
  connect: ([fd, address, length]) => [fd, sockaddr(address, length), length],
  shutdown: ([fd, how]) => [fd, symbol(how, 'SHUT_')],
  close: ([fd]) => [fd],
  recv: ([fd, buffer, offset, length, how], result) => [
    fd,
    quote(buffer, offset, Math.min(result, length)),
    length,
    messageFlags(how),
  ],
  send: ([fd, buffer, offset, length, how]) => [fd, quote(buffer, offset, length), length, messageFlags(how)],
  recvfrom: ([fd, buffer, offset, length, how, address, addressLength], result) => [
    fd,
    quote(buffer, offset, Math.min(result, length)),
    length,
    messageFlags(how),
    result < 0 ? 'NULL' : sockaddr(address, addressLength[0] as number),
  ],
  sendto: ([fd, buffer, offset, length, how, address, addressLength]) => [
    fd,
    quote(buffer, offset, length),
    length,
    messageFlags(how),
    sockaddr(address, addressLength),
  ],
  sendmsg: ([fd, buffer, offset, length, , controlLength, how]) => [
    fd,
    `{${quote(buffer, offset, length)}, ${length}, control ${controlLength}}`,
    messageFlags(how),
  ],
  recvmsg: ([fd, buffer, offset, length, , controlCells, how], result) => [
    fd,
    `{${quote(buffer, offset, Math.min(result, length))}, ${length}, control ${controlCells[0]}}`,
    messageFlags(how),
  ],
  getsockname: ([fd, address, length], result) => [fd, result < 0 ? 'NULL' : sockaddr(address, length[0] as number)],
  getpeername: ([fd, address, length], result) => [fd, result < 0 ? 'NULL' : sockaddr(address, length[0] as number)],
  getsockopt: ([fd, level, option, value, length], result) => [
    fd,
    optionLevel(level),
    optionName(level, option),
    result < 0 ? 'NULL' : optionValue(value, length[0] as number),
  ],
  setsockopt: ([fd, level, option, value, length]) => [
    fd,
    optionLevel(level),
    optionName(level, option),
    optionValue(value, length),
    length,
  ],
  setsockopt_fprog: ([fd, option, , length]) => [
    fd,
    symbol(option, 'SO_'),
    `{${length / abi.SOCK_FILTER_SIZE} instructions}`,
  ],
  epoll_create1: ([how]) => [flags(how, ['EPOLL_CLOEXEC'])],
  epoll_ctl: ([epollFd, operation, fd, event]) => [
    epollFd,
    symbol(operation, 'EPOLL_CTL_'),
    fd,
    epollEvents(event[0] as number),
  ],
  epoll_wait: ([epollFd, events, most, timeoutMs], result) => [epollFd, epollBatch(events, result), most, timeoutMs],
  poll: ([fds, count, timeoutMs]) => [pollFds(fds, count), count, timeoutMs],
  fcntl: ([fd, command, argument]) => [fd, symbol(command, 'F_'), argument],
  open: ([path, how]) => [JSON.stringify(path), openFlags(how)],
  getrlimit: ([resource, limit]) => [symbol(resource, 'RLIMIT_'), rlimit(limit)],
  setrlimit: ([resource, limit]) => [symbol(resource, 'RLIMIT_'), rlimit(limit)],
  if_nametoindex: ([name]) => [JSON.stringify(name)],
  eventfd: ([initial, how]) => [initial, flags(how, ['EFD_CLOEXEC', 'EFD_NONBLOCK'])],
  memfd_create: ([name, how]) => [JSON.stringify(name), flags(how, ['MFD_CLOEXEC'])],
  read: ([fd, buffer, offset, length], result) => [fd, quote(buffer, offset, result), length],
  write: ([fd, buffer, offset, length]) => [fd, quote(buffer, offset, length), length],
  ioctl: ([fd, request, argument]) => [fd, symbol(request, 'TUN'), ifreq(argument)],
  openat2: ([dirFd, path, how, resolve]) => [dirFd, JSON.stringify(path), openHow(how, resolve), abi.OPEN_HOW_SIZE],
  pread: ([fd, buffer, offset, length, position], result) => [fd, quote(buffer, offset, result), length, position],
  sendfile: ([outFd, inFd, position, length]) => [outFd, inFd, `[${position}]`, length],
  addressOf: ([, offset, length]) => ['{memory}', offset, length],
  mmap: ([, length, fd, offset]) => [
    'NULL',
    length,
    'PROT_READ|PROT_WRITE',
    'MAP_SHARED|MAP_POPULATE',
    fd,
    `0x${offset.toString(16)}`,
  ],
  munmap: () => ['{memory}'],
  io_uring_setup: ([entries]) => [entries, '{params}'],
  io_uring_enter: ([fd, submitted, least, how, maxWaitMs = -1]) => {
    const isLimited = maxWaitMs >= 0 && least > 0;
    const names = flags(how, ['IORING_ENTER_GETEVENTS']);
    if (!isLimited) return [fd, submitted, least, names, 'NULL', 0];
    return [
      fd,
      submitted,
      least,
      `${names}|IORING_ENTER_EXT_ARG`,
      `{ts=${maxWaitMs} ms}`,
      abi.IO_URING_GETEVENTS_ARG_SIZE,
    ];
  },
  io_uring_register: ([fd, operation, , count]) => [fd, symbol(operation, 'IORING_REGISTER_'), '{argument}', count],
};

export function resultText(result: number): string {
  if (result >= 0) return String(result);
  const [code, text] = nameError(result);
  return `-1 ${code} (${text})`;
}

/** Bytes as a C string literal, cut off as strace does. */
export function quote(bytes: Uint8Array, offset: number, length: number): string {
  if (length < 0) return 'NULL';
  const shown = Buffer.from(bytes.buffer, bytes.byteOffset + offset, Math.min(length, SHOWN_BYTES));
  const text = shown.toString('latin1').replace(/["\\]|[^ -~]/g, escapeByte);
  return length > SHOWN_BYTES ? `"${text}"...` : `"${text}"`;
}

const namedEscapes: Readonly<Record<string, string>> = {
  '\r': '\\r',
  '\n': '\\n',
  '\t': '\\t',
  '"': '\\"',
  '\\': '\\\\',
};

function escapeByte(byte: string): string {
  return namedEscapes[byte] ?? `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`;
}

function sockaddr(bytes: Uint8Array, length: number): string {
  try {
    return formatSocketAddress(decodeSocketAddress(bytes, length));
  } catch {
    return `{${Buffer.from(bytes).toString('hex', 0, length)}}`; // a family that this library does not know
  }
}

type AbiName = keyof typeof abi;

/** The name in abi.ts that begins with `prefix` and has this value, or else the number. */
function symbol(value: number, prefix: string): string {
  const names = Object.keys(abi) as AbiName[];
  return names.find((name) => name.startsWith(prefix) && abi[name] === value) ?? String(value);
}

/** The names of the bits that are set, and the bits without a name as a number. */
function flags(value: number, names: readonly AbiName[]): string {
  let rest = value;
  const set: string[] = [];
  for (const name of names) {
    const bit = abi[name] as number;
    if ((rest & bit) !== bit) continue;
    set.push(name);
    rest &= ~bit;
  }
  if (rest !== 0 || set.length === 0) set.push(rest === 0 ? '0' : `0x${(rest >>> 0).toString(16)}`);
  return set.join('|');
}

const SOCKET_FLAGS = abi.SOCK_NONBLOCK | abi.SOCK_CLOEXEC;

function socketFlags(type: number): string {
  const set = type & SOCKET_FLAGS;
  return set === 0 ? '' : `|${flags(set, ['SOCK_NONBLOCK', 'SOCK_CLOEXEC'])}`;
}

const O_ACCMODE = 3;

/** O_RDONLY is 0: it is not one of the bits. */
function openFlags(value: number): string {
  const access = value & O_ACCMODE;
  const rest = value & ~O_ACCMODE;
  const name = access === abi.O_RDWR ? 'O_RDWR' : access === abi.O_RDONLY ? 'O_RDONLY' : String(access);
  return rest === 0 ? name : `${name}|${flags(rest, ['O_NONBLOCK', 'O_CLOEXEC'])}`;
}

function ifreq(argument: Uint8Array): string {
  const bytes = Buffer.from(argument.buffer, argument.byteOffset, abi.IFREQ_SIZE);
  const name = bytes.toString('latin1', 0, abi.IFNAMSIZ).replace(/\0.*/s, '');
  return `{${JSON.stringify(name)}, ${flags(bytes.readUInt16LE(abi.IFREQ_FLAGS), ['IFF_TAP', 'IFF_NO_PI'])}}`;
}

function openHow(how: number, resolve: number): string {
  const names = ['RESOLVE_NO_MAGICLINKS', 'RESOLVE_NO_SYMLINKS', 'RESOLVE_BENEATH'] as const;
  return `{flags=${openFlags(how)}, resolve=${flags(resolve, names)}}`;
}

function messageFlags(value: number): string {
  return flags(value, ['MSG_PEEK', 'MSG_TRUNC', 'MSG_DONTWAIT', 'MSG_NOSIGNAL', 'MSG_MORE', 'MSG_CMSG_CLOEXEC']);
}

function epollEvents(value: number): string {
  return flags(value, ['EPOLLIN', 'EPOLLOUT', 'EPOLLERR', 'EPOLLHUP']);
}

function epollBatch(events: Int32Array, count: number): string {
  const shown: string[] = [];
  for (let i = 0; i < count; i++) {
    const at = i * abi.EPOLL_EVENT_WORDS;
    shown.push(`${events[at + abi.EPOLL_EVENT_DATA_WORD]}: ${epollEvents(events[at] as number)}`);
  }
  return `{${shown.join(', ')}}`;
}

function pollFds(fds: Uint8Array, count: number): string {
  const bytes = Buffer.from(fds.buffer, fds.byteOffset, fds.byteLength);
  const shown: string[] = [];
  for (let i = 0; i < count; i++) {
    const at = i * abi.POLLFD_SIZE;
    shown.push(`${bytes.readInt32LE(at)}: ${flags(bytes.readInt16LE(at + 4), ['POLLIN', 'POLLOUT'])}`);
  }
  return `{${shown.join(', ')}}`;
}

function optionLevel(level: number): string {
  if (level === abi.SOL_SOCKET) return 'SOL_SOCKET';
  return symbol(level, 'IPPROTO_');
}

/** One number means different options on different levels, so the level decides the prefix of the name. */
function optionName(level: number, option: number): string {
  const prefixes: Readonly<Record<number, string>> = {
    [abi.SOL_SOCKET]: 'SO_',
    [abi.IPPROTO_TCP]: 'TCP_',
    [abi.IPPROTO_IPV6]: 'IPV6_',
  };
  const prefix = prefixes[level];
  return prefix === undefined ? String(option) : symbol(option, prefix);
}

const INT_SIZE = 4;

function optionValue(value: Uint8Array, length: number): string {
  if (length !== INT_SIZE) return quote(value, 0, length);
  return `[${Buffer.from(value.buffer, value.byteOffset, INT_SIZE).readInt32LE(0)}]`;
}

function rlimit(limit: Uint8Array): string {
  const bytes = Buffer.from(limit.buffer, limit.byteOffset, abi.RLIMIT_SIZE);
  return `{${bytes.readBigUInt64LE(0)}, ${bytes.readBigUInt64LE(8)}}`;
}
