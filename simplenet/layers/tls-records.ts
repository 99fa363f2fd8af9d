/**
 * Between a connection of OpenSSL and a stream: plain bytes become records on their way out, and records become plain bytes on their way in.
 *
 * The buffers belong to the thread. They are used within one call, so all connections share them.
 *
 * Next: tls-output.ts
 */

import { EINTR, ENODATA, EPROTO } from '../kernel/abi.ts';
import { preventTransfer } from '../kernel/intrinsic-bytes.ts';
import { LastView } from '../kernel/last-view.ts';
import type { Libc } from '../kernel/libc.ts';
import type { Stream } from '../loop/event-loop.ts';
import { SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE } from './openssl.ts';
import { MAX_BATCH_BYTES, type SslConnection } from './ssl-connection.ts';

/** RFC 8446 section 5.1. */
const MAX_RECORD_BYTES = 16_384;

/**
 * A client can decrypt a record when all of it is there. Much that is written at once begins with a record that one packet carries, so that a browser sees the first
 * bytes early. What fits into the first ten packets (RFC 6928) arrives at once anyway.
 */
const FIRST_RECORD_BYTES = 1_400;
const FIRST_FLIGHT_BYTES = 14_000;

let plain = plainBuffer(2 * MAX_BATCH_BYTES);
const lastPlain = new LastView(plain);
let fileBytes: Buffer | null = null;

/**
 * Encrypts bytes[offset..offset + length). Returns 0, or -EPROTO. `isFirst`: nothing was written just before. Records that do not fit into the output are sent to the
 * stream; the others are left for `sendRecords`.
 */
export function seal(
  ssl: SslConnection,
  stream: Stream,
  bytes: Uint8Array,
  offset: number,
  length: number,
  isFirst: boolean,
): number {
  let at = 0;
  if (isFirst && length > FIRST_FLIGHT_BYTES) {
    at = FIRST_RECORD_BYTES;
    if (writeAll(ssl, stream, bytes, offset, at) < 0) return -EPROTO;
  }
  return writeAll(ssl, stream, bytes, offset + at, length - at) < 0 ? -EPROTO : 0;
}

/** The output is full before all is written if a client has asked for records of 512 bytes (RFC 6066 section 4), and their cipher makes each 85 bytes longer. */
function writeAll(ssl: SslConnection, stream: Stream, bytes: Uint8Array, offset: number, length: number): number {
  let result = ssl.write(bytes, offset, length);
  while (result === -SSL_ERROR_WANT_WRITE) {
    sendRecords(ssl, stream, true);
    result = ssl.write(bytes, offset, length);
  }
  return result;
}

/** Encrypts a part of a file, MAX_BATCH_BYTES at most. Returns how many bytes, or -errno: -ENODATA if the file ends before. */
export function sealFile(
  ssl: SslConnection,
  stream: Stream,
  libc: Libc,
  fd: number,
  offset: number,
  length: number,
): number {
  fileBytes ??= Buffer.allocUnsafeSlow(MAX_BATCH_BYTES);
  const wanted = Math.min(length, MAX_BATCH_BYTES);
  let read = -EINTR;
  while (read === -EINTR) read = libc.pread(fd, fileBytes, 0, wanted, offset);
  if (read <= 0) return read === 0 ? -ENODATA : read;
  return seal(ssl, stream, fileBytes, 0, read, false) < 0 ? -EPROTO : read;
}

/** Sends what OpenSSL has written. Returns whether the stream has room for more. */
export function sendRecords(ssl: SslConnection, stream: Stream, hasMore = false): boolean {
  const length = ssl.takeOutput();
  return length === 0 || stream.write(ssl.output, length, hasMore);
}

/** What `openRecords` has found. The next call changes it. */
export interface OpenedRecords {
  /** Plain bytes, in a buffer that the next call overwrites. */
  bytes: Buffer;
  /** 0, or -SSL_ERROR_... without -SSL_ERROR_WANT_READ: the peer has ended its side, or the connection is broken. */
  result: number;
}

/** Programs get views of it. If one transferred it with postMessage, no connection could be read any more. */
function plainBuffer(byteLength: number): Buffer {
  const buffer = Buffer.allocUnsafeSlow(byteLength);
  preventTransfer(buffer.buffer);
  return buffer;
}

const NO_BYTES = Buffer.alloc(0);
const opened: OpenedRecords = { bytes: NO_BYTES, result: 0 };

/** Decrypts all records that are there, of `length` bytes that were received. */
export function openRecords(ssl: SslConnection, stream: Stream, length: number): OpenedRecords {
  // OpenSSL itself may have kept almost a whole record. So each read has room for one.
  const needed = length + 2 * MAX_RECORD_BYTES;
  if (plain.length < needed) plain = plainBuffer(needed);
  let filled = 0;
  let result = 0;
  while (result === 0 && ssl.hasRecords) {
    const read = ssl.read(plain, filled, plain.length - filled);
    if (read > 0) filled += read;
    else if (read === -SSL_ERROR_WANT_WRITE) sendRecords(ssl, stream);
    else result = read;
  }
  if (result < 0) sendRecords(ssl, stream); // an answer to a change of keys, or an alert
  opened.result = result === -SSL_ERROR_WANT_READ ? 0 : result;
  opened.bytes = filled === 0 ? NO_BYTES : lastPlain.of(plain, filled);
  return opened;
}
