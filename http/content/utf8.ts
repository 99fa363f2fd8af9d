/**
 * UTF-8, strictly: bytes that are not UTF-8 are an error that names the place.
 *
 * A lenient decoder puts U+FFFD where the bytes are wrong, so the text of the client changes without notice. It also hides an attack:
 * an overlong form such as `c0 af` is a slash for some programs and two unknown characters for others.
 *
 * Next: json-nesting.ts
 */

import { HttpError } from '../http-error.ts';

const strictUtf8 = new TextDecoder('utf-8', { fatal: true });

const REPLACEMENT = '\ufffd';
const REPLACEMENT_BYTES = 3;

/** Throws a 400 that names `what` and the first byte that is wrong. The first byte has the offset `base`. */
export function decodeUtf8(bytes: Uint8Array, what: string, base = 0): string {
  try {
    return strictUtf8.decode(bytes);
  } catch (cause) {
    throw new HttpError(400, `${what} is not valid UTF-8, at byte ${base + utf8FaultOf(bytes)}`, { cause });
  }
}

/** Returns the offset of the first byte that is not UTF-8, or the length. */
export function utf8FaultOf(bytes: Uint8Array): number {
  // The lenient decoder knows the rules. A U+FFFD in its text is a fault, unless the client has sent that character.
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  let offset = 0;
  let start = 0;
  for (let at = text.indexOf(REPLACEMENT); at !== -1; at = text.indexOf(REPLACEMENT, start)) {
    offset += Buffer.byteLength(text.slice(start, at));
    if (bytes[offset] !== 0xef || bytes[offset + 1] !== 0xbf || bytes[offset + 2] !== 0xbd) return offset;
    offset += REPLACEMENT_BYTES;
    start = at + 1;
  }
  return bytes.length;
}
