/**
 * CRC32c (RFC 3720 section 12.1): the checksum of a header of the PROXY protocol. It finds damage, and no attack. Pure.
 *
 * Next: proxy-header.ts
 */

/** 0x1edc6f41 with its bits in the order in which they are sent. */
const POLYNOMIAL = 0x82f63b78;

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++) remainder = remainder & 1 ? (remainder >>> 1) ^ POLYNOMIAL : remainder >>> 1;
  return remainder;
});

export function crc32c(bytes: Uint8Array): number {
  let remainder = 0xffffffff;
  for (const byte of bytes) remainder = (remainder >>> 8) ^ (table[(remainder ^ byte) & 0xff] as number);
  return ~remainder >>> 0;
}
