/**
 * SYN cookies: what a SYN asked for, kept in the numbers of the SYN+ACK instead of in memory. RFC 4987 section 3.6.
 *
 * A flood of SYNs from forged addresses fills any backlog. When it is full, the SYN+ACK gets a cookie as its sequence number, and nothing
 * is kept. The ACK of a real client brings the cookie back:
 *
 *     5 bits  the minute, modulo 32
 *     3 bits  the index of the MSS in a table
 *     24 bits of a keyed hash of both, the connection, and the sequence number of the SYN
 *
 * A cookie is accepted in the minute of the SYN+ACK and in the next one, so it is valid for two minutes at most. Of 2^32 guesses 16 are
 * right. Window scale and SACK have no room there. They go into the low bits of our timestamp, which the peer echoes, as in Linux; a
 * peer without timestamps gets neither.
 *
 * Next: send-buffer.ts
 */

import { COOKIE, type FourTuple, keyedHash } from './initial-sequence.ts';

/** Those that real paths have: RFC 9293's default, dial-up, IPv6's minimum, PPPoE and tunnels, Ethernet, and jumbo frames. */
const MSS_TABLE = [536, 960, 1220, 1300, 1400, 1440, 1460, 8960] as const;
const DEFAULT_MSS = 536;
const PERIOD_MS = 60_000;
const PERIODS = 32;
/** How many periods old a cookie may be: this one and the one before. */
const MAX_AGE = 1;

const OPTION_BITS = 6;
const OPTION_MASK = (1 << OPTION_BITS) - 1;
/** The four bits of the window scale, or this. A shift above 14 does not exist (RFC 7323 section 2.3). */
const NO_WINDOW_SCALE = 15;
const SACK_BIT = 0x10;

export interface CookieOptions {
  readonly windowScale: number | null;
  readonly sackPermitted: boolean;
}

/** The sequence number of a SYN+ACK. `mss` of the SYN, or null without the option. */
export function encodeCookie(
  secret: Uint8Array,
  connection: FourTuple,
  peerInitialSequence: number,
  mss: number | null,
  now: number,
): number {
  return cookieOf(secret, connection, peerInitialSequence, periodOf(now), indexOfMss(mss ?? DEFAULT_MSS));
}

/** The MSS of a cookie, or null if it is not one of ours or too old. `cookie` is the acknowledgment of the ACK minus one. */
export function decodeCookie(
  secret: Uint8Array,
  connection: FourTuple,
  peerInitialSequence: number,
  cookie: number,
  now: number,
): number | null {
  const current = periodOf(now);
  const age = (current - (cookie >>> 27)) & (PERIODS - 1);
  if (age > MAX_AGE) return null;
  const index = (cookie >>> 24) & (MSS_TABLE.length - 1);
  // The hash has the whole number of the period, so a cookie of 32 minutes ago does not match.
  const expected = cookieOf(secret, connection, peerInitialSequence, current - age, index);
  return cookie === expected ? (MSS_TABLE[index] as number) : null;
}

function cookieOf(secret: Uint8Array, connection: FourTuple, peer: number, period: number, index: number): number {
  const visible = ((period & (PERIODS - 1)) << 27) | (index << 24);
  const hash = keyedHash(secret, COOKIE, connection, peer, ((period << 3) | index) >>> 0);
  return (visible | (hash >>> 8)) >>> 0;
}

function periodOf(now: number): number {
  return Math.floor(now / PERIOD_MS);
}

/** The largest MSS of the table that is not above the one of the SYN; the smallest one if all are. */
function indexOfMss(mss: number): number {
  let index = MSS_TABLE.length - 1;
  while (index > 0 && (MSS_TABLE[index] as number) > mss) index--;
  return index;
}

/** TSval of a SYN+ACK with a cookie: `clock` with the options in its low six bits, and never after `clock`. */
export function encodeCookieTimestamp(clock: number, syn: CookieOptions): number {
  const scale = syn.windowScale ?? NO_WINDOW_SCALE;
  const options = scale | (syn.sackPermitted ? SACK_BIT : 0);
  const timestamp = ((clock & ~OPTION_MASK) | options) >>> 0;
  // The timestamps that follow must not be earlier (RFC 7323 section 5.2).
  return timestamp > clock ? (timestamp - OPTION_MASK - 1) >>> 0 : timestamp;
}

/** The options in the timestamp that an ACK echoes. A forged one only changes the forger's own connection. */
export function decodeCookieTimestamp(echo: number): CookieOptions | null {
  const bits = echo & OPTION_MASK;
  if (bits >= SACK_BIT * 2) return null;
  const scale = bits & NO_WINDOW_SCALE;
  return { windowScale: scale === NO_WINDOW_SCALE ? null : scale, sackPermitted: (bits & SACK_BIT) !== 0 };
}
