/**
 * Passing descriptors: a process sends open descriptors to another one over a Unix socket, unix(7), SCM_RIGHTS.
 *
 * The receiver gets descriptors of its own for the same open sockets. A listening socket that is passed so has one queue of connections, from which
 * both processes accept: that is how a new server takes over from an old one without losing a client. The sender still owns its descriptors, and may close them
 * right after the call: the kernel holds what is under way.
 *
 * Descriptors travel with bytes, at least one: a message without bytes would look like the end of the stream. Who may send is up to the caller
 * (`peerCredentials`): this code does not look.
 *
 * Next: ../loop/event-loop.ts
 */

import {
  CMSG_ALIGNMENT,
  CMSGHDR_SIZE,
  EMSGSIZE,
  MSG_CMSG_CLOEXEC,
  MSG_CTRUNC,
  MSG_NOSIGNAL,
  SCM_MAX_FD,
  SCM_RIGHTS,
  SOL_SOCKET,
} from '../kernel/abi.ts';
import { retryOnEintr } from '../kernel/interruption.ts';
import { check, SystemError } from '../kernel/system-error.ts';
import type { NetSocket } from './net-socket.ts';

const INT_SIZE = 4;

/**
 * What `receiveDescriptors` returns.
 *
 * ```ts
 * import { NetSocket, type ReceivedDescriptors, receiveDescriptors } from 'simplenet';
 *
 * const buffer = Buffer.alloc(4_096);
 * const received: ReceivedDescriptors = receiveDescriptors(NetSocket.connectTo({ path: '/run/site.sock' }), buffer, 1);
 * console.log(buffer.toString('utf8', 0, received.size), received.descriptors);
 * ```
 */
export interface ReceivedDescriptors {
  /** How many bytes came; 0 when the peer has ended its side. */
  readonly size: number;
  /** The caller owns them. They are close-on-exec. */
  readonly descriptors: readonly number[];
}

/**
 * sendmsg(2): sends `bytes`, one or more, and with the first of them the descriptors, at most 253. Returns how many bytes the kernel took, as `write` does.
 *
 * ```ts
 * import { NetSocket, sendDescriptors } from 'simplenet';
 *
 * const site = NetSocket.listenOn({ address: '127.0.0.1', port: 8080 });
 * const successor = NetSocket.listenOn({ path: '/run/site.sock' }).accept();
 * sendDescriptors(successor, Buffer.from('site'), [site.fd]);
 * ```
 */
export function sendDescriptors(socket: NetSocket, bytes: Uint8Array, descriptors: readonly number[]): number {
  if (bytes.byteLength === 0) throw new RangeError('descriptors travel with one byte or more');
  if (descriptors.length > SCM_MAX_FD) {
    throw new RangeError(`a message carries at most ${SCM_MAX_FD} descriptors, not ${descriptors.length}`);
  }
  const control = rightsMessage(descriptors);
  const send = () =>
    socket.libc.sendmsg(socket.fd, bytes, 0, bytes.byteLength, control, control.byteLength, MSG_NOSIGNAL);
  return check('sendmsg', retryOnEintr(send));
}

/**
 * recvmsg(2): fills part of `buffer`, and takes the descriptors that came with it. If there are more than `most`, it closes them all and throws EMSGSIZE: what is
 * left of them could not be told apart.
 *
 * ```ts
 * import { NetSocket, receiveDescriptors } from 'simplenet';
 *
 * const predecessor = NetSocket.connectTo({ path: '/run/site.sock' });
 * const [fd] = receiveDescriptors(predecessor, Buffer.alloc(4_096), 1).descriptors;
 * if (fd !== undefined) console.log(NetSocket.adopt(fd).localAddress);
 * ```
 */
export function receiveDescriptors(socket: NetSocket, buffer: Uint8Array, most: number): ReceivedDescriptors {
  if (!Number.isInteger(most) || most < 0 || most > SCM_MAX_FD) {
    throw new RangeError(`the most descriptors are an integer from 0 to ${SCM_MAX_FD}, not ${most}`);
  }
  // Exactly what is needed: with the padding of CMSG_SPACE the kernel would put one more into it.
  const control = Buffer.alloc(CMSGHDR_SIZE + INT_SIZE * most);
  const cells = Int32Array.of(control.byteLength, 0);
  const receive = () => {
    cells[0] = control.byteLength;
    return socket.libc.recvmsg(socket.fd, buffer, 0, buffer.byteLength, control, cells, MSG_CMSG_CLOEXEC);
  };
  const size = check('recvmsg', retryOnEintr(receive));
  const descriptors = rightsIn(control.subarray(0, cells[0]));
  if (((cells[1] as number) & MSG_CTRUNC) === 0) return { size, descriptors };
  for (const fd of descriptors) socket.libc.close(fd);
  throw new SystemError('recvmsg', -EMSGSIZE);
}

/** One struct cmsghdr with its descriptors; nothing for none, which the kernel would refuse. */
function rightsMessage(descriptors: readonly number[]): Buffer {
  if (descriptors.length === 0) return Buffer.alloc(0);
  const length = CMSGHDR_SIZE + INT_SIZE * descriptors.length;
  const bytes = Buffer.alloc(aligned(length));
  bytes.writeBigUInt64LE(BigInt(length), 0);
  bytes.writeInt32LE(SOL_SOCKET, 8);
  bytes.writeInt32LE(SCM_RIGHTS, 12);
  for (const [i, fd] of descriptors.entries()) bytes.writeInt32LE(fd, CMSGHDR_SIZE + INT_SIZE * i);
  return bytes;
}

/** Options of the socket may add other control messages (SO_PASSCRED, SO_TIMESTAMP): they are skipped. */
function rightsIn(control: Buffer): number[] {
  const descriptors: number[] = [];
  for (let at = 0; at + CMSGHDR_SIZE <= control.length; ) {
    const length = Number(control.readBigUInt64LE(at));
    const isRights = control.readInt32LE(at + 8) === SOL_SOCKET && control.readInt32LE(at + 12) === SCM_RIGHTS;
    for (let fd = at + CMSGHDR_SIZE; isRights && fd < at + length; fd += INT_SIZE) {
      descriptors.push(control.readInt32LE(fd));
    }
    at += aligned(length);
  }
  return descriptors;
}

function aligned(length: number): number {
  return Math.ceil(length / CMSG_ALIGNMENT) * CMSG_ALIGNMENT;
}
