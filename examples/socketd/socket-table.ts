/**
 * SocketTable: where the sockets of socketd's clients are. THE SEAM between the daemon and a network.
 *
 * kernel-sockets.ts has the sockets of Linux. loop-sockets.ts makes sockets out of an event loop, such as the one over our own TCP/IP.
 * Both have the same calls with the same results, and test/examples/socket-table.long.ts holds the second to the first.
 *
 * No call waits. A call that would wait returns -EAGAIN (connect: -EINPROGRESS), and `whenReady` says when to make it again.
 */

import type { Libc } from '../../simplenet/index.ts';
import type { Call } from './wire.ts';

/** The calls of a client, as in simplenet/kernel/libc.ts. poll(2) has one descriptor here, and the timeout 0. */
export type SocketCalls = Pick<Libc, Call>;

export interface SocketTable {
  readonly calls: SocketCalls;
  /** Calls back once, when the socket has one of the events, an error or a hang-up: soon, and not before this returns. */
  whenReady(fd: number, events: number, callback: () => void): void;
  /** The callback of `whenReady` does not come any more. */
  forget(fd: number): void;
  close(): void;
}

/** Returns the bytes that a call may use, with the checks of libc.ts: a call must not read or write outside of its buffer. */
export function range(bytes: Uint8Array, offset: number, length: number): Uint8Array {
  if (!(bytes instanceof Uint8Array)) throw new TypeError('a buffer must be a Uint8Array');
  const fits = Number.isInteger(offset) && Number.isInteger(length) && offset >= 0 && length >= 0;
  if (!fits || offset + length > bytes.byteLength) {
    throw new RangeError(`offset ${offset} + length ${length} is outside a buffer of ${bytes.byteLength} bytes`);
  }
  return bytes.subarray(offset, offset + length);
}
