/**
 * RemoteLibc: a table of system calls whose kernel is another process, socketd.
 *
 * NetSocket and UdpSocket make each call through a table, and the table can be replaced. This table sends the call over a Unix
 * domain socket and waits for the reply, just as the thread waits in a system call of the kernel. So a program that uses them runs
 * over the daemon without a change.
 *
 * Calls that concern this process and not the network return ENOSYS. That includes epoll, and so the event loop, which must be woken by
 * a descriptor of its own process.
 */

import { abi, type Libc, libc, NetSocket, SystemError } from '../../simplenet/index.ts';
import { range } from './socket-table.ts';
import { type Call, encodeRequest, MAX_BYTES, REPLY_HEAD_BYTES, type Reply } from './wire.ts';

const { EBADF, EINVAL, EMSGSIZE, ENETDOWN, ENOSYS, POLLNVAL } = abi;

/** From now on all calls through the table of this process go to the daemon on that path. */
export function useSocketd(path: string): void {
  const kernel = { ...libc }; // for the connection to the daemon itself
  Object.assign(libc, remoteLibc(NetSocket.connectTo({ path }, { libc: kernel })));
}

/** The other end of one connection to the daemon. */
class Daemon {
  readonly #socket: NetSocket;

  constructor(socket: NetSocket) {
    this.#socket = socket;
  }

  /** Sends a request and waits for the reply. If the daemon has gone, the result is ENETDOWN. */
  ask(call: Call, args: readonly number[], data?: Uint8Array): Required<Reply> {
    const frame = encodeRequest(call, args, data);
    try {
      this.#socket.writeAll(frame);
      const head = this.#read(REPLY_HEAD_BYTES);
      const rest = head === null ? null : this.#read(head.readUInt32LE(0));
      if (head !== null && rest !== null) {
        return { result: head.readInt32LE(4), trueLength: head.readInt32LE(8), data: rest };
      }
    } catch (error) {
      if (!(error instanceof SystemError)) throw error; // EPIPE or ECONNRESET, and EBADF for each later call
    }
    this.#socket.close();
    return { result: -ENETDOWN, trueLength: 0, data: Buffer.alloc(0) };
  }

  #read(length: number): Buffer | null {
    const bytes = Buffer.alloc(length);
    for (let filled = 0; filled < length; ) {
      const size = this.#socket.read(bytes, filled);
      if (size === 0) return null;
      filled += size;
    }
    return bytes;
  }
}

export function remoteLibc(socket: NetSocket): Libc {
  const daemon = new Daemon(socket);

  /** For calls whose reply is only a number. */
  const ask = (call: Call, args: readonly number[], data?: Uint8Array) => daemon.ask(call, args, data).result;

  /** For calls whose reply has an address or a value: as much as there is room for, and its true length. */
  const askInto = (call: Call, args: readonly number[], room: Uint8Array, cell: Int32Array): number => {
    const target = range(room, 0, cell[0] as number);
    const { result, trueLength, data } = daemon.ask(call, [...args, target.byteLength]);
    if (result < 0) return result;
    target.set(data.subarray(0, target.byteLength));
    cell[0] = trueLength;
    return result;
  };

  return {
    socket: (domain, type, protocol) => ask('socket', [domain, type, protocol]),
    bind: (fd, address, length) => ask('bind', [fd], range(address, 0, length)),
    listen: (fd, backlog) => ask('listen', [fd, backlog]),
    accept4(fd, address, addressLength, flags) {
      if (address === null || addressLength === null) return ask('accept4', [fd, flags, 0]);
      return askInto('accept4', [fd, flags], address, addressLength);
    },
    connect: (fd, address, length) => ask('connect', [fd], range(address, 0, length)),
    shutdown: (fd, how) => ask('shutdown', [fd, how]),
    close: (fd) => ask('close', [fd]),
    recv(fd, buffer, offset, length, flags) {
      const target = range(buffer, offset, length);
      const { result, data } = daemon.ask('recv', [fd, Math.min(length, MAX_BYTES), flags]);
      target.set(data.subarray(0, length));
      return result;
    },
    send: (fd, buffer, offset, length, flags) =>
      ask('send', [fd, flags], range(buffer, offset, length).subarray(0, MAX_BYTES)),
    recvfrom(fd, buffer, offset, length, flags, address, addressLength) {
      const target = range(buffer, offset, length);
      const room = range(address, 0, addressLength[0] as number);
      const args = [fd, Math.min(length, MAX_BYTES), flags, room.byteLength];
      const { result, trueLength, data } = daemon.ask('recvfrom', args);
      if (result < 0) return result;
      const size = Math.min(result, length); // with MSG_TRUNC the result is the true size
      target.set(data.subarray(0, size));
      room.set(data.subarray(size, size + room.byteLength));
      addressLength[0] = trueLength;
      return result;
    },
    sendto(fd, buffer, offset, length, flags, address, addressLength) {
      const bytes = range(buffer, offset, length);
      if (length > MAX_BYTES) return -EMSGSIZE; // as the kernel says of such a datagram
      return ask('sendto', [fd, flags, length], Buffer.concat([bytes, range(address, 0, addressLength)]));
    },
    getsockname: (fd, address, addressLength) => askInto('getsockname', [fd], address, addressLength),
    getpeername: (fd, address, addressLength) => askInto('getpeername', [fd], address, addressLength),
    getsockopt: (fd, level, option, value, length) => askInto('getsockopt', [fd, level, option], value, length),
    setsockopt: (fd, level, option, value, length) => ask('setsockopt', [fd, level, option], range(value, 0, length)),
    /** One descriptor, as Socket.wait has it. */
    poll(fds, count, timeoutMs) {
      if (count !== 1) return -EINVAL;
      range(fds, 0, abi.POLLFD_SIZE);
      const pollfd = new DataView(fds.buffer, fds.byteOffset, abi.POLLFD_SIZE);
      const args = [pollfd.getInt32(0, true), pollfd.getInt16(4, true), timeoutMs];
      const { result, trueLength } = daemon.ask('poll', args);
      pollfd.setInt16(6, result === -EBADF ? POLLNVAL : trueLength, true);
      return result === -EBADF ? 1 : result;
    },
    fcntl: (fd, command, argument) => ask('fcntl', [fd, command, argument]),
    if_nametoindex: (name) => ask('if_nametoindex', [], Buffer.from(name)),
    setsockopt_fprog: () => -ENOSYS,
    epoll_create1: () => -ENOSYS,
    epoll_ctl: () => -ENOSYS,
    epoll_wait: () => -ENOSYS,
    open: () => -ENOSYS,
    getrlimit: () => -ENOSYS,
    setrlimit: () => -ENOSYS,
    eventfd: () => -ENOSYS,
    sendmsg: () => -ENOSYS,
    recvmsg: () => -ENOSYS,
    memfd_create: () => -ENOSYS,
    read: () => -ENOSYS,
    write: () => -ENOSYS,
    ioctl: () => -ENOSYS,
    openat2: () => -ENOSYS,
    pread: () => -ENOSYS,
    sendfile: () => -ENOSYS,
    addressOf: () => -ENOSYS,
    mmap: () => -ENOSYS,
    munmap: () => -ENOSYS,
    io_uring_setup: () => -ENOSYS,
    io_uring_enter: () => -ENOSYS,
    io_uring_register: () => -ENOSYS,
  };
}
