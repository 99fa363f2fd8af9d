/**
 * IPv4 packet: the header of RFC 791, decoded and written. Pure.
 *
 *      0         1         2         3
 *     | 4 | IHL | TOS     | total length      |    IHL: length of the header in words of 4 bytes
 *     | identification    | flags | offset    |    offset: where the fragment lies, in units of 8 bytes
 *     | TTL     | protocol| header checksum   |
 *     | source                                |
 *     | destination                           |
 *     | options ...                           |
 *
 * Options are skipped. A packet with a source route is refused: it makes the answer take a way that the sender chose, so an attacker could
 * receive answers to an address that is not his (RFC 6274 section 3.13.2.3).
 *
 * Next: routes.ts
 */

import { finishChecksum, sumWords } from './checksum.ts';

export const IPV4_HEADER_BYTES = 20;
/** The total length has 16 bits. */
export const MAX_IPV4_BYTES = 65_535;

export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;

/** RFC 1122 section 3.2.1.7: enough for every way through the internet, and small enough to end a circle. */
export const DEFAULT_TTL = 64;

const TYPE_OF_SERVICE = 1;
const TOTAL_LENGTH = 2;
const IDENTIFICATION = 4;
const FLAGS = 6;
const TTL = 8;
const PROTOCOL = 9;
const CHECKSUM = 10;
const SOURCE = 12;
const DESTINATION = 16;

const DONT_FRAGMENT = 0x4000;
const MORE_FRAGMENTS = 0x2000;
const OFFSET_MASK = 0x1fff;
const OFFSET_UNIT = 8;

const OPTION_END = 0;
const OPTION_NOTHING = 1;
const OPTION_LOOSE_SOURCE_ROUTE = 131;
const OPTION_STRICT_SOURCE_ROUTE = 137;

export interface Ipv4Header {
  readonly source: number;
  readonly destination: number;
  readonly protocol: number;
  readonly ttl: number;
  readonly identification: number;
  readonly dontFragment: boolean;
  readonly moreFragments: boolean;
  /** Where the payload belongs in that of the whole packet, in bytes. */
  readonly fragmentOffset: number;
  readonly typeOfService: number;
}

export interface Ipv4Packet extends Ipv4Header {
  /** The header begins at `headerStart`, and the payload is bytes[start..end). */
  readonly bytes: Buffer;
  readonly headerStart: number;
  readonly start: number;
  readonly end: number;
}

/** Returns null if bytes[start..end) does not begin with a packet that is right and whole. Bytes after it are padding. */
export function decodeIpv4(bytes: Buffer, start: number, end: number): Ipv4Packet | null {
  const headerBytes = headerLengthAt(bytes, start, end);
  if (headerBytes === null) return null;
  const totalLength = bytes.readUInt16BE(start + TOTAL_LENGTH);
  if (totalLength < headerBytes || totalLength > end - start) return null;
  if (finishChecksum(sumWords(bytes, start, start + headerBytes)) !== 0) return null;
  if (!areOptionsAllowed(bytes, start + IPV4_HEADER_BYTES, start + headerBytes)) return null;
  return packetOf(bytes, start, start + headerBytes, start + totalLength);
}

/**
 * Decodes the beginning of a packet that an ICMP error quotes. The rest of the packet may be missing, and routers on its way have changed
 * the header, some without its checksum, so neither length nor checksum is checked.
 */
export function decodeQuotedIpv4(bytes: Buffer, start: number, end: number): Ipv4Packet | null {
  const headerBytes = headerLengthAt(bytes, start, end);
  return headerBytes === null ? null : packetOf(bytes, start, start + headerBytes, end);
}

/** The total length that the header of a packet states. */
export function totalLengthOf(packet: Ipv4Packet): number {
  return packet.bytes.readUInt16BE(packet.headerStart + TOTAL_LENGTH);
}

export function isFragment(packet: Ipv4Packet): boolean {
  return packet.moreFragments || packet.fragmentOffset > 0;
}

function headerLengthAt(bytes: Buffer, start: number, end: number): number | null {
  if (end - start < IPV4_HEADER_BYTES) return null;
  const first = bytes[start] as number;
  const headerBytes = (first & 0xf) * 4;
  if (first >>> 4 !== 4 || headerBytes < IPV4_HEADER_BYTES || headerBytes > end - start) return null;
  return headerBytes;
}

function packetOf(bytes: Buffer, headerStart: number, start: number, end: number): Ipv4Packet {
  const flags = bytes.readUInt16BE(headerStart + FLAGS);
  return {
    source: bytes.readUInt32BE(headerStart + SOURCE),
    destination: bytes.readUInt32BE(headerStart + DESTINATION),
    protocol: bytes[headerStart + PROTOCOL] as number,
    ttl: bytes[headerStart + TTL] as number,
    identification: bytes.readUInt16BE(headerStart + IDENTIFICATION),
    dontFragment: (flags & DONT_FRAGMENT) !== 0,
    moreFragments: (flags & MORE_FRAGMENTS) !== 0,
    fragmentOffset: (flags & OFFSET_MASK) * OFFSET_UNIT,
    typeOfService: bytes[headerStart + TYPE_OF_SERVICE] as number,
    bytes,
    headerStart,
    start,
    end,
  };
}

/** Whether the options are well-formed and have no source route. */
function areOptionsAllowed(bytes: Buffer, start: number, end: number): boolean {
  let at = start;
  while (at < end) {
    const option = bytes[at] as number;
    if (option === OPTION_END) return true;
    if (option === OPTION_LOOSE_SOURCE_ROUTE || option === OPTION_STRICT_SOURCE_ROUTE) return false;
    if (option === OPTION_NOTHING) {
      at++;
      continue;
    }
    // The length of an option counts its own two bytes: type and length.
    const length = at + 1 < end ? (bytes[at + 1] as number) : 0;
    if (length < 2 || at + length > end) return false;
    at += length;
  }
  return true;
}

/** Writes a header without options at `at`, for a payload of `payloadBytes`. */
export function writeIpv4Header(bytes: Buffer, at: number, header: Ipv4Header, payloadBytes: number): void {
  bytes[at] = (4 << 4) | (IPV4_HEADER_BYTES / 4);
  bytes[at + TYPE_OF_SERVICE] = header.typeOfService;
  bytes.writeUInt16BE(IPV4_HEADER_BYTES + payloadBytes, at + TOTAL_LENGTH);
  bytes.writeUInt16BE(header.identification, at + IDENTIFICATION);
  const flags = (header.dontFragment ? DONT_FRAGMENT : 0) | (header.moreFragments ? MORE_FRAGMENTS : 0);
  bytes.writeUInt16BE(flags | (header.fragmentOffset / OFFSET_UNIT), at + FLAGS);
  bytes[at + TTL] = header.ttl;
  bytes[at + PROTOCOL] = header.protocol;
  bytes.writeUInt16BE(0, at + CHECKSUM);
  bytes.writeUInt32BE(header.source, at + SOURCE);
  bytes.writeUInt32BE(header.destination, at + DESTINATION);
  bytes.writeUInt16BE(finishChecksum(sumWords(bytes, at, at + IPV4_HEADER_BYTES)), at + CHECKSUM);
}
