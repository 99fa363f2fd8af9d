/**
 * SYN cookies: what a SYN asked for, kept in the numbers of the SYN+ACK instead of in memory.
 *
 * Next: tcp-connection.ts
 */

import type { FourTuple } from './initial-sequence.ts';

/** The sequence number of a SYN+ACK. `mss` of the SYN, or null without the option. */
export function encodeCookie(
  _secret: Uint8Array,
  _connection: FourTuple,
  _peerInitialSequence: number,
  _mss: number | null,
  _now: number,
): number {
  throw new Error('to be written');
}

/** The MSS of a cookie; null if it is none of ours or older than two minutes. `cookie` is the ACK's acknowledgment minus one. */
export function decodeCookie(
  _secret: Uint8Array,
  _connection: FourTuple,
  _peerInitialSequence: number,
  _cookie: number,
  _now: number,
): number | null {
  throw new Error('to be written');
}

/** TSval of a SYN+ACK with a cookie: `clock` with the options in its low six bits, and never after `clock`. */
export function encodeCookieTimestamp(
  _clock: number,
  _syn: { readonly windowScale: number | null; readonly sackPermitted: boolean },
): number {
  throw new Error('to be written');
}

/** The options in the timestamp that an ACK echoes; null if no cookie of ours has such bits. */
export function decodeCookieTimestamp(
  _echo: number,
): { readonly windowScale: number | null; readonly sackPermitted: boolean } | null {
  throw new Error('to be written');
}
