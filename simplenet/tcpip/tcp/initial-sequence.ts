/**
 * The initial sequence number of a connection, RFC 6528: a clock, and a keyed hash of the four numbers that name the connection.
 *
 * Without the hash whoever knows the clock could guess the sequence numbers of a connection between others, and write into it. Without the
 * clock a new connection between the same ports could take old segments for its own. HMAC-SHA-256 takes about 5 us, which only a
 * new connection pays.
 *
 * Next: syn-cookies.ts
 */

import { createHmac } from 'node:crypto';
import { add } from './sequence.ts';

/** The four numbers that name a connection. */
export interface FourTuple {
  readonly localAddress: number;
  readonly localPort: number;
  readonly remoteAddress: number;
  readonly remotePort: number;
}

/** RFC 6528 section 3: the clock M ticks each 4 us, so it goes round in about five hours. */
const TICKS_PER_MS = 250;

/** What a hash is for. Each purpose has hashes of its own, so that one does not tell another. */
export const SEQUENCE = 0;
export const TIMESTAMP = 1;
export const COOKIE = 2;
export type Purpose = typeof SEQUENCE | typeof TIMESTAMP | typeof COOKIE;

/** `secret` has at least 16 random bytes, made once for each stack. `now` in milliseconds, with fractions. */
export function initialSequence(secret: Uint8Array, connection: FourTuple, now: number): number {
  return add(keyedHash(secret, SEQUENCE, connection), Math.floor(now * TICKS_PER_MS));
}

/** The offset of a connection's timestamps (RFC 7323 section 5.4), so that they do not tell how long the machine is up. */
export function timestampOffset(secret: Uint8Array, connection: FourTuple): number {
  return keyedHash(secret, TIMESTAMP, connection);
}

/** 32 bits that depend on all arguments, and that nobody can guess without the secret. */
export function keyedHash(secret: Uint8Array, purpose: Purpose, connection: FourTuple, first = 0, second = 0): number {
  const message = Buffer.allocUnsafe(21);
  message[0] = purpose;
  message.writeUInt32BE(connection.localAddress, 1);
  message.writeUInt32BE(connection.remoteAddress, 5);
  message.writeUInt16BE(connection.localPort, 9);
  message.writeUInt16BE(connection.remotePort, 11);
  message.writeUInt32BE(first, 13);
  message.writeUInt32BE(second, 17);
  return createHmac('sha256', secret).update(message).digest().readUInt32BE(0);
}
