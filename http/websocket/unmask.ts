/**
 * unmask: takes the mask off the payload of a client, in place, four bytes at a time (RFC 6455 section 5.3).
 *
 * A mask is four bytes that are repeated over the payload. It is kept as one number, with the byte that comes next lowest, and turned when a piece ends in the
 * middle of it. The words of the buffer are at multiples of four and payloads begin anywhere, so the first bytes and the last go one by one.
 *
 * It also returns all bytes of the piece "or"ed together, because that costs nothing here: without a high bit the text is ASCII, which needs no check of its
 * UTF-8 and is the cheapest to decode.
 *
 * Next: utf8-validator.ts
 */

/** For fewer bytes the loop over words costs more than it saves. */
const MIN_WORD_BYTES = 16;

/** A view of the buffer that was unmasked last: connections share their receive buffer, and a view costs more than a small message. */
let words: Int32Array<ArrayBufferLike> = new Int32Array(0);

/** Unmasks bytes[start..end). Returns a number whose bits 0x80808080 are clear if all bytes are ASCII. */
export function unmask(bytes: Uint8Array, start: number, end: number, mask: number): number {
  let at = start;
  let key = mask;
  let seen = 0;
  if (end - start >= MIN_WORD_BYTES) {
    const { buffer, byteOffset } = bytes;
    while (((at + byteOffset) & 3) !== 0) {
      const byte = ((bytes[at] as number) ^ key) & 0xff;
      bytes[at++] = byte;
      seen |= byte;
      key = (key >>> 8) | (key << 24);
    }
    if (words.buffer !== buffer) words = new Int32Array(buffer, 0, buffer.byteLength >> 2);
    const view = words;
    const lastWord = (end + byteOffset) >> 2;
    let word = (at + byteOffset) >> 2;
    for (; word + 3 < lastWord; word += 4) {
      const a = (view[word] as number) ^ key;
      const b = (view[word + 1] as number) ^ key;
      const c = (view[word + 2] as number) ^ key;
      const d = (view[word + 3] as number) ^ key;
      view[word] = a;
      view[word + 1] = b;
      view[word + 2] = c;
      view[word + 3] = d;
      seen |= a | b | c | d;
    }
    for (; word < lastWord; word++) {
      const a = (view[word] as number) ^ key;
      view[word] = a;
      seen |= a;
    }
    at = (lastWord << 2) - byteOffset;
  }
  while (at < end) {
    const byte = ((bytes[at] as number) ^ key) & 0xff;
    bytes[at++] = byte;
    seen |= byte;
    key = (key >>> 8) | (key << 24);
  }
  return seen;
}

/** Returns the mask for the byte that comes `bytes` later. */
export function turnMask(mask: number, bytes: number): number {
  const bits = (bytes & 3) << 3;
  return bits === 0 ? mask : (mask >>> bits) | (mask << (32 - bits));
}

/** Whether what `unmask` returned means that all bytes are ASCII. */
export function isAllAscii(seen: number): boolean {
  return (seen & 0x80808080) === 0;
}
