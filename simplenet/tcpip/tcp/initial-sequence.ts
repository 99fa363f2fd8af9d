/**
 * The initial sequence number of a connection, RFC 6528.
 *
 * Next: syn-cookies.ts
 */

/** The four numbers that name a connection. */
export interface FourTuple {
  readonly localAddress: number;
  readonly localPort: number;
  readonly remoteAddress: number;
  readonly remotePort: number;
}

/** `secret` has at least 16 random bytes, made once for each stack. `now` in milliseconds, with fractions. */
export function initialSequence(_secret: Uint8Array, _connection: FourTuple, _now: number): number {
  throw new Error('to be written');
}

/** The offset of a connection's timestamps (RFC 7323 section 5.4), so that they do not tell how long the machine is up. */
export function timestampOffset(_secret: Uint8Array, _connection: FourTuple): number {
  throw new Error('to be written');
}
