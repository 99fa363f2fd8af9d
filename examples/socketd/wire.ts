/**
 * The words between socketd and its clients: system calls as bytes, each way over one Unix domain socket.
 *
 * One request has one answer, and a client sends its next request when it has read the answer to the last: so neither needs
 * numbers to match them, nor a queue. All numbers are little-endian.
 *
 *     request  { u16 magic @0; u16 call @2; u32 dataLength @4; i32 arguments[4] @8; u8 data[dataLength] @24; }
 *     answer   { u32 dataLength @0; i32 result @4; i32 trueLength @8; u8 data[dataLength] @12; }
 *
 * `call` is a place in the list below, whose comments say what the four arguments and the data are. `result` is what
 * the call answers in libc.ts: a number >= 0, or -errno. Descriptors are the daemon's word: each client has numbers of its own.
 *
 * A recv or send of more than `MAX_DATA_BYTES` moves only as many, which both calls may do at any time. Whoever sends
 * anything else than this is answered -EPROTO, and then the connection ends: where the next request begins nobody can know.
 */

import { abi } from '../../simplenet/index.ts';

/** The order is the format. Unused arguments are 0. */
export const CALLS = [
  'socket', // domain, type, protocol
  'bind', // fd; data: a sockaddr
  'listen', // fd, backlog
  'accept4', // fd, flags, room; answered: the sockaddr as far as there is room, its length as trueLength
  'connect', // fd; data: a sockaddr
  'shutdown', // fd, how
  'close', // fd
  'recv', // fd, length, flags; answered: the bytes
  'send', // fd, flags; data: the bytes
  'recvfrom', // fd, length, flags, room; answered: the bytes, then the sockaddr as in accept4
  'sendto', // fd, flags, how many bytes; data: the bytes, then a sockaddr
  'getsockname', // fd, room; answered as in accept4
  'getpeername', // fd, room; answered as in accept4
  'getsockopt', // fd, level, option, room; answered: the value, its length as trueLength
  'setsockopt', // fd, level, option; data: the value
  'poll', // fd, events, timeoutMs; answered: the events that came as trueLength
  'fcntl', // fd, command, argument
  'if_nametoindex', // data: the name
] as const;

export type Call = (typeof CALLS)[number];

export interface Request {
  readonly call: Call;
  readonly args: readonly number[];
  readonly data: Buffer;
}

export interface Answer {
  readonly result: number;
  readonly trueLength?: number;
  readonly data?: Uint8Array;
}

/** No datagram is larger than 64 KiB, so none is cut. */
export const MAX_BYTES = 65_536;

/** The bytes, and behind them an address. */
export const MAX_DATA_BYTES = MAX_BYTES + abi.SOCKADDR_UN_SIZE;

export const REQUEST_HEAD_BYTES = 24;
export const ANSWER_HEAD_BYTES = 12;
const MAGIC = 0x4453; // "SD"
const ARGUMENTS = 4;
const ARGUMENTS_AT = 8;

const NO_DATA = Buffer.alloc(0);

/** What came is no request. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError';
}

export function encodeRequest(call: Call, args: readonly number[], data: Uint8Array = NO_DATA): Buffer {
  const frame = Buffer.alloc(REQUEST_HEAD_BYTES + data.byteLength);
  frame.writeUInt16LE(MAGIC, 0);
  frame.writeUInt16LE(CALLS.indexOf(call), 2);
  frame.writeUInt32LE(data.byteLength, 4);
  for (const [i, value] of args.entries()) {
    // writeInt32LE would make 1 of 1.5 without a word, and that is another descriptor.
    if ((value | 0) !== value) throw new TypeError(`an argument of ${call} must be a 32-bit integer, not ${value}`);
    frame.writeInt32LE(value, ARGUMENTS_AT + 4 * i);
  }
  frame.set(data, REQUEST_HEAD_BYTES);
  return frame;
}

export function encodeAnswer({ result, trueLength = 0, data = NO_DATA }: Answer): Buffer {
  const frame = Buffer.alloc(ANSWER_HEAD_BYTES + data.byteLength);
  frame.writeUInt32LE(data.byteLength, 0);
  frame.writeInt32LE(result, 4);
  frame.writeInt32LE(trueLength, 8);
  frame.set(data, ANSWER_HEAD_BYTES);
  return frame;
}

/** Puts the one request together that a client may have on its way, from whatever pieces it comes in. */
export class RequestReader {
  #received: Buffer = NO_DATA;

  /** The request, if it is complete now. Throws ProtocolError for bytes that cannot be one. */
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
    if (frame.readUInt16LE(0) !== MAGIC || call === undefined) throw new ProtocolError('no request begins like this');
    if (dataLength > MAX_DATA_BYTES) throw new ProtocolError(`${dataLength} bytes of data`);
    const length = REQUEST_HEAD_BYTES + dataLength;
    if (frame.byteLength > length) throw new ProtocolError('a request before the answer to the last');
    if (frame.byteLength < length) return null;
    this.#received = NO_DATA;
    const args = Array.from({ length: ARGUMENTS }, (_, i) => frame.readInt32LE(ARGUMENTS_AT + 4 * i));
    return { call, args, data: frame.subarray(REQUEST_HEAD_BYTES) };
  }
}
