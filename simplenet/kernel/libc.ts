/**
 * The system calls, as a table: every conversation with the kernel goes through the object `libc`.
 *
 * It is C as C is, with three differences. A failed call answers `-errno`, as the kernel itself does, where C answers -1
 * and leaves errno elsewhere: one number tells all, no second call asks. A pointer is a typed array and an offset.
 * And each argument is checked first: koffi compares no length with a buffer and takes fd 1.5 for fd 1, so an unchecked
 * call would write outside its buffer or into somebody else's connection.
 *
 * Call it as `libc.recv(...)`, never through a copied function: tracing.ts replaces the entries of this table, and tests
 * hand other tables of the same shape (a counting one, a simulated kernel) to the classes above.
 *
 * Next: ip-address.ts
 */

import {
  BPF_MAXINSNS,
  EINVAL,
  EPOLL_EVENT_WORDS,
  F_GETFD,
  F_GETFL,
  F_SETFD,
  F_SETFL,
  IO_URING_BUF_REG_SIZE,
  IO_URING_PARAMS_SIZE,
  IO_URING_PROBE_HEAD_SIZE,
  IO_URING_PROBE_OP_SIZE,
  IORING_REGISTER_EVENTFD,
  IORING_REGISTER_PBUF_RING,
  IORING_REGISTER_PROBE,
  IOU_PBUF_RING_MMAP,
  IPPROTO_IP,
  IPPROTO_IPV6,
  MAP_POPULATE,
  MAP_SHARED,
  NETFILTER_OPTIONS,
  POLLFD_SIZE,
  PROT_READ,
  PROT_WRITE,
  RLIMIT_SIZE,
  SO_ATTACH_FILTER,
  SO_ATTACH_REUSEPORT_CBPF,
  SO_GET_FILTER,
  SO_ZEROCOPY,
  SOCK_FILTER_SIZE,
  SOCK_FPROG_SIZE,
  SOL_SOCKET,
  SYS_IO_URING_ENTER,
  SYS_IO_URING_REGISTER,
  SYS_IO_URING_SETUP,
} from './abi.ts';
import { koffi } from './ffi.ts';
import { trueBuffer, trueByteLength, trueByteOffset } from './intrinsic-bytes.ts';

/** Every call answers a number >= 0, or -errno. Names and order of arguments are those of the man pages, section 2. */
export interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array, addressLength: number): number;
  listen(fd: number, backlog: number): number;
  /** The kernel writes the peer into `address` and its true size into `addressLength[0]`, which says the room on entry. */
  accept4(fd: number, address: Uint8Array | null, addressLength: Int32Array | null, flags: number): number;
  connect(fd: number, address: Uint8Array, addressLength: number): number;
  shutdown(fd: number, how: number): number;
  close(fd: number): number;
  recv(fd: number, buffer: Uint8Array, offset: number, length: number, flags: number): number;
  send(fd: number, buffer: Uint8Array, offset: number, length: number, flags: number): number;
  recvfrom(
    fd: number,
    buffer: Uint8Array,
    offset: number,
    length: number,
    flags: number,
    address: Uint8Array,
    addressLength: Int32Array,
  ): number;
  sendto(
    fd: number,
    buffer: Uint8Array,
    offset: number,
    length: number,
    flags: number,
    address: Uint8Array,
    addressLength: number,
  ): number;
  getsockname(fd: number, address: Uint8Array, addressLength: Int32Array): number;
  getpeername(fd: number, address: Uint8Array, addressLength: Int32Array): number;
  getsockopt(fd: number, level: number, option: number, value: Uint8Array, valueLength: Int32Array): number;
  setsockopt(fd: number, level: number, option: number, value: Uint8Array, valueLength: number): number;
  /**
   * setsockopt(2) at SOL_SOCKET of the options that take a struct sock_fprog: SO_ATTACH_FILTER, SO_ATTACH_REUSEPORT_CBPF.
   * `program` is an array of struct sock_filter. The struct with their address is made here, so no caller gives one.
   */
  setsockopt_fprog(fd: number, option: number, program: Uint8Array, programLength: number): number;
  epoll_create1(flags: number): number;
  epoll_ctl(epollFd: number, operation: number, fd: number, event: Int32Array): number;
  epoll_wait(epollFd: number, events: Int32Array, maxEvents: number, timeoutMs: number): number;
  poll(fds: Uint8Array, count: number, timeoutMs: number): number;
  fcntl(fd: number, command: number, argument: number): number;
  open(path: string, flags: number): number;
  getrlimit(resource: number, limit: Uint8Array): number;
  setrlimit(resource: number, limit: Uint8Array): number;
  if_nametoindex(name: string): number;
  eventfd(initial: number, flags: number): number;
  read(fd: number, buffer: Uint8Array, offset: number, length: number): number;
  /**
   * C's `&bytes[offset]`, for the structs that hold addresses, if there are `length` bytes from there on. It is good for as long as
   * somebody holds on to `bytes`.
   */
  addressOf(bytes: Uint8Array, offset: number, length: number): number;
  /** Maps `length` bytes of a ring into `mapping.memory`; answers 0. Nothing may look at that memory after munmap. */
  mmap(mapping: Mapping, length: number, fd: number, offset: number): number;
  munmap(mapping: Mapping): number;
  io_uring_setup(entries: number, params: Uint8Array): number;
  io_uring_enter(ringFd: number, toSubmit: number, minComplete: number, flags: number): number;
  io_uring_register(ringFd: number, operation: number, argument: Uint8Array, count: number): number;
}

/** Memory that is shared with the kernel; null while there is none. */
export interface Mapping {
  memory: ArrayBuffer | null;
}

// load(null) is dlopen(NULL): the symbols of the running process, which has libc in it, be it glibc or musl.
const symbols = koffi.load(null);

// koffi knows neither ssize_t nor socklen_t: int64 and uint32 have their sizes on both supported architectures.
// fcntl(2) and open(2) are variadic in C, which for integer arguments makes no difference on either of them.
const c = {
  socket: symbols.func('int socket(int domain, int type, int protocol)'),
  bind: symbols.func('int bind(int fd, const void *addr, uint32 len)'),
  listen: symbols.func('int listen(int fd, int backlog)'),
  accept4: symbols.func('int accept4(int fd, void *addr, void *len, int flags)'),
  connect: symbols.func('int connect(int fd, const void *addr, uint32 len)'),
  shutdown: symbols.func('int shutdown(int fd, int how)'),
  close: symbols.func('int close(int fd)'),
  recv: symbols.func('int64 recv(int fd, void *buf, size_t len, int flags)'),
  send: symbols.func('int64 send(int fd, const void *buf, size_t len, int flags)'),
  recvfrom: symbols.func('int64 recvfrom(int fd, void *buf, size_t len, int flags, void *addr, void *addrlen)'),
  sendto: symbols.func(
    'int64 sendto(int fd, const void *buf, size_t len, int flags, const void *addr, uint32 addrlen)',
  ),
  getsockname: symbols.func('int getsockname(int fd, void *addr, void *len)'),
  getpeername: symbols.func('int getpeername(int fd, void *addr, void *len)'),
  getsockopt: symbols.func('int getsockopt(int fd, int level, int name, void *value, void *len)'),
  setsockopt: symbols.func('int setsockopt(int fd, int level, int name, const void *value, uint32 len)'),
  epoll_create1: symbols.func('int epoll_create1(int flags)'),
  epoll_ctl: symbols.func('int epoll_ctl(int epfd, int op, int fd, void *event)'),
  epoll_wait: symbols.func('int epoll_wait(int epfd, void *events, int maxevents, int timeout)'),
  poll: symbols.func('int poll(void *fds, ulong nfds, int timeout)'),
  fcntl: symbols.func('int fcntl(int fd, int op, int arg)'),
  open: symbols.func('int open(const char *path, int flags, uint32 mode)'),
  getrlimit: symbols.func('int getrlimit(int resource, void *rlim)'),
  setrlimit: symbols.func('int setrlimit(int resource, const void *rlim)'),
  if_nametoindex: symbols.func('uint32 if_nametoindex(const char *name)'),
  eventfd: symbols.func('int eventfd(uint32 initval, int flags)'),
  read: symbols.func('int64 read(int fd, void *buf, size_t len)'),
  mmap: symbols.func('int64 mmap(void *addr, size_t len, int prot, int flags, int fd, int64 offset)'),
  munmap: symbols.func('int munmap(void *addr, size_t len)'),
  // syscall(2) is variadic: each of these is the same function with other arguments.
  io_uring_setup: symbols.func('syscall', 'int64', ['int64', 'uint32', 'void *']),
  io_uring_enter: symbols.func('syscall', 'int64', ['int64', 'int', 'uint32', 'uint32', 'uint32', 'void *', 'size_t']),
  io_uring_register: symbols.func('syscall', 'int64', ['int64', 'int', 'uint32', 'void *', 'uint32']),
  __errno_location: symbols.func('void *__errno_location()'),
};

// errno is a macro for *__errno_location(), a cell of the calling thread. Each worker thread evaluates this module anew
// and so sees its own cell. The cell must be read before anything else may call into C.
const errno = new Int32Array(koffi.view(c.__errno_location(), 4));

function answer(result: number): number {
  return result < 0 ? -(errno[0] as number) : result;
}

/** Those of fcntl(2) that take an integer. */
const fcntlCommands = [F_GETFD, F_SETFD, F_GETFL, F_SETFL];

function checkInteger(value: number, what: string): void {
  if ((value | 0) !== value) throw new TypeError(`${what} must be a 32-bit integer, not ${String(value)}`);
}

function checkFd(fd: number): void {
  if ((fd | 0) !== fd) throw new TypeError(`a file descriptor must be an integer, not ${String(fd)}`);
}

function checkRange(bytes: Uint8Array, offset: number, length: number): void {
  if (!(bytes instanceof Uint8Array)) throw new TypeError('a buffer must be a Uint8Array');
  if ((offset | 0) !== offset || (length | 0) !== length || offset < 0 || length < 0) {
    throw new RangeError(`offset and length must be integers >= 0, not ${String(offset)} and ${String(length)}`);
  }
  const byteLength = trueByteLength(bytes);
  if (offset + length > byteLength) {
    throw new RangeError(`offset ${offset} + length ${length} is outside a buffer of ${byteLength} bytes`);
  }
}

/**
 * The length that the kernel reads and writes, instead of the caller's: in memory of our own, which no other thread can
 * change between the check and the call, as it could a SharedArrayBuffer.
 */
const room = new Int32Array(1);

/** Takes the room from the caller's cell, if `bytes` has as much. `givingBack` is the way back. */
function takeRoom(cell: Int32Array, bytes: Uint8Array): void {
  checkRange(bytes, 0, 0);
  const length = cell instanceof Int32Array ? (cell[0] as number) : undefined;
  if (length === undefined || (length | 0) !== length) throw new TypeError('a length must be an Int32Array');
  const byteLength = trueByteLength(bytes);
  if (length < 0 || length > byteLength) {
    throw new RangeError(`a length of ${length} is outside a buffer of ${byteLength} bytes`);
  }
  room[0] = length;
}

/** Leaves in the caller's cell what the kernel left in ours, and passes the answer of the call on. */
function givingBack(cell: Int32Array, result: number): number {
  cell[0] = room[0] as number;
  return result;
}

const WORD_SIZE = 4;
const INT_SIZE = 4;

function checkEvents(events: Int32Array, count: number): void {
  if (!(events instanceof Int32Array)) throw new TypeError('epoll events must be an Int32Array');
  checkInteger(count, 'maxEvents');
  const words = trueByteLength(events) / WORD_SIZE;
  if (count < 1 || count * EPOLL_EVENT_WORDS > words) {
    throw new RangeError(`${count} epoll events do not fit into ${words} words`);
  }
}

/** Options that hold an address: nothing here can tell whose memory the kernel would read, or write, there. */
function checkOption(level: number, option: number): void {
  const isOfFilter =
    (level === SOL_SOCKET && (option === SO_ATTACH_FILTER || option === SO_ATTACH_REUSEPORT_CBPF)) ||
    (level === IPPROTO_IP && option >= NETFILTER_OPTIONS) ||
    (level === IPPROTO_IPV6 && option === NETFILTER_OPTIONS);
  if (isOfFilter) throw new RangeError(`option ${option} of level ${level} holds an address, and is not known here`);
  // MSG_ZEROCOPY sends from our memory after the call has returned, when it may be somebody else's.
  if (level === SOL_SOCKET && option === SO_ZEROCOPY) throw new RangeError('SO_ZEROCOPY is not known here');
}

/** The two options whose address we make ourselves, in setsockopt_fprog. */
function checkFilter(option: number, program: Uint8Array, programLength: number): void {
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
 * struct sock_fprog with its instructions behind it, all in one piece of memory: the call holds the struct, and so what it
 * points to. It is our own, so nobody can take it away or move it in between.
 */
function makeFprog(program: Uint8Array, programLength: number): Uint8Array {
  const memory = new Uint8Array(new ArrayBuffer(SOCK_FPROG_SIZE + programLength));
  for (let i = 0; i < programLength; i++) memory[SOCK_FPROG_SIZE + i] = program[i] as number;
  const struct = new DataView(memory.buffer);
  struct.setUint16(0, programLength / SOCK_FILTER_SIZE, true);
  struct.setBigUint64(8, koffi.address(memory) + BigInt(SOCK_FPROG_SIZE), true);
  return memory;
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

function checkRegistration(operation: number, argument: Uint8Array, count: number): void {
  const sizeOf = registerSizes[operation];
  if (sizeOf === undefined) throw new RangeError(`io_uring_register ${String(operation)} is not known here`);
  checkInteger(count, 'count');
  checkRange(argument, 0, sizeOf(count));
  if (operation !== IORING_REGISTER_PBUF_RING) return;
  const struct = new DataView(trueBuffer(argument), trueByteOffset(argument), IO_URING_BUF_REG_SIZE);
  const isMadeByKernel = (struct.getUint16(14, true) & IOU_PBUF_RING_MMAP) !== 0;
  if (!isMadeByKernel || struct.getBigUint64(0, true) !== 0n)
    throw new RangeError('a buffer ring is made by the kernel');
}

/** Where each mapping lies, so that only what mmap has made here can be unmapped, and once. */
const mappedAt = new WeakMap<Mapping, { address: number; length: number }>();

function checkMapping(mapping: Mapping): void {
  if (typeof mapping !== 'object' || mapping === null) throw new TypeError('a mapping must be an object');
}

function checkString(text: string): void {
  if (typeof text !== 'string' || text.includes('\0')) throw new TypeError('a C string is text without NUL');
}

/** C's `buf + offset`. As an object, and not as a number that koffi.address could give: so the memory stays alive. */
function pointer(bytes: Uint8Array, offset: number): Uint8Array {
  if (offset === 0) return bytes;
  return new Uint8Array(trueBuffer(bytes), trueByteOffset(bytes) + offset); // subarray() may be overridden
}

/**
 * Where the bytes of the last buffer lie. koffi asks V8 for that in each call, which costs half as much as the whole call,
 * and a server receives into one buffer and sends from one.
 *
 * The buffer is held here, so the address cannot outlive its memory. Bytes that were transferred or shrunk away meanwhile
 * are no danger either: `checkRange` comes first, and to it such a buffer is too short.
 */
class LastPointer {
  #bytes: Uint8Array | null = null;
  #address: bigint | null = null;

  of(bytes: Uint8Array, offset: number): Uint8Array | bigint {
    if (offset !== 0) return pointer(bytes, offset);
    if (bytes === this.#bytes) {
      this.#address ??= koffi.address(bytes); // only now: most buffers are seen once
      return this.#address;
    }
    this.#bytes = bytes;
    this.#address = null;
    return bytes;
  }
}

const lastReceived = new LastPointer();
const lastSent = new LastPointer();

/** The calls of the real kernel. Mutable on purpose: tracing.ts swaps entries in place. */
export const libc: Libc = {
  socket(domain, type, protocol) {
    checkInteger(domain, 'domain');
    checkInteger(type, 'type');
    checkInteger(protocol, 'protocol');
    return answer(c.socket(domain, type, protocol));
  },
  bind(fd, address, addressLength) {
    checkFd(fd);
    checkRange(address, 0, addressLength);
    return answer(c.bind(fd, address, addressLength));
  },
  listen(fd, backlog) {
    checkFd(fd);
    checkInteger(backlog, 'backlog');
    return answer(c.listen(fd, backlog));
  },
  accept4(fd, address, addressLength, flags) {
    checkFd(fd);
    checkInteger(flags, 'flags');
    if (address === null || addressLength === null) return answer(c.accept4(fd, null, null, flags));
    takeRoom(addressLength, address);
    return givingBack(addressLength, answer(c.accept4(fd, address, room, flags)));
  },
  connect(fd, address, addressLength) {
    checkFd(fd);
    checkRange(address, 0, addressLength);
    return answer(c.connect(fd, address, addressLength));
  },
  shutdown(fd, how) {
    checkFd(fd);
    checkInteger(how, 'how');
    return answer(c.shutdown(fd, how));
  },
  close(fd) {
    checkFd(fd);
    return answer(c.close(fd));
  },
  recv(fd, buffer, offset, length, flags) {
    checkFd(fd);
    checkRange(buffer, offset, length);
    checkInteger(flags, 'flags');
    return answer(c.recv(fd, lastReceived.of(buffer, offset), length, flags));
  },
  send(fd, buffer, offset, length, flags) {
    checkFd(fd);
    checkRange(buffer, offset, length);
    checkInteger(flags, 'flags');
    return answer(c.send(fd, lastSent.of(buffer, offset), length, flags));
  },
  recvfrom(fd, buffer, offset, length, flags, address, addressLength) {
    checkFd(fd);
    checkRange(buffer, offset, length);
    checkInteger(flags, 'flags');
    takeRoom(addressLength, address);
    return givingBack(addressLength, answer(c.recvfrom(fd, pointer(buffer, offset), length, flags, address, room)));
  },
  sendto(fd, buffer, offset, length, flags, address, addressLength) {
    checkFd(fd);
    checkRange(buffer, offset, length);
    checkInteger(flags, 'flags');
    checkRange(address, 0, addressLength);
    return answer(c.sendto(fd, pointer(buffer, offset), length, flags, address, addressLength));
  },
  getsockname(fd, address, addressLength) {
    checkFd(fd);
    takeRoom(addressLength, address);
    return givingBack(addressLength, answer(c.getsockname(fd, address, room)));
  },
  getpeername(fd, address, addressLength) {
    checkFd(fd);
    takeRoom(addressLength, address);
    return givingBack(addressLength, answer(c.getpeername(fd, address, room)));
  },
  getsockopt(fd, level, option, value, valueLength) {
    checkFd(fd);
    checkInteger(level, 'level');
    checkInteger(option, 'option');
    takeRoom(valueLength, value);
    // SO_GET_FILTER counts in instructions of eight bytes: it would write eight times as much as there is room for. Without
    // room it writes nothing and answers how many there are.
    if (level === SOL_SOCKET && option === SO_GET_FILTER && room[0] !== 0) {
      throw new RangeError('SO_GET_FILTER is not known here but for the number of instructions, with a length of 0');
    }
    // Some options first read what is there, and believe it: IP_MSFILTER a count of addresses, for which it needs no room,
    // TCP_ZEROCOPY_RECEIVE an address to write to. So the kernel gets zeros, and of its answer what fits is copied.
    const zeros = new Uint8Array(room[0] as number);
    const result = givingBack(valueLength, answer(c.getsockopt(fd, level, option, zeros, room)));
    for (let i = 0; result >= 0 && i < zeros.length && i < (room[0] as number); i++) value[i] = zeros[i] as number;
    return result;
  },
  setsockopt(fd, level, option, value, valueLength) {
    checkFd(fd);
    checkInteger(level, 'level');
    checkInteger(option, 'option');
    checkRange(value, 0, valueLength);
    checkOption(level, option);
    return answer(c.setsockopt(fd, level, option, value, valueLength));
  },
  setsockopt_fprog(fd, option, program, programLength) {
    checkFd(fd);
    checkFilter(option, program, programLength);
    return answer(c.setsockopt(fd, SOL_SOCKET, option, makeFprog(program, programLength), SOCK_FPROG_SIZE));
  },
  epoll_create1(flags) {
    checkInteger(flags, 'flags');
    return answer(c.epoll_create1(flags));
  },
  epoll_ctl(epollFd, operation, fd, event) {
    checkFd(epollFd);
    checkInteger(operation, 'operation');
    checkFd(fd);
    checkEvents(event, 1);
    return answer(c.epoll_ctl(epollFd, operation, fd, event));
  },
  epoll_wait(epollFd, events, maxEvents, timeoutMs) {
    checkFd(epollFd);
    checkInteger(timeoutMs, 'timeoutMs');
    checkEvents(events, maxEvents);
    return answer(c.epoll_wait(epollFd, events, maxEvents, timeoutMs));
  },
  poll(fds, count, timeoutMs) {
    checkInteger(count, 'count');
    checkRange(fds, 0, count * POLLFD_SIZE);
    checkInteger(timeoutMs, 'timeoutMs');
    return answer(c.poll(fds, count, timeoutMs));
  },
  fcntl(fd, command, argument) {
    checkFd(fd);
    // Others take a pointer: an integer there would make the kernel write to that address.
    if (!fcntlCommands.includes(command)) throw new RangeError(`fcntl command ${String(command)} is not known here`);
    checkInteger(argument, 'argument');
    return answer(c.fcntl(fd, command, argument));
  },
  open(path, flags) {
    checkString(path);
    checkInteger(flags, 'flags');
    return answer(c.open(path, flags, 0));
  },
  getrlimit(resource, limit) {
    checkInteger(resource, 'resource');
    checkRange(limit, 0, RLIMIT_SIZE);
    return answer(c.getrlimit(resource, limit));
  },
  setrlimit(resource, limit) {
    checkInteger(resource, 'resource');
    checkRange(limit, 0, RLIMIT_SIZE);
    return answer(c.setrlimit(resource, limit));
  },
  if_nametoindex(name) {
    checkString(name);
    // The one call here whose failure is 0: no interface has that index.
    const index = c.if_nametoindex(name);
    return index === 0 ? -(errno[0] as number) : index;
  },
  eventfd(initial, flags) {
    checkInteger(initial, 'initial');
    checkInteger(flags, 'flags');
    return answer(c.eventfd(initial, flags));
  },
  read(fd, buffer, offset, length) {
    checkFd(fd);
    checkRange(buffer, offset, length);
    return answer(c.read(fd, pointer(buffer, offset), length));
  },
  addressOf(bytes, offset, length) {
    checkRange(bytes, offset, length);
    if (length === 0) throw new RangeError('where there are no bytes there is no address of them');
    return Number(koffi.address(bytes)) + offset; // Linux gives no program addresses of more than 52 bits unless it asks for them
  },
  mmap(mapping, length, fd, offset) {
    checkMapping(mapping);
    checkInteger(length, 'length');
    checkFd(fd);
    if (!Number.isSafeInteger(offset)) throw new TypeError(`an offset must be an integer, not ${String(offset)}`);
    if (mappedAt.has(mapping)) throw new TypeError('it is mapped already');
    const address = answer(c.mmap(null, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset));
    if (address < 0) return address;
    mapping.memory = koffi.view(BigInt(address), length);
    mappedAt.set(mapping, { address, length });
    return 0;
  },
  munmap(mapping) {
    checkMapping(mapping);
    const place = mappedAt.get(mapping);
    if (place === undefined) return -EINVAL;
    mappedAt.delete(mapping);
    mapping.memory = null;
    return answer(c.munmap(BigInt(place.address), place.length));
  },
  io_uring_setup(entries, params) {
    checkInteger(entries, 'entries');
    checkRange(params, 0, IO_URING_PARAMS_SIZE);
    return answer(c.io_uring_setup(SYS_IO_URING_SETUP, entries, params));
  },
  io_uring_enter(ringFd, toSubmit, minComplete, flags) {
    checkFd(ringFd);
    checkInteger(toSubmit, 'toSubmit');
    checkInteger(minComplete, 'minComplete');
    checkInteger(flags, 'flags');
    return answer(c.io_uring_enter(SYS_IO_URING_ENTER, ringFd, toSubmit, minComplete, flags, null, 0));
  },
  io_uring_register(ringFd, operation, argument, count) {
    checkFd(ringFd);
    checkRegistration(operation, argument, count);
    return answer(c.io_uring_register(SYS_IO_URING_REGISTER, ringFd, operation, argument, count));
  },
};
