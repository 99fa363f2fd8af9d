/**
 * simulatedLibc: the calls of simplenet/kernel/libc.ts, made on a simulated kernel.
 *
 * Each call checks its arguments as the real table does, and an invalid argument throws here, too, after it was recorded as a
 * misuse. Then a fault may happen; then the file does the call. If several arguments are wrong, the error is the one that Linux
 * would return, where that matters: accept4(2), for example, checks its descriptor first.
 *
 * Next: linux-scenarios.ts
 */

import { constants } from 'node:os';
import {
  AF_INET,
  AF_INET6,
  AF_UNIX,
  EAGAIN,
  EBADF,
  ECONNABORTED,
  EINPROGRESS,
  EINTR,
  EINVAL,
  EMFILE,
  ENOBUFS,
  EOPNOTSUPP,
  EPOLL_CLOEXEC,
  EPOLL_EVENT_WORDS,
  EPOLLERR,
  EPOLLHUP,
  F_GETFL,
  F_SETFD,
  F_SETFL,
  FD_CLOEXEC,
  MSG_DONTWAIT,
  MSG_MORE,
  MSG_NOSIGNAL,
  MSG_PEEK,
  MSG_TRUNC,
  O_CLOEXEC,
  O_NONBLOCK,
  POLLFD_SIZE,
  RLIMIT_NOFILE,
  RLIMIT_SIZE,
  SHUT_RDWR,
  SO_ATTACH_FILTER,
  SO_GET_FILTER,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOCKADDR_IN_SIZE,
  SOCKADDR_IN6_SIZE,
  SOL_SOCKET,
} from '../../simplenet/kernel/abi.ts';
import type { Libc } from '../../simplenet/kernel/libc.ts';
import { decodeSocketAddress, encodeSocketAddress, type SocketAddress } from '../../simplenet/kernel/socket-address.ts';
import { SimulatedDatagramSocket } from './simulated-datagram-socket.ts';
import { SimulatedEpoll } from './simulated-epoll.ts';
import type { SimulatedFaults } from './simulated-faults.ts';
import { type SimulatedFile, SimulatedNullDevice, SimulatedRegularFile } from './simulated-file.ts';
import { SimulatedFilter } from './simulated-filter.ts';
import type { SimulatedKernel } from './simulated-kernel.ts';
import type { Received, SimulatedSocket } from './simulated-socket.ts';
import { SimulatedStreamSocket } from './simulated-stream-socket.ts';
import { SimulatedTcpSocket } from './simulated-tcp-socket.ts';
import { SimulatedUnixStreamSocket } from './simulated-unix-socket.ts';

const { EAFNOSUPPORT, EALREADY, ENODEV, ENOENT, ENOSYS, ENOTCONN, EPERM } = constants.errno;
/** Node's own table does not have it. */
const ESOCKTNOSUPPORT = 94;

const POLLNVAL = 0x20;
const O_RDWR = 2;
const AF_UNSPEC = 0;
const SOCK_FLAGS = SOCK_NONBLOCK | SOCK_CLOEXEC;
const RECV_FLAGS = MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT | MSG_NOSIGNAL;
/** MSG_MORE lets the kernel wait with a packet; that it arrives is all that can be seen. */
const SEND_FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE;

/** `isFaulty` false: for the test's own end, without the faults of single calls and without being counted. */
export function simulatedLibc(kernel: SimulatedKernel, isFaulty: boolean): Libc {
  const happens = (fault: keyof SimulatedFaults) => {
    if (!isFaulty || !kernel.random.chance(kernel.faults[fault])) return false;
    kernel.happened[fault]++;
    return true;
  };
  const count = (call: string) => {
    if (isFaulty) kernel.count(call);
  };

  function misuse(error: Error): never {
    kernel.violate(error.message);
    throw error;
  }

  function checkIntegers(call: string, ...values: number[]): void {
    for (const value of values) {
      if ((value | 0) !== value) misuse(new TypeError(`${call}: ${String(value)} is not a 32-bit integer`));
    }
  }

  function checkRange(call: string, bytes: Uint8Array, offset: number, length: number): void {
    if (!(bytes instanceof Uint8Array)) misuse(new TypeError(`${call}: a buffer must be a Uint8Array`));
    checkIntegers(call, offset, length);
    if (offset < 0 || length < 0 || offset + length > bytes.byteLength) {
      misuse(new RangeError(`${call}: ${offset} + ${length} is outside a buffer of ${bytes.byteLength} bytes`));
    }
  }

  function checkCell(call: string, cell: Int32Array, room: number): void {
    if (!(cell instanceof Int32Array) || cell.length < 1) {
      misuse(new TypeError(`${call}: a length must be an Int32Array`));
    }
    if ((cell[0] as number) < 0 || (cell[0] as number) > room) {
      misuse(new RangeError(`${call}: a length of ${cell[0]} is outside a buffer of ${room} bytes`));
    }
  }

  function checkEvents(call: string, events: Int32Array, most: number): void {
    if (!(events instanceof Int32Array)) misuse(new TypeError(`${call}: epoll events must be an Int32Array`));
    checkIntegers(call, most);
    if (most < 1 || most * EPOLL_EVENT_WORDS > events.length) {
      misuse(new RangeError(`${call}: ${most} epoll events do not fit into ${events.length} words`));
    }
  }

  function withFile(call: string, fd: number, action: (file: SimulatedFile) => number): number {
    checkIntegers(call, fd);
    const file = kernel.use(call, fd);
    return file === undefined ? -EBADF : action(file);
  }

  function withSocket(call: string, fd: number, action: (socket: SimulatedSocket) => number): number {
    return withFile(call, fd, (file) => {
      const socket = kernel.socketOf(file);
      return typeof socket === 'number' ? socket : action(socket);
    });
  }

  /** What Linux may answer instead of doing anything. */
  function refusal(file: SimulatedFile, flags: number): number {
    if (happens('interrupt')) return -EINTR;
    const waits = !file.nonBlocking && (flags & MSG_DONTWAIT) === 0;
    return !waits && happens('spuriousAgain') ? -EAGAIN : 0;
  }

  function receive(call: string, socket: SimulatedSocket, target: Uint8Array, flags: number): Received {
    if ((flags & ~RECV_FLAGS) !== 0) throw new Error(`${call}: flags ${flags.toString(16)} are not simulated`);
    const refused = refusal(socket, flags);
    if (refused < 0) return { result: refused };
    if (socket instanceof SimulatedTcpSocket && happens('reset')) socket.breakConnection();
    let wanted = target;
    if (socket instanceof SimulatedStreamSocket) {
      const most = Math.min(target.length, socket.incoming.length);
      if (most > 1 && happens('shortRead')) wanted = target.subarray(0, 1 + kernel.random.below(most - 1));
    }
    let received: Received = { result: -EAGAIN };
    kernel.wait(call, socket, flags, () => {
      received = socket.receive(wanted, (flags & MSG_PEEK) !== 0, (flags & MSG_TRUNC) !== 0);
      return received.result;
    });
    return received;
  }

  function send(
    call: string,
    socket: SimulatedSocket,
    bytes: Uint8Array,
    flags: number,
    to: SocketAddress | null,
  ): number {
    if ((flags & ~SEND_FLAGS) !== 0) throw new Error(`${call}: flags ${flags.toString(16)} are not simulated`);
    const refused = refusal(socket, flags);
    if (refused < 0) return refused;
    if (happens('noBuffers')) return -ENOBUFS;
    if (socket instanceof SimulatedTcpSocket && happens('reset')) socket.breakConnection();
    if (!(socket instanceof SimulatedStreamSocket)) {
      return kernel.wait(call, socket, flags, () => socket.send(bytes, to));
    }
    let wanted = bytes;
    const most = Math.min(bytes.length, socket.sendRoom);
    if (most > 1 && happens('shortWrite')) wanted = bytes.subarray(0, 1 + kernel.random.below(most - 1));
    const waits = !socket.nonBlocking && (flags & MSG_DONTWAIT) === 0;
    let sent = 0;
    const result = kernel.wait(call, socket, flags, () => {
      const part = socket.send(wanted.subarray(sent), to);
      if (part < 0) return part;
      sent += part;
      return waits && sent < wanted.length ? -EAGAIN : sent;
    });
    return result < 0 && sent > 0 ? sent : result;
  }

  return {
    socket(domain, type, protocol) {
      count('socket');
      checkIntegers('socket', domain, type, protocol);
      const bareType = type & ~SOCK_FLAGS;
      if (domain !== AF_INET && domain !== AF_INET6 && domain !== AF_UNIX) return -EAFNOSUPPORT;
      if (bareType !== SOCK_STREAM && bareType !== SOCK_DGRAM) return -ESOCKTNOSUPPORT;
      if (happens('tooManyFiles')) return -EMFILE;
      return kernel.install(() => {
        const socket = newSocket(kernel, domain, bareType);
        socket.nonBlocking = (type & SOCK_NONBLOCK) !== 0;
        socket.closeOnExec = (type & SOCK_CLOEXEC) !== 0;
        return socket;
      });
    },

    bind(fd, address, addressLength) {
      count('bind');
      checkRange('bind', address, 0, addressLength);
      return withSocket('bind', fd, (socket) => {
        const decoded = decodeFor(socket, address, addressLength);
        return typeof decoded === 'number' ? decoded : socket.bind(decoded);
      });
    },

    listen(fd, backlog) {
      count('listen');
      checkIntegers('listen', backlog);
      return withSocket('listen', fd, (socket) => socket.listen(backlog));
    },

    accept4(fd, address, addressLength, flags) {
      count('accept4');
      checkIntegers('accept4', flags);
      if (address !== null && addressLength !== null) checkCell('accept4', addressLength, address.byteLength);
      return withSocket('accept4', fd, (listener) => {
        if ((flags & ~SOCK_FLAGS) !== 0) return -EINVAL;
        if (happens('tooManyFiles')) return -EMFILE;
        const free = kernel.lowestFreeFd();
        if (free < 0) return free;
        if (!(listener instanceof SimulatedStreamSocket)) return -EOPNOTSUPP;
        const refused = refusal(listener, 0);
        if (refused < 0) return refused;
        if (happens('noBuffers')) return -ENOBUFS;
        if (listener instanceof SimulatedTcpSocket && listener.hasConnection && happens('connectionAborted')) {
          (listener.accept() as SimulatedTcpSocket).abort(true);
          kernel.network.wire.carryAll();
          return -ECONNABORTED;
        }
        return kernel.wait('accept4', listener, 0, () => {
          const connection = listener.accept();
          if (typeof connection === 'number') return connection;
          kernel.network.wire.carryAll();
          connection.nonBlocking = (flags & SOCK_NONBLOCK) !== 0;
          connection.closeOnExec = (flags & SOCK_CLOEXEC) !== 0;
          const { remote } = connection;
          if (address !== null && addressLength !== null) writeAddress(connection, remote, address, addressLength);
          return kernel.install(() => connection);
        });
      });
    },

    connect(fd, address, addressLength) {
      count('connect');
      checkRange('connect', address, 0, addressLength);
      return withSocket('connect', fd, (socket) => {
        const decoded = decodeFor(socket, address, addressLength);
        if (decoded === -EAFNOSUPPORT && familyIn(address, addressLength) === AF_UNSPEC) return socket.connect(null);
        if (typeof decoded === 'number') return decoded;
        const result = kernel.wait('connect', socket, 0, () => socket.connect(decoded));
        const isUnderWay = result === -EINPROGRESS || result === -EALREADY;
        if (!isUnderWay || socket.nonBlocking || !(socket instanceof SimulatedTcpSocket)) return result;
        // signal(7): an interrupted connect goes on by itself; made again, it waits for the outcome.
        if (happens('interrupt')) return -EINTR;
        kernel.wait('connect', socket, 0, () => (socket.isConnecting ? -EAGAIN : 0));
        return socket.connect(decoded);
      });
    },

    shutdown(fd, how) {
      count('shutdown');
      checkIntegers('shutdown', how);
      return withSocket('shutdown', fd, (socket) => (how < 0 || how > SHUT_RDWR ? -EINVAL : socket.shutdown(how)));
    },

    close(fd) {
      count('close');
      return withFile('close', fd, (file) => {
        kernel.remove(fd, file);
        return 0;
      });
    },

    recv(fd, buffer, offset, length, flags) {
      count('recv');
      checkRange('recv', buffer, offset, length);
      checkIntegers('recv', flags);
      return withSocket('recv', fd, (socket) => {
        return receive('recv', socket, buffer.subarray(offset, offset + length), flags).result;
      });
    },

    send(fd, buffer, offset, length, flags) {
      count('send');
      checkRange('send', buffer, offset, length);
      checkIntegers('send', flags);
      return withSocket('send', fd, (socket) => {
        return send('send', socket, buffer.subarray(offset, offset + length), flags, null);
      });
    },

    recvfrom(fd, buffer, offset, length, flags, address, addressLength) {
      count('recvfrom');
      checkRange('recvfrom', buffer, offset, length);
      checkIntegers('recvfrom', flags);
      checkCell('recvfrom', addressLength, address.byteLength);
      return withSocket('recvfrom', fd, (socket) => {
        const { result, from } = receive('recvfrom', socket, buffer.subarray(offset, offset + length), flags);
        if (result >= 0 && from !== undefined) writeAddress(socket, from, address, addressLength);
        else if (result >= 0) addressLength[0] = 0;
        return result;
      });
    },

    sendto(fd, buffer, offset, length, flags, address, addressLength) {
      count('sendto');
      checkRange('sendto', buffer, offset, length);
      checkIntegers('sendto', flags);
      checkRange('sendto', address, 0, addressLength);
      return withSocket('sendto', fd, (socket) => {
        const bytes = buffer.subarray(offset, offset + length);
        if (socket instanceof SimulatedTcpSocket) return send('sendto', socket, bytes, flags, null);
        const to = decodeFor(socket, address, addressLength);
        return typeof to === 'number' ? to : send('sendto', socket, bytes, flags, to);
      });
    },

    getsockname(fd, address, addressLength) {
      count('getsockname');
      checkCell('getsockname', addressLength, address.byteLength);
      return withSocket('getsockname', fd, (socket) => {
        writeAddress(socket, socket.local, address, addressLength);
        return 0;
      });
    },

    getpeername(fd, address, addressLength) {
      count('getpeername');
      checkCell('getpeername', addressLength, address.byteLength);
      return withSocket('getpeername', fd, (socket) => {
        const { peerName } = socket;
        if (peerName === null) return -ENOTCONN;
        writeAddress(socket, peerName, address, addressLength);
        return 0;
      });
    },

    getsockopt(fd, level, option, value, valueLength) {
      count('getsockopt');
      checkIntegers('getsockopt', level, option);
      checkCell('getsockopt', valueLength, value.byteLength);
      return withSocket('getsockopt', fd, (socket) => {
        if (level === SOL_SOCKET && option === SO_GET_FILTER) {
          if (valueLength[0] !== 0) throw new Error('only the length of a filter is simulated');
          valueLength[0] = socket instanceof SimulatedTcpSocket ? (socket.filter?.instructionCount ?? 0) : 0;
          return 0;
        }
        const known = socket.getOption(level, option);
        if (typeof known === 'number') return known;
        const stored = known.subarray(0, valueLength[0] as number);
        value.set(stored);
        valueLength[0] = stored.length;
        return 0;
      });
    },

    setsockopt(fd, level, option, value, valueLength) {
      count('setsockopt');
      checkIntegers('setsockopt', level, option);
      checkRange('setsockopt', value, 0, valueLength);
      return withSocket('setsockopt', fd, (socket) => {
        return socket.setOption(level, option, Buffer.from(value.subarray(0, valueLength)));
      });
    },

    setsockopt_fprog(fd, option, program, programLength) {
      count('setsockopt_fprog');
      checkIntegers('setsockopt_fprog', option);
      checkRange('setsockopt_fprog', program, 0, programLength);
      return withSocket('setsockopt_fprog', fd, (socket) => {
        if (!(socket instanceof SimulatedTcpSocket) || option !== SO_ATTACH_FILTER) {
          throw new Error('only filters of TCP sockets are simulated');
        }
        socket.filter = new SimulatedFilter(program.subarray(0, programLength));
        return 0;
      });
    },

    epoll_create1(flags) {
      count('epoll_create1');
      checkIntegers('epoll_create1', flags);
      if ((flags & ~EPOLL_CLOEXEC) !== 0) return -EINVAL;
      return kernel.install(() => {
        const epoll = new SimulatedEpoll(kernel.random);
        epoll.closeOnExec = (flags & EPOLL_CLOEXEC) !== 0;
        return epoll;
      });
    },

    epoll_ctl(epollFd, operation, fd, event) {
      count('epoll_ctl');
      checkIntegers('epoll_ctl', operation);
      checkEvents('epoll_ctl', event, 1);
      return withFile('epoll_ctl', epollFd, (epoll) =>
        withFile('epoll_ctl', fd, (file) => {
          if (!file.isPollable) return -EPERM;
          return epoll instanceof SimulatedEpoll ? epoll.control(operation, file, event) : -EINVAL;
        }),
      );
    },

    epoll_wait(epollFd, events, maxEvents, timeoutMs) {
      count('epoll_wait');
      checkIntegers('epoll_wait', timeoutMs);
      checkEvents('epoll_wait', events, maxEvents);
      return withFile('epoll_wait', epollFd, (epoll) => {
        if (!(epoll instanceof SimulatedEpoll)) return -EINVAL;
        if (happens('interrupt')) return -EINTR;
        if (happens('reset')) kernel.breakSomeConnection();
        return kernel.waitWithTimeout('epoll_wait', timeoutMs, () => epoll.wait(events, maxEvents));
      });
    },

    poll(fds, fdCount, timeoutMs) {
      count('poll');
      checkIntegers('poll', fdCount, timeoutMs);
      checkRange('poll', fds, 0, fdCount * POLLFD_SIZE);
      if (happens('interrupt')) return -EINTR;
      const entries = new DataView(fds.buffer, fds.byteOffset, fdCount * POLLFD_SIZE);
      return kernel.waitWithTimeout('poll', timeoutMs, () => {
        let ready = 0;
        for (let at = 0; at < entries.byteLength; at += POLLFD_SIZE) {
          const found = pollOne(kernel, entries.getInt32(at, true), entries.getInt16(at + 4, true));
          entries.setInt16(at + 6, found, true);
          if (found !== 0) ready++;
        }
        return ready;
      });
    },

    fcntl(fd, command, argument) {
      count('fcntl');
      checkIntegers('fcntl', command, argument);
      return withFile('fcntl', fd, (file) => {
        switch (command) {
          case F_GETFL:
            return (file instanceof SimulatedNullDevice ? 0 : O_RDWR) | (file.nonBlocking ? O_NONBLOCK : 0);
          case F_SETFL:
            file.nonBlocking = (argument & O_NONBLOCK) !== 0;
            return 0;
          case F_SETFD:
            file.closeOnExec = (argument & FD_CLOEXEC) !== 0;
            return 0;
          default:
            throw new Error(`fcntl command ${command} is not simulated`);
        }
      });
    },

    open(path, flags) {
      count('open');
      checkIntegers('open', flags);
      if (path !== '/dev/null') return -ENOENT;
      return kernel.install(() => {
        const file = new SimulatedNullDevice();
        file.closeOnExec = (flags & O_CLOEXEC) !== 0;
        return file;
      });
    },

    getrlimit(resource, limit) {
      count('getrlimit');
      checkRange('getrlimit', limit, 0, RLIMIT_SIZE);
      if (resource !== RLIMIT_NOFILE) return -EINVAL;
      const view = new DataView(limit.buffer, limit.byteOffset, RLIMIT_SIZE);
      view.setBigUint64(0, BigInt(kernel.limit.current), true);
      view.setBigUint64(8, BigInt(kernel.limit.most), true);
      return 0;
    },

    setrlimit(resource, limit) {
      count('setrlimit');
      checkRange('setrlimit', limit, 0, RLIMIT_SIZE);
      if (resource !== RLIMIT_NOFILE) return -EINVAL;
      const view = new DataView(limit.buffer, limit.byteOffset, RLIMIT_SIZE);
      const current = Number(view.getBigUint64(0, true));
      const most = Number(view.getBigUint64(8, true));
      if (current > most) return -EINVAL;
      if (most > kernel.limit.most) return -EPERM;
      Object.assign(kernel.limit, { current, most });
      return 0;
    },

    if_nametoindex(name) {
      count('if_nametoindex');
      return name === 'lo' ? 1 : -ENODEV;
    },

    openat2: () => -ENOSYS,

    pread(fd, buffer, offset, length, position) {
      count('pread');
      checkRange('pread', buffer, offset, length);
      return withFile('pread', fd, (file) => {
        if (!(file instanceof SimulatedRegularFile)) return -EINVAL;
        const bytes = file.bytes.subarray(position, position + length);
        buffer.set(bytes, offset);
        return bytes.length;
      });
    },

    sendfile(outFd, inFd, position, length) {
      count('sendfile');
      checkIntegers('sendfile', position, length);
      return withFile('sendfile', inFd, (file) => {
        if (!(file instanceof SimulatedRegularFile)) return -EINVAL;
        const bytes = file.bytes.subarray(position, position + length);
        if (bytes.length === 0) return 0;
        return withSocket('sendfile', outFd, (socket) => send('sendfile', socket, bytes, 0, null));
      });
    },

    // The kernel of this simulation is one without io_uring.
    eventfd: () => -ENOSYS,
    sendmsg: () => -ENOSYS,
    recvmsg: () => -ENOSYS,
    memfd_create: () => -ENOSYS,
    read: () => -ENOSYS,
    // Nor has it TAP devices: open refuses /dev/net/tun.
    write: () => -ENOSYS,
    ioctl: () => -ENOSYS,
    addressOf: () => -ENOSYS,
    mmap: () => -ENOSYS,
    munmap: () => -ENOSYS,
    io_uring_setup: () => -ENOSYS,
    io_uring_enter: () => -ENOSYS,
    io_uring_register: () => -ENOSYS,
  };

  /** poll(2): a negative fd is skipped, on purpose, so that callers can switch an entry off. */
  function pollOne(world: SimulatedKernel, fd: number, wanted: number): number {
    if (fd < 0) return 0;
    const file = world.use('poll', fd);
    return file === undefined ? POLLNVAL : file.readiness() & (wanted | EPOLLERR | EPOLLHUP);
  }
}

function newSocket(kernel: SimulatedKernel, family: number, type: number): SimulatedSocket {
  if (type === SOCK_DGRAM) return new SimulatedDatagramSocket(kernel.network, family);
  if (family === AF_UNIX) return new SimulatedUnixStreamSocket(kernel.network, family);
  return new SimulatedTcpSocket(kernel.network, family);
}

function familyIn(address: Uint8Array, length: number): number {
  return length < 2 ? -1 : (address[0] as number) | ((address[1] as number) << 8);
}

/** The address, or -errno where it is not one for this socket. Linux looks at the length first. */
function decodeFor(socket: SimulatedSocket, address: Uint8Array, length: number): SocketAddress | number {
  const family = familyIn(address, length);
  if (socket.family === AF_UNIX && family !== AF_UNIX) return -EINVAL;
  const least = socket.family === AF_INET ? SOCKADDR_IN_SIZE : SOCKADDR_IN6_SIZE;
  if (socket.family !== AF_UNIX && length < least && family !== AF_UNSPEC) return -EINVAL;
  if (family !== socket.family) return -EAFNOSUPPORT;
  return decodeSocketAddress(Buffer.from(address.subarray(0, length)), length);
}

/** As much as there is room for, and the true length, as accept(2) NOTES have it. */
function writeAddress(
  socket: SimulatedSocket,
  address: SocketAddress | null,
  target: Uint8Array,
  length: Int32Array,
): void {
  const bytes = encodeFor(socket.family, address);
  target.set(bytes.subarray(0, length[0] as number));
  length[0] = bytes.length;
}

function encodeFor(family: number, address: SocketAddress | null): Buffer {
  if (address === null) {
    if (family === AF_UNIX) return encodeFor(family, { path: '' });
    return encodeSocketAddress({ address: family === AF_INET6 ? '::' : '0.0.0.0', port: 0 });
  }
  if ('path' in address && address.path === '') return Buffer.from(new Uint16Array([AF_UNIX]).buffer);
  return encodeSocketAddress(address);
}
