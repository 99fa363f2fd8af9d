/**
 * The UTF-8 of a text message: checked piece by piece, up to the first byte that is wrong (RFC 6455 section 8.1, RFC 3629).
 *
 * A message comes in pieces that end anywhere, also inside a character. What must be remembered between two pieces fits in one number: how many bytes of a
 * character are still to come, and from where to where the next one may be. The bounds are what catches overlong forms, surrogates and
 * what is above U+10FFFF. 0 means that the text may end here.
 *
 * Whole characters are checked by Node's `isUtf8`, which is vectorised. Only if it says no, and for a character that is cut by the end of the piece, are bytes
 * looked at one by one.
 *
 * Next: frame-decoder.ts
 */

import { isUtf8 } from 'node:buffer';

/** No character is open. */
export const UTF8_COMPLETE = 0;

/** The bytes cannot become UTF-8, whatever follows. */
export const UTF8_FAULT = -1;

/** Bytes of a character after its first. */
const MAX_CONTINUATION = 3;

/** Below it a call to C costs more than the loop. */
const MIN_NATIVE_BYTES = 16;

/**
 * Checks bytes[start..end). `state` is what the last call for this message has returned, UTF8_COMPLETE before the first. Returns UTF8_FAULT, or the state
 * after these bytes.
 */
export function validateUtf8(state: number, bytes: Buffer, start: number, end: number): number {
  let at = start;
  let open = state;
  while (open !== UTF8_COMPLETE && at < end) {
    open = step(open, bytes[at++] as number);
    if (open === UTF8_FAULT) return UTF8_FAULT;
  }
  if (end - at >= MIN_NATIVE_BYTES) {
    const whole = lastBoundary(bytes, at, end);
    if (!isUtf8(bytes.subarray(at, whole))) return UTF8_FAULT;
    at = whole;
  }
  for (; at < end; at++) {
    open = step(open, bytes[at] as number);
    if (open === UTF8_FAULT) return UTF8_FAULT;
  }
  return open;
}

/** Returns the offset behind the last byte that belongs to a character which is certainly complete, or is certainly wrong. */
function lastBoundary(bytes: Buffer, start: number, end: number): number {
  const earliest = Math.max(start, end - MAX_CONTINUATION);
  for (let at = end - 1; at >= earliest; at--) {
    const byte = bytes[at] as number;
    if (byte < 0x80) return end;
    if (byte >= 0xc0) return at;
  }
  return end;
}

/** States: how many bytes follow, and the bounds of the next. */
function expecting(count: number, lowest: number, highest: number): number {
  return (count << 16) | (lowest << 8) | highest;
}

const LAST_BYTE = expecting(1, 0x80, 0xbf);
const TWO_BYTES = expecting(2, 0x80, 0xbf);

/** The table of RFC 3629 section 4. */
function step(state: number, byte: number): number {
  if (state === UTF8_COMPLETE) {
    if (byte < 0x80) return UTF8_COMPLETE;
    if (byte < 0xc2) return UTF8_FAULT;
    if (byte < 0xe0) return LAST_BYTE;
    if (byte === 0xe0) return expecting(2, 0xa0, 0xbf);
    if (byte === 0xed) return expecting(2, 0x80, 0x9f);
    if (byte < 0xf0) return TWO_BYTES;
    if (byte === 0xf0) return expecting(3, 0x90, 0xbf);
    if (byte < 0xf4) return expecting(3, 0x80, 0xbf);
    return byte === 0xf4 ? expecting(3, 0x80, 0x8f) : UTF8_FAULT;
  }
  if (byte < ((state >> 8) & 0xff) || byte > (state & 0xff)) return UTF8_FAULT;
  const count = state >> 16;
  if (count === 1) return UTF8_COMPLETE;
  return count === 2 ? LAST_BYTE : TWO_BYTES;
}
