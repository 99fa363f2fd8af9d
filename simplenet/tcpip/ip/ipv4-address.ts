/**
 * IPv4 address: a number below 2^32 inside the stack, and text only at its edges. Pure.
 *
 * Here are also the ranges that RFC 1122 section 3.2.1.3 sets apart. Their addresses cannot be the source of a packet.
 *
 * Next: arp-packet.ts
 */

import { formatIPv4, parseIPv4 } from '../../kernel/ip-address.ts';

export const LIMITED_BROADCAST = 0xffff_ffff;

const ADDRESS_BITS = 32;

/** Returns null if the text is not a dotted quad. */
export function ipv4ToNumber(text: string): number | null {
  const bytes = parseIPv4(text);
  return bytes === null ? null : bytes.reduce((number, byte) => number * 256 + byte, 0);
}

export function formatIpv4Number(address: number): string {
  return formatIPv4(Uint8Array.of(address >>> 24, address >>> 16, address >>> 8, address));
}

/** An address of an interface and the size of its network: `10.9.0.2/24`. Returns null if the text is not one. */
export function parseIpv4Interface(text: string): { address: number; prefixLength: number } | null {
  const [quad, length, ...rest] = text.split('/');
  const address = ipv4ToNumber(quad as string);
  if (address === null || length === undefined || rest.length > 0) return null;
  if (!/^(0|[1-9]\d?)$/.test(length) || Number(length) > ADDRESS_BITS) return null;
  return { address, prefixLength: Number(length) };
}

/** The address with zeros behind its first `prefixLength` bits. */
export function networkOf(address: number, prefixLength: number): number {
  return (address & maskOf(prefixLength)) >>> 0;
}

/** Whether both are in one network of this size. */
export function isSameNetwork(one: number, other: number, prefixLength: number): boolean {
  return ((one ^ other) & maskOf(prefixLength)) === 0;
}

/** The broadcast address of a network; null for networks of one and two addresses, which have none (RFC 3021). */
export function broadcastOf(address: number, prefixLength: number): number | null {
  if (prefixLength >= ADDRESS_BITS - 1) return null;
  return (address | ~maskOf(prefixLength)) >>> 0;
}

/** Shifting by 32 shifts by 0 in JavaScript, so prefix 0 is a case of its own. */
function maskOf(prefixLength: number): number {
  return prefixLength === 0 ? 0 : -1 << (ADDRESS_BITS - prefixLength);
}

/**
 * Whether a single host on a network can have this address. 0.0.0.0/8 means "this network", 127.0.0.0/8 never leaves a host, and
 * 224.0.0.0/3 is multicast and reserved, with the broadcast address at its end.
 */
export function isHostAddress(address: number): boolean {
  const first = address >>> 24;
  return first !== 0 && first !== 127 && first < 224;
}
