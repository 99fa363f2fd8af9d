/**
 * The system calls on sockets and loops, as a table: they all go through the object `libc`.
 *
 * The calls are those of C, with three differences. A failed call returns `-errno`, as the kernel itself does. In C the
 * result is -1, and the caller must read errno as well; here one number is the whole result. A pointer is a typed array and an offset. Each argument is
 * checked first (libc-checks.ts).
 *
 * Call it as `libc.recv(...)`, and never keep a function of it in a variable: tracing.ts replaces the entries of this table. Tests
 * hand other tables of the same shape (a counting one, a simulated kernel) to the classes above.
 *
 * Next: ip-address.ts
 */

import {
  EINVAL,
  IO_URING_GETEVENTS_ARG_SIZE,
  IO_URING_PARAMS_SIZE,
  IORING_ENTER_EXT_ARG,
  MAP_POPULATE,
  MAP_SHARED,
  MSGHDR_CONTROLLEN,
  MSGHDR_FLAGS,
  OPEN_HOW_SIZE,
  POLLFD_SIZE,
  PROT_READ,
  PROT_WRITE,
  RLIMIT_SIZE,
  SO_GET_FILTER,
  SOCK_FPROG_SIZE,
  SOL_SOCKET,
  SYS_IO_URING_ENTER,
  SYS_IO_URING_REGISTER,
  SYS_IO_URING_SETUP,
  SYS_OPENAT2,
} from './abi.ts';
import { koffi } from './ffi.ts';
import {
  checkEvents,
  checkFcntlCommand,
  checkFd,
  checkFilter,
  checkInteger,
  checkIoctl,
  checkMapping,
  checkOption,
  checkPosition,
  checkRange,
  checkRegistration,
  checkString,
} from './libc-checks.ts';
import { c, lastErrno, resultOrErrno } from './libc-functions.ts';
import {
  lastReceived,
  lastSent,
  loadValueResult,
  makeFprog,
  makeMessage,
  makeOpenHow,
  messageControl,
  messageWord,
  offsetCell,
  pointer,
  storeValueResult,
  valueResult,
  waitLimit,
} from './libc-memory.ts';

/**
 * Every system call returns a number >= 0, or -errno. Its name and the order of its arguments are those of the man page; an offset follows
 * each pointer.
 *
 * ```ts
 * import { createEventLoop, type Libc, libc } from 'simplenet';
 *
 * let accepted = 0;
 * const counting: Libc = {
 *   ...libc,
 *   accept4(...args) {
 *     accepted++;
 *     return libc.accept4(...args);
 *   },
 * };
 * const loop = createEventLoop({ libc: counting });
 * ```
 */
export interface Libc {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array, addressLength: number): number;
  listen(fd: number, backlog: number): number;
  /** The kernel writes the peer into `address`. `addressLength[0]` is the room on entry, and the true size on return. */
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
  /** Sends one range of bytes, and the first `controlLength` bytes of control messages, cmsg(3). The structs that hold their addresses are built here. */
  sendmsg(
    fd: number,
    buffer: Uint8Array,
    offset: number,
    length: number,
    control: Uint8Array,
    controlLength: number,
    flags: number,
  ): number;
  /** `controlCells[0]` is the room in `control` on entry, and how much the kernel wrote on return. `controlCells[1]`, if it is there, gets `msg_flags`. */
  recvmsg(
    fd: number,
    buffer: Uint8Array,
    offset: number,
    length: number,
    control: Uint8Array,
    controlCells: Int32Array,
    flags: number,
  ): number;
  getsockname(fd: number, address: Uint8Array, addressLength: Int32Array): number;
  getpeername(fd: number, address: Uint8Array, addressLength: Int32Array): number;
  getsockopt(fd: number, level: number, option: number, value: Uint8Array, valueLength: Int32Array): number;
  setsockopt(fd: number, level: number, option: number, value: Uint8Array, valueLength: number): number;
  /**
   * setsockopt(2) at SOL_SOCKET, for the options that take a struct sock_fprog: SO_ATTACH_FILTER and SO_ATTACH_REUSEPORT_CBPF.
   * `program` is an array of struct sock_filter. The struct that holds its address is built here, so callers pass no address.
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
  memfd_create(name: string, flags: number): number;
  read(fd: number, buffer: Uint8Array, offset: number, length: number): number;
  /** On a socket use `send` with MSG_NOSIGNAL: write(2) to a socket whose peer has gone sends SIGPIPE. */
  write(fd: number, buffer: Uint8Array, offset: number, length: number): number;
  /** For TUNSETIFF alone: `argument` is a struct ifreq, and the kernel writes the name of the interface into it. */
  ioctl(fd: number, request: number, argument: Uint8Array): number;
  /** The struct open_how is built here. Its mode is 0: nothing is created. */
  openat2(dirFd: number, path: string, flags: number, resolve: number): number;
  pread(fd: number, buffer: Uint8Array, offset: number, length: number, position: number): number;
  /** From `position` of the file on; the position of its descriptor stays. Returns 0 at the end of the file. */
  sendfile(outFd: number, inFd: number, position: number, length: number): number;
  /**
   * C's `&bytes[offset]`, for structs that hold addresses. Throws if there are fewer than `length` bytes from there on. The address
   * is valid only while the caller holds `bytes`.
   */
  addressOf(bytes: Uint8Array, offset: number, length: number): number;
  /** Maps `length` bytes of a ring into `mapping.memory`; returns 0. Reading or writing that memory after munmap crashes the process. */
  mmap(mapping: Mapping, length: number, fd: number, offset: number): number;
  munmap(mapping: Mapping): number;
  io_uring_setup(entries: number, params: Uint8Array): number;
  /** Waits for `maxWaitMs` at most (IORING_ENTER_EXT_ARG), and then returns -ETIME if it has submitted nothing. -1 waits without limit. */
  io_uring_enter(ringFd: number, toSubmit: number, minComplete: number, flags: number, maxWaitMs?: number): number;
  io_uring_register(ringFd: number, operation: number, argument: Uint8Array, count: number): number;
}

/** Memory that is shared with the kernel; null while nothing is mapped. */
export interface Mapping {
  memory: ArrayBuffer | null;
}

/** The address of each mapping, so that munmap accepts only what mmap returned here, and only once. */
const mappedAt = new WeakMap<Mapping, { address: number; length: number }>();

/**
 * The calls of the real kernel. Mutable on purpose: tracing.ts replaces entries in place.
 *
 * ```ts
 * import { abi, libc, SystemError } from 'simplenet';
 *
 * const fd = libc.socket(abi.AF_INET, abi.SOCK_STREAM | abi.SOCK_CLOEXEC, 0);
 * if (fd < 0) throw new SystemError('socket', fd); // a failed call returns -errno
 * libc.close(fd);
 * ```
 */
export const libc: Libc = {
  socket(domain, type, protocol) {
    checkInteger(domain, 'domain');
    checkInteger(type, 'type');
    checkInteger(protocol, 'protocol');
    return resultOrErrno(c.socket(domain, type, protocol));
  },
  bind(fd, address, addressLength) {
    checkFd(fd);
    checkRange(address, 0, addressLength);
    return resultOrErrno(c.bind(fd, address, addressLength));
  },
  listen(fd, backlog) {
    checkFd(fd);
    checkInteger(backlog, 'backlog');
    return resultOrErrno(c.listen(fd, backlog));
  },
  accept4(fd, address, addressLength, flags) {
    checkFd(fd);
    checkInteger(flags, 'flags');
    if (address === null || addressLength === null) return resultOrErrno(c.accept4(fd, null, null, flags));
    loadValueResult(addressLength, address);
    return storeValueResult(addressLength, resultOrErrno(c.accept4(fd, address, valueResult, flags)));
  },
  connect(fd, address, addressLength) {
    checkFd(fd);
    checkRange(address, 0, addressLength);
    return resultOrErrno(c.connect(fd, address, addressLength));
  },
  shutdown(fd, how) {
    checkFd(fd);
    checkInteger(how, 'how');
    return resultOrErrno(c.shutdown(fd, how));
  },
  close(fd) {
    checkFd(fd);
    return resultOrErrno(c.close(fd));
  },
  recv(fd, buffer, offset, length, flags) {
    checkFd(fd);
    checkRange(buffer, offset, length);
    checkInteger(flags, 'flags');
    return resultOrErrno(c.recv(fd, lastReceived.of(buffer, offset), length, flags));
  },
  send(fd, buffer, offset, length, flags) {
    checkFd(fd);
    checkRange(buffer, offset, length);
    checkInteger(flags, 'flags');
    return resultOrErrno(c.send(fd, lastSent.of(buffer, offset), length, flags));
  },
  recvfrom(fd, buffer, offset, length, flags, address, addressLength) {
    checkFd(fd);
    checkRange(buffer, offset, length);
    checkInteger(flags, 'flags');
    loadValueResult(addressLength, address);
    return storeValueResult(
      addressLength,
      resultOrErrno(c.recvfrom(fd, pointer(buffer, offset), length, flags, address, valueResult)),
    );
  },
  sendto(fd, buffer, offset, length, flags, address, addressLength) {
    checkFd(fd);
    checkRange(buffer, offset, length);
    checkInteger(flags, 'flags');
    checkRange(address, 0, addressLength);
    return resultOrErrno(c.sendto(fd, pointer(buffer, offset), length, flags, address, addressLength));
  },
  sendmsg(fd, buffer, offset, length, control, controlLength, flags) {
    checkFd(fd);
    checkRange(buffer, offset, length);
    checkRange(control, 0, controlLength);
    checkInteger(flags, 'flags');
    const memory = makeMessage(pointer(buffer, offset), length, controlLength);
    messageControl(memory).set(control.subarray(0, controlLength));
    return resultOrErrno(c.sendmsg(fd, memory, flags));
  },
  recvmsg(fd, buffer, offset, length, control, controlCells, flags) {
    checkFd(fd);
    checkRange(buffer, offset, length);
    loadValueResult(controlCells, control);
    checkInteger(flags, 'flags');
    const memory = makeMessage(pointer(buffer, offset), length, valueResult[0] as number);
    const result = resultOrErrno(c.recvmsg(fd, memory, flags));
    if (result < 0) return result;
    const received = messageControl(memory).subarray(0, messageWord(memory, MSGHDR_CONTROLLEN));
    control.set(received);
    controlCells[0] = received.length;
    controlCells[1] = messageWord(memory, MSGHDR_FLAGS);
    return result;
  },
  getsockname(fd, address, addressLength) {
    checkFd(fd);
    loadValueResult(addressLength, address);
    return storeValueResult(addressLength, resultOrErrno(c.getsockname(fd, address, valueResult)));
  },
  getpeername(fd, address, addressLength) {
    checkFd(fd);
    loadValueResult(addressLength, address);
    return storeValueResult(addressLength, resultOrErrno(c.getpeername(fd, address, valueResult)));
  },
  getsockopt(fd, level, option, value, valueLength) {
    checkFd(fd);
    checkInteger(level, 'level');
    checkInteger(option, 'option');
    loadValueResult(valueLength, value);
    // SO_GET_FILTER counts the length in instructions of eight bytes, so it would write eight times as much as there is room for.
    // With length 0 it writes nothing, and returns the number of instructions.
    if (level === SOL_SOCKET && option === SO_GET_FILTER && valueResult[0] !== 0) {
      throw new RangeError(
        'SO_GET_FILTER is supported with a length of 0 only, which returns the number of instructions',
      );
    }
    // Some options read the value first and trust it: IP_MSFILTER reads a count of addresses and TCP_ZEROCOPY_RECEIVE an address to
    // write to. So the kernel gets zeros, and its result is copied back as far as it fits.
    const zeros = new Uint8Array(valueResult[0] as number);
    const result = storeValueResult(valueLength, resultOrErrno(c.getsockopt(fd, level, option, zeros, valueResult)));
    for (let i = 0; result >= 0 && i < zeros.length && i < (valueResult[0] as number); i++)
      value[i] = zeros[i] as number;
    return result;
  },
  setsockopt(fd, level, option, value, valueLength) {
    checkFd(fd);
    checkInteger(level, 'level');
    checkInteger(option, 'option');
    checkRange(value, 0, valueLength);
    checkOption(level, option);
    return resultOrErrno(c.setsockopt(fd, level, option, value, valueLength));
  },
  setsockopt_fprog(fd, option, program, programLength) {
    checkFd(fd);
    checkFilter(option, program, programLength);
    return resultOrErrno(c.setsockopt(fd, SOL_SOCKET, option, makeFprog(program, programLength), SOCK_FPROG_SIZE));
  },
  epoll_create1(flags) {
    checkInteger(flags, 'flags');
    return resultOrErrno(c.epoll_create1(flags));
  },
  epoll_ctl(epollFd, operation, fd, event) {
    checkFd(epollFd);
    checkInteger(operation, 'operation');
    checkFd(fd);
    checkEvents(event, 1);
    return resultOrErrno(c.epoll_ctl(epollFd, operation, fd, event));
  },
  epoll_wait(epollFd, events, maxEvents, timeoutMs) {
    checkFd(epollFd);
    checkInteger(timeoutMs, 'timeoutMs');
    checkEvents(events, maxEvents);
    return resultOrErrno(c.epoll_wait(epollFd, events, maxEvents, timeoutMs));
  },
  poll(fds, count, timeoutMs) {
    checkInteger(count, 'count');
    checkRange(fds, 0, count * POLLFD_SIZE);
    checkInteger(timeoutMs, 'timeoutMs');
    return resultOrErrno(c.poll(fds, count, timeoutMs));
  },
  fcntl(fd, command, argument) {
    checkFd(fd);
    checkFcntlCommand(command);
    checkInteger(argument, 'argument');
    return resultOrErrno(c.fcntl(fd, command, argument));
  },
  open(path, flags) {
    checkString(path);
    checkInteger(flags, 'flags');
    return resultOrErrno(c.open(path, flags, 0));
  },
  getrlimit(resource, limit) {
    checkInteger(resource, 'resource');
    checkRange(limit, 0, RLIMIT_SIZE);
    return resultOrErrno(c.getrlimit(resource, limit));
  },
  setrlimit(resource, limit) {
    checkInteger(resource, 'resource');
    checkRange(limit, 0, RLIMIT_SIZE);
    return resultOrErrno(c.setrlimit(resource, limit));
  },
  if_nametoindex(name) {
    checkString(name);
    // This call reports failure as 0, which is not the index of any interface.
    const index = c.if_nametoindex(name);
    return index === 0 ? -lastErrno() : index;
  },
  eventfd(initial, flags) {
    checkInteger(initial, 'initial');
    checkInteger(flags, 'flags');
    return resultOrErrno(c.eventfd(initial, flags));
  },
  memfd_create(name, flags) {
    checkString(name);
    checkInteger(flags, 'flags');
    return resultOrErrno(c.memfd_create(name, flags));
  },
  read(fd, buffer, offset, length) {
    checkFd(fd);
    checkRange(buffer, offset, length);
    return resultOrErrno(c.read(fd, lastReceived.of(buffer, offset), length));
  },
  write(fd, buffer, offset, length) {
    checkFd(fd);
    checkRange(buffer, offset, length);
    return resultOrErrno(c.write(fd, lastSent.of(buffer, offset), length));
  },
  ioctl(fd, request, argument) {
    checkFd(fd);
    checkIoctl(request, argument);
    return resultOrErrno(c.ioctl(fd, request, argument));
  },
  openat2(dirFd, path, flags, resolve) {
    checkFd(dirFd);
    checkString(path);
    checkInteger(flags, 'flags');
    checkInteger(resolve, 'resolve');
    return resultOrErrno(c.openat2(SYS_OPENAT2, dirFd, path, makeOpenHow(flags, resolve), OPEN_HOW_SIZE));
  },
  pread(fd, buffer, offset, length, position) {
    checkFd(fd);
    checkRange(buffer, offset, length);
    checkPosition(position);
    return resultOrErrno(c.pread(fd, lastReceived.of(buffer, offset), length, position));
  },
  sendfile(outFd, inFd, position, length) {
    checkFd(outFd);
    checkFd(inFd);
    checkPosition(position);
    checkInteger(length, 'length');
    if (length < 0) throw new RangeError(`a length must not be negative, as ${length} is`);
    offsetCell[0] = BigInt(position);
    return resultOrErrno(c.sendfile(outFd, inFd, offsetCell, length));
  },
  addressOf(bytes, offset, length) {
    checkRange(bytes, offset, length);
    if (length === 0) throw new RangeError('addressOf needs a length of 1 byte or more, not 0');
    return Number(koffi.address(bytes)) + offset; // exact: Linux places memory below 2^48 unless a program asks for more
  },
  mmap(mapping, length, fd, offset) {
    checkMapping(mapping);
    checkInteger(length, 'length');
    checkFd(fd);
    checkPosition(offset);
    if (mappedAt.has(mapping)) throw new TypeError('this mapping is in use: call munmap first');
    const address = resultOrErrno(c.mmap(null, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset));
    if (address < 0) return address;
    mapping.memory = koffi.view(BigInt(address), length);
    mappedAt.set(mapping, { address, length });
    return 0;
  },
  munmap(mapping) {
    checkMapping(mapping);
    const mapped = mappedAt.get(mapping);
    if (mapped === undefined) return -EINVAL;
    mappedAt.delete(mapping);
    mapping.memory = null;
    return resultOrErrno(c.munmap(BigInt(mapped.address), mapped.length));
  },
  io_uring_setup(entries, params) {
    checkInteger(entries, 'entries');
    checkRange(params, 0, IO_URING_PARAMS_SIZE);
    return resultOrErrno(c.io_uring_setup(SYS_IO_URING_SETUP, entries, params));
  },
  io_uring_enter(ringFd, toSubmit, minComplete, flags, maxWaitMs = -1) {
    checkFd(ringFd);
    checkInteger(toSubmit, 'toSubmit');
    checkInteger(minComplete, 'minComplete');
    checkInteger(flags, 'flags');
    checkInteger(maxWaitMs, 'maxWaitMs');
    const limit = maxWaitMs < 0 || minComplete === 0 ? null : waitLimit(maxWaitMs);
    const how = limit === null ? flags : flags | IORING_ENTER_EXT_ARG;
    const size = limit === null ? 0 : IO_URING_GETEVENTS_ARG_SIZE;
    return resultOrErrno(c.io_uring_enter(SYS_IO_URING_ENTER, ringFd, toSubmit, minComplete, how, limit, size));
  },
  io_uring_register(ringFd, operation, argument, count) {
    checkFd(ringFd);
    checkRegistration(operation, argument, count);
    return resultOrErrno(c.io_uring_register(SYS_IO_URING_REGISTER, ringFd, operation, argument, count));
  },
};
