/**
 * Sequence numbers of TCP: positions in a stream of bytes, modulo 2^32. RFC 9293 section 3.4.
 *
 * Two numbers are compared by their difference, which is right while they are less than 2^31 apart. A window is at most 2^30
 * (RFC 7323 section 2.3). Never compare sequence numbers with `<`: a connection that begins near 2^32 soon passes it.
 *
 * Next: segment.ts
 */

/** The sequence number `bytes` after `sequence`, or before it if `bytes` is negative. */
export function add(sequence: number, bytes: number): number {
  return (sequence + bytes) >>> 0;
}

/** How many bytes `a` lies after `b`: from -2^31 to 2^31 - 1. */
export function difference(a: number, b: number): number {
  return (a - b) | 0;
}

export function isBefore(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

export function isAtOrBefore(a: number, b: number): boolean {
  return ((a - b) | 0) <= 0;
}

export function isAfter(a: number, b: number): boolean {
  return ((a - b) | 0) > 0;
}

export function isAtOrAfter(a: number, b: number): boolean {
  return ((a - b) | 0) >= 0;
}

/** Whether `sequence` is one of the `length` numbers from `start` on. */
export function isWithin(sequence: number, start: number, length: number): boolean {
  return (sequence - start) >>> 0 < length;
}
