/** Headers of the PROXY protocol, version 2, for tests. */

import { crc32c } from '../../../simplenet/layers/crc32c.ts';

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');

export const TCP4 = 0x11;
export const TCP6 = 0x21;
export const UNIX = 0x31;
export const PROXY = 0x21;
export const LOCAL = 0x20;

export function block(command: number, family: number, body: Uint8Array, length = body.length): Buffer {
  const fixed = Buffer.from([command, family, length >> 8, length & 0xff]);
  return Buffer.concat([SIGNATURE, fixed, body]);
}

export function tlv(type: number, value: Uint8Array | string, length = value.length): Buffer {
  return Buffer.concat([Buffer.from([type, length >> 8, length & 0xff]), Buffer.from(value)]);
}

/** 192.0.2.1:4711 to 198.51.100.7:443. */
export const addresses4 = Buffer.from([192, 0, 2, 1, 198, 51, 100, 7, 0x12, 0x67, 0x01, 0xbb]);

/** A header for TCP over IPv4 with these TLVs, and with a right checksum at its end. */
export function withChecksum(...tlvs: readonly Buffer[]): Buffer {
  const header = block(PROXY, TCP4, Buffer.concat([addresses4, ...tlvs, tlv(3, Buffer.alloc(4))]));
  header.writeUInt32BE(crc32c(header), header.length - 4);
  return header;
}
