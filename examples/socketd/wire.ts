/**
 * The protocol between socketd and its clients: system calls as bytes, in both directions over one Unix domain socket.
 *
 * Each request has one reply, and a client sends a request only when it has read the reply to the last one. So the protocol needs neither
 * numbers to match them nor a queue. All numbers are little-endian.
 *
 *     request  { u16 magic @0; u16 call @2; u32 dataLength @4; i32 arguments[4] @8; u8 data[dataLength] @24; }
 *     reply    { u32 dataLength @0; i32 result @4; i32 trueLength @8; u8 data[dataLength] @12; }
 *
 * `call` is an index in the list below, whose comments describe the four arguments and the data. `result` is the value that the
 * call returns in libc.ts: a number >= 0, or -errno. The daemon assigns descriptor numbers, for each client separately.
 *
 * A recv or send of more than `MAX_BYTES` moves only that many bytes, which both calls may do at any time. A malformed request gets
 * the reply -EPROTO, and then the connection ends: the place of the next request is unknown.
 */

import { abi } from '../../simplenet/index.ts';

/** The order is the format. Unused arguments are 0. */
export const CALLS = [
  'socket', // domain, type, protocol
  'bind', // fd; data: a sockaddr
  'listen', // fd, backlog
  'accept4', // fd, flags, room; reply: the sockaddr as far as there is room, its length as trueLength
  'connect', // fd; data: a sockaddr
  'shutdown', // fd, how
  'close', // fd
  'recv', // fd, length, flags; reply: the bytes
  'send', // fd, flags; data: the bytes
  'recvfrom', // fd, length, flags, room; reply: the bytes, then the sockaddr as in accept4
  'sendto', // fd, flags, how many bytes; data: the bytes, then a sockaddr
  'getsockname', // fd, room; reply as in accept4
  'getpeername', // fd, room; reply as in accept4
  'getsockopt', // fd, level, option, room; reply: the value, its length as trueLength
  'setsockopt', // fd, level, option; data: the value
  'poll', // fd, events, timeoutMs; reply: the events that came as trueLength
  'fcntl', // fd, command, argument
  'if_nametoindex', // data: the name
] as const;

export type Call = (typeof CALLS)[number];

export interface Request {
  readonly call: Call;
  readonly args: readonly number[];
  readonly data: Buffer;
}

export interface Reply {
  readonly result: number;
  readonly trueLength?: number;
  readonly data?: Uint8Array;
}

/** Datagrams are smaller than 64 KiB, so they are never cut. */
export const MAX_BYTES = 65_536;

/** The bytes, and an address after them. */
export const MAX_DATA_BYTES = MAX_BYTES + abi.SOCKADDR_UN_SIZE;

export const REQUEST_HEAD_BYTES = 24;
export const REPLY_HEAD_BYTES = 12;
const MAGIC = 0x4453; // "SD"
const ARGUMENTS = 4;
const ARGUMENTS_AT = 8;

const NO_DATA = Buffer.alloc(0);

/** The received bytes are not a request. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
}

export function encodeRequest(call: Call, args: readonly number[], data: Uint8Array = NO_DATA): Buffer {
  const frame = Buffer.alloc(REQUEST_HEAD_BYTES + data.byteLength);
  frame.writeUInt16LE(MAGIC, 0);
  frame.writeUInt16LE(CALLS.indexOf(call), 2);
  frame.writeUInt32LE(data.byteLength, 4);
  for (const [i, value] of args.entries()) {
    // writeInt32LE would silently turn 1.5 into 1, and that is another descriptor.
    if ((value | 0) !== value) throw new TypeError(`an argument of ${call} must be a 32-bit integer, not ${value}`);
    frame.writeInt32LE(value, ARGUMENTS_AT + 4 * i);
  }
  frame.set(data, REQUEST_HEAD_BYTES);
  return frame;
}

export function encodeReply({ result, trueLength = 0, data = NO_DATA }: Reply): Buffer {
  const frame = Buffer.alloc(REPLY_HEAD_BYTES + data.byteLength);
  frame.writeUInt32LE(data.byteLength, 0);
  frame.writeInt32LE(result, 4);
  frame.writeInt32LE(trueLength, 8);
  frame.set(data, REPLY_HEAD_BYTES);
  return frame;
}

/** Puts a request together from the pieces in which it arrives. A client may have only one request under way. */
export class RequestReader {
  #received: Buffer = NO_DATA;

  /** Returns the request if it is complete now, or null. Throws ProtocolError for bytes that cannot be a request. */
  push(bytes: Uint8Array): Request | null {
    if (this.#received.byteLength + bytes.byteLength > REQUEST_HEAD_BYTES + MAX_DATA_BYTES) {
      throw new ProtocolError('more bytes than a request can have');
    }
    // A copy: the caller's bytes lie in a buffer that is used again.
    const frame = Buffer.concat([this.#received, bytes]);
    this.#received = frame;
    if (frame.byteLength < REQUEST_HEAD_BYTES) return null;
    const call = CALLS[frame.readUInt16LE(2)];
    const dataLength = frame.readUInt32LE(4);
    if (frame.readUInt16LE(0) !== MAGIC || call === undefined)
      throw new ProtocolError('a request must begin with the magic number and a known call');
    if (dataLength > MAX_DATA_BYTES) throw new ProtocolError(`${dataLength} bytes of data`);
    const length = REQUEST_HEAD_BYTES + dataLength;
    if (frame.byteLength > length) throw new ProtocolError('a request before the reply to the last');
    if (frame.byteLength < length) return null;
    this.#received = NO_DATA;
    const args = Array.from({ length: ARGUMENTS }, (_, i) => frame.readInt32LE(ARGUMENTS_AT + 4 * i));
    return { call, args, data: frame.subarray(REQUEST_HEAD_BYTES) };
  }
}
