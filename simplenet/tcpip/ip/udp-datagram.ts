/**
 * UDP datagram: two ports, a length and a checksum in front of the payload (RFC 768). Pure.
 *
 *      0             2                  4        6          8
 *     | source port | destination port | length | checksum | payload ...
 *
 * A checksum of 0 means that the sender has made none, which IPv4 allows. A checksum that is 0 by chance is sent as 0xffff, its other name in one's
 * complement. We always send one.
 *
 * Next: ../udp-layer.ts
 */

import { finishChecksum, pseudoHeaderSum, sumWords } from './checksum.ts';
import { type Ipv4Packet, MAX_IPV4_BYTES, PROTOCOL_UDP } from './ipv4-packet.ts';

export const UDP_HEADER_BYTES = 8;
/** What one packet without options carries. */
export const MAX_UDP_PAYLOAD = MAX_IPV4_BYTES - 20 - UDP_HEADER_BYTES;

const DESTINATION_PORT = 2;
const LENGTH = 4;
const CHECKSUM = 6;

const NO_CHECKSUM = 0;

export interface UdpDatagram {
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** The payload is bytes[start..end). */
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

/** Returns null if the packet does not carry a datagram that is right and whole. Bytes after it are padding. */
export function decodeUdp(packet: Ipv4Packet): UdpDatagram | null {
  const { bytes, start } = packet;
  if (packet.end - start < UDP_HEADER_BYTES) return null;
  const length = bytes.readUInt16BE(start + LENGTH);
  if (length < UDP_HEADER_BYTES || length > packet.end - start) return null;
  const end = start + length;
  if (bytes.readUInt16BE(start + CHECKSUM) !== NO_CHECKSUM) {
    const pseudoHeader = pseudoHeaderSum(packet.source, packet.destination, PROTOCOL_UDP, length);
    if (finishChecksum(sumWords(bytes, start, end, pseudoHeader)) !== 0) return null;
  }
  return {
    sourcePort: bytes.readUInt16BE(start),
    destinationPort: bytes.readUInt16BE(start + DESTINATION_PORT),
    bytes,
    start: start + UDP_HEADER_BYTES,
    end,
  };
}

export interface UdpAddresses {
  readonly source: number;
  readonly sourcePort: number;
  readonly destination: number;
  readonly destinationPort: number;
}

/** Writes the header in front of a payload that lies at `at + UDP_HEADER_BYTES` already, up to `end`. */
export function writeUdpHeader(bytes: Buffer, at: number, end: number, addresses: UdpAddresses): void {
  const length = end - at;
  bytes.writeUInt16BE(addresses.sourcePort, at);
  bytes.writeUInt16BE(addresses.destinationPort, at + DESTINATION_PORT);
  bytes.writeUInt16BE(length, at + LENGTH);
  bytes.writeUInt16BE(0, at + CHECKSUM);
  const pseudoHeader = pseudoHeaderSum(addresses.source, addresses.destination, PROTOCOL_UDP, length);
  bytes.writeUInt16BE(finishChecksum(sumWords(bytes, at, end, pseudoHeader)) || 0xffff, at + CHECKSUM);
}
