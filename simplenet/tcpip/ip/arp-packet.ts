/**
 * ARP packet: the question which hardware address has an IPv4 address, and its answer (RFC 826). Pure.
 *
 *      0         2         4         6         8              14        18             24        28
 *     | 1       | 0x0800  | 6  | 4  | 1 or 2  | sender, hardware and IPv4 | target, hardware and IPv4 |
 *
 * The first four fields say "Ethernet and IPv4, addresses of 6 and 4 bytes". Other networks are refused.
 *
 * Next: neighbour.ts
 */

import { ETHERTYPE_IPV4, readHardwareAddress, writeHardwareAddress } from '../link/ethernet-frame.ts';

export const ARP_BYTES = 28;

export const ARP_REQUEST = 1;
export const ARP_REPLY = 2;

const HARDWARE_ETHERNET = 1;
const ADDRESS_LENGTHS = (6 << 8) | 4;

const PROTOCOL = 2;
const LENGTHS = 4;
const OPERATION = 6;
const SENDER_HARDWARE = 8;
const SENDER = 14;
const TARGET_HARDWARE = 18;
const TARGET = 24;

export interface ArpPacket {
  readonly operation: number;
  readonly senderHardware: number;
  readonly sender: number;
  /** 0 in a request: it is what the sender asks for. */
  readonly targetHardware: number;
  readonly target: number;
}

/** Returns null for anything but a request or a reply about IPv4 on Ethernet. Bytes behind it are padding. */
export function decodeArp(bytes: Buffer, start: number, end: number): ArpPacket | null {
  if (end - start < ARP_BYTES) return null;
  if (bytes.readUInt16BE(start) !== HARDWARE_ETHERNET || bytes.readUInt16BE(start + PROTOCOL) !== ETHERTYPE_IPV4) {
    return null;
  }
  const operation = bytes.readUInt16BE(start + OPERATION);
  if (bytes.readUInt16BE(start + LENGTHS) !== ADDRESS_LENGTHS) return null;
  if (operation !== ARP_REQUEST && operation !== ARP_REPLY) return null;
  return {
    operation,
    senderHardware: readHardwareAddress(bytes, start + SENDER_HARDWARE),
    sender: bytes.readUInt32BE(start + SENDER),
    targetHardware: readHardwareAddress(bytes, start + TARGET_HARDWARE),
    target: bytes.readUInt32BE(start + TARGET),
  };
}

/** Writes the packet at `at` and returns its end. */
export function writeArp(bytes: Buffer, at: number, packet: ArpPacket): number {
  bytes.writeUInt16BE(HARDWARE_ETHERNET, at);
  bytes.writeUInt16BE(ETHERTYPE_IPV4, at + PROTOCOL);
  bytes.writeUInt16BE(ADDRESS_LENGTHS, at + LENGTHS);
  bytes.writeUInt16BE(packet.operation, at + OPERATION);
  writeHardwareAddress(bytes, at + SENDER_HARDWARE, packet.senderHardware);
  bytes.writeUInt32BE(packet.sender, at + SENDER);
  writeHardwareAddress(bytes, at + TARGET_HARDWARE, packet.targetHardware);
  bytes.writeUInt32BE(packet.target, at + TARGET);
  return at + ARP_BYTES;
}
