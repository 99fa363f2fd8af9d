/**
 * What socketd does for each call: the same call, on a non-blocking socket of its own.
 *
 * A call that would wait returns EAGAIN (connect: EINPROGRESS). If the socket of the client is a blocking one, that is not sent as a
 * reply: `eventsAwaited` returns the events to wait for, and after them the same call is made again.
 *
 * Calls are refused that could block the one thread of the daemon, or wait for something that poll(2) does not report: SO_LINGER with a
 * time, rare flags of recv and send, and Unix sockets (whose connect is never "in progress"). Raw sockets are refused because they
 * need privileges.
 */

import { abi } from '../../simplenet/index.ts';
import type { ClientSockets, OwnedSocket } from './client-sockets.ts';
import type { SocketCalls } from './socket-table.ts';
import { type Call, MAX_BYTES, type Reply, type Request } from './wire.ts';

const { EAFNOSUPPORT, EALREADY, EBADF, EINVAL, EMFILE, EOPNOTSUPP, EPROTONOSUPPORT } = abi;

const FAMILIES = [abi.AF_INET, abi.AF_INET6];
const TYPES = [abi.SOCK_STREAM, abi.SOCK_DGRAM];
const KNOWN_FLAGS = abi.MSG_PEEK | abi.MSG_TRUNC | abi.MSG_DONTWAIT | abi.MSG_NOSIGNAL | abi.MSG_MORE;

/** Buffers that all calls use. Their content is copied into the reply before the next call. */
const bytes = Buffer.allocUnsafeSlow(MAX_BYTES);
const room = Buffer.alloc(1024); // for an address, or the value of an option
const cell = new Int32Array(1);
const pollfd = Buffer.alloc(abi.POLLFD_SIZE);

type Arguments = readonly [number, number, number, number];

/** What a call works on: the socket of the client, and the calls of the table that has it. */
interface Target {
  readonly fd: number;
  readonly socket: OwnedSocket;
  readonly sockets: ClientSockets;
  readonly calls: SocketCalls;
}

type CallOfSocket = (target: Target, args: Arguments, data: Buffer) => number | Reply;

/** Makes a call that writes an address or a value. The reply has as much of it as the client has room for. */
function withRoom(wanted: number, call: () => number): Reply {
  const size = Math.min(wanted, room.length);
  cell[0] = size; // if it is negative, the call throws a RangeError
  const result = call();
  const trueLength = cell[0] as number;
  return result < 0 ? { result } : { result, trueLength, data: room.subarray(0, Math.min(size, trueLength)) };
}

/** Flags for recv and send, or null if one is not supported. MSG_NOSIGNAL: SIGPIPE would end the daemon when a peer has disconnected. */
function messageFlags(flags: number): number | null {
  return (flags & ~KNOWN_FLAGS) === 0 ? flags | abi.MSG_NOSIGNAL : null;
}

/** Flags for a call that receives. With MSG_TRUNC, TCP writes nothing, tcp(7): no client may get what another one has received before. */
function receiveFlags(flags: number, length: number): number | null {
  if ((flags & abi.MSG_TRUNC) !== 0) bytes.fill(0, 0, length);
  return messageFlags(flags);
}

/** With SO_LINGER and a time, close(2) would block the daemon for that time, and all clients. */
function isLingering(level: number, option: number, value: Buffer): boolean {
  if (level !== abi.SOL_SOCKET || option !== abi.SO_LINGER || value.length < 8) return false;
  return value.readInt32LE(0) !== 0 && value.readInt32LE(4) !== 0;
}

const callsOfSocket: { readonly [name in Exclude<Call, 'socket' | 'if_nametoindex'>]: CallOfSocket } = {
  bind: ({ fd, calls }, _args, address) => calls.bind(fd, address, address.length),
  listen: ({ fd, calls }, [, backlog]) => calls.listen(fd, backlog),
  accept4({ fd, calls, sockets }, [, flags, wanted]) {
    if (sockets.isFull) return -EMFILE; // checked before a connection is accepted that would have no number
    const reply = withRoom(wanted, () => calls.accept4(fd, room, cell, abi.SOCK_NONBLOCK | abi.SOCK_CLOEXEC));
    if (reply.result < 0) return reply;
    return { ...reply, result: sockets.add({ fd: reply.result, waits: (flags & abi.SOCK_NONBLOCK) === 0 }) };
  },
  connect: ({ fd, calls }, _args, address) => calls.connect(fd, address, address.length),
  shutdown: ({ fd, calls }, [, how]) => calls.shutdown(fd, how),
  close({ sockets }, [number]) {
    sockets.close(number);
    return 0;
  },
  recv({ fd, calls }, [, length, clientFlags]) {
    const flags = receiveFlags(clientFlags, length);
    if (flags === null) return -EOPNOTSUPP;
    const result = calls.recv(fd, bytes, 0, length, flags);
    return { result, data: bytes.subarray(0, Math.max(0, Math.min(result, length))) };
  },
  send({ fd, calls }, [, clientFlags], data) {
    const flags = messageFlags(clientFlags);
    return flags === null ? -EOPNOTSUPP : calls.send(fd, data, 0, data.length, flags);
  },
  recvfrom({ fd, calls }, [, length, clientFlags, wanted]) {
    const flags = receiveFlags(clientFlags, length);
    if (flags === null) return -EOPNOTSUPP;
    const reply = withRoom(wanted, () => calls.recvfrom(fd, bytes, 0, length, flags, room, cell));
    if (reply.result < 0) return reply;
    const received = bytes.subarray(0, Math.min(reply.result, length));
    return { ...reply, data: Buffer.concat([received, reply.data ?? Buffer.alloc(0)]) };
  },
  sendto({ fd, calls }, [, clientFlags, length], data) {
    const flags = messageFlags(clientFlags);
    if (flags === null) return -EOPNOTSUPP;
    const address = data.subarray(length); // the call itself checks `length`
    return calls.sendto(fd, data, 0, length, flags, address, address.length);
  },
  getsockname: ({ fd, calls }, [, wanted]) => withRoom(wanted, () => calls.getsockname(fd, room, cell)),
  getpeername: ({ fd, calls }, [, wanted]) => withRoom(wanted, () => calls.getpeername(fd, room, cell)),
  getsockopt: ({ fd, calls }, [, level, option, wanted]) =>
    withRoom(wanted, () => calls.getsockopt(fd, level, option, room, cell)),
  setsockopt({ fd, calls }, [, level, option], value) {
    if (isLingering(level, option, value)) return -EOPNOTSUPP;
    return calls.setsockopt(fd, level, option, value, value.length);
  },
  poll({ fd, calls }, [, events]) {
    pollfd.writeInt32LE(fd, 0);
    pollfd.writeUInt16LE(events & 0xffff, 4);
    return { result: calls.poll(pollfd, 1, 0), trueLength: pollfd.readInt16LE(6) };
  },
  fcntl({ socket, calls }, [, command, argument]) {
    const isBlocking = (argument & abi.O_NONBLOCK) === 0;
    switch (command) {
      case abi.F_GETFL: {
        const flags = calls.fcntl(socket.fd, abi.F_GETFL, 0);
        return socket.waits && flags >= 0 ? flags & ~abi.O_NONBLOCK : flags;
      }
      case abi.F_SETFL:
        socket.waits = isBlocking;
        return 0;
      case abi.F_GETFD:
        return abi.FD_CLOEXEC; // the daemon starts no programs
      case abi.F_SETFD:
        return 0;
      default:
        return -EINVAL;
    }
  },
};

function openSocket([domain, type, protocol]: Arguments, sockets: ClientSockets): number {
  const kind = type & ~(abi.SOCK_NONBLOCK | abi.SOCK_CLOEXEC);
  if (!FAMILIES.includes(domain)) return -EAFNOSUPPORT;
  if (!TYPES.includes(kind)) return -EPROTONOSUPPORT;
  if (sockets.isFull) return -EMFILE;
  const fd = sockets.table.calls.socket(domain, kind | abi.SOCK_NONBLOCK | abi.SOCK_CLOEXEC, protocol);
  return fd < 0 ? fd : sockets.add({ fd, waits: (type & abi.SOCK_NONBLOCK) === 0 });
}

function replyTo({ call, args, data }: Request, sockets: ClientSockets): number | Reply {
  if (call === 'socket') return openSocket(args as Arguments, sockets);
  if (call === 'if_nametoindex') return sockets.table.calls.if_nametoindex(data.toString());
  const socket = sockets.get(args[0] as number);
  if (socket === undefined) return -EBADF;
  return callsOfSocket[call]({ fd: socket.fd, socket, sockets, calls: sockets.table.calls }, args as Arguments, data);
}

/** Makes the call at once, and returns its reply. */
export function perform(request: Request, sockets: ClientSockets): Reply {
  try {
    const reply = replyTo(request, sockets);
    return typeof reply === 'number' ? { result: reply } : reply;
  } catch (error) {
    // The checks of the table refuse such arguments. The kernel would return EINVAL.
    if (error instanceof RangeError || error instanceof TypeError) return { result: -EINVAL };
    throw error;
  }
}

/** The events that a call of a blocking socket waits for, and the argument whose flags may contain MSG_DONTWAIT. */
const waits: { readonly [name in Call]?: { readonly events: number; readonly flagsAt?: number } } = {
  accept4: { events: abi.EPOLLIN },
  connect: { events: abi.EPOLLOUT },
  recv: { events: abi.EPOLLIN, flagsAt: 2 },
  recvfrom: { events: abi.EPOLLIN, flagsAt: 2 },
  send: { events: abi.EPOLLOUT, flagsAt: 1 },
  sendto: { events: abi.EPOLLOUT, flagsAt: 1 },
};

/** Returns the events to wait for before the call is made again, or null if the reply is final. */
export function eventsAwaited({ call, args }: Request, { result }: Reply, socket: OwnedSocket): number | null {
  if (call === 'poll') return result === 0 && args[2] !== 0 ? (args[1] as number) & 0xffff : null;
  const wait = waits[call];
  if (wait === undefined || !socket.waits) return null;
  if (wait.flagsAt !== undefined && ((args[wait.flagsAt] as number) & abi.MSG_DONTWAIT) !== 0) return null;
  // A repeated connect(2) returns EALREADY until the connection is made (0) or has failed (its error).
  const notYet = call === 'connect' ? [-abi.EINPROGRESS, -EALREADY] : [-abi.EAGAIN];
  return notYet.includes(result) ? wait.events : null;
}
