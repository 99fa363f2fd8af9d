/**
 * AddressRanges: a set of IP addresses, written as a person writes it: `10.0.0.0/8`, `2001:db8::1`, `loopback`, `private`. Pure.
 *
 * It says which peers may speak for others: proxies in front of a server. So it is strict. A range that could be a mistake is an error when the set is
 * made, and an address that cannot be read is in no range. `::ffff:10.0.0.1` is 10.0.0.1: a dual-stack socket reports a peer of IPv4 so.
 *
 * Next: socket-address.ts
 */

import { formatIPv4, formatIPv6, parseIPv4, parseIPv6 } from './ip-address.ts';
import type { SocketAddress } from './socket-address.ts';

/** RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3. */
const LOOPBACK = ['127.0.0.0/8', '::1'];
/** RFC 1918, RFC 4193. */
const PRIVATE = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'];

const names: Readonly<Record<string, readonly string[]>> = { loopback: LOOPBACK, private: PRIVATE };

const MAPPED_BITS = 96;
const BYTE_BITS = 8;

interface Range {
  readonly network: Uint8Array;
  readonly bits: number;
}

/**
 * Addresses and ranges of addresses.
 *
 * ```ts
 * import { AddressRanges } from 'simplenet';
 *
 * const balancers = new AddressRanges(['loopback', '10.1.0.0/16', '2001:db8::7']);
 * console.log(balancers.has('10.1.2.3'), balancers.has('10.2.0.1')); // true false
 * ```
 */
export class AddressRanges {
  readonly #ranges: Range[] = [];
  readonly #hasUnix: boolean;

  /** An array, or a text with commas: addresses, CIDR ranges, `loopback` (with Unix sockets) and `private`. Throws RangeError for anything else. */
  constructor(ranges: string | readonly string[]) {
    const texts = typeof ranges === 'string' ? ranges.split(',').map((text) => text.trim()) : ranges;
    for (const text of texts) for (const each of names[text] ?? [text]) this.#ranges.push(rangeOf(each));
    this.#hasUnix = texts.includes('loopback');
    if (this.#ranges.length === 0) throw new RangeError('a list of addresses is empty: nothing would be in it');
  }

  /** An address as text, or as streams have it. The peer of a Unix socket is on this machine, so it belongs to `loopback`. */
  has(address: string | SocketAddress): boolean {
    if (typeof address !== 'string') {
      if ('path' in address) return this.#hasUnix;
      return this.has(address.address);
    }
    const bytes = bytesOf(address);
    return bytes !== null && this.#ranges.some((range) => isIn(range, bytes));
  }
}

/**
 * Returns an IP address in the one form that RFC 5952 recommends, and IPv4 as a dotted quad; or null. A zone (`%eth0`) is refused: it means nothing to another
 * machine.
 *
 * ```ts
 * import { canonicalAddress } from 'simplenet';
 *
 * console.log(canonicalAddress('2001:DB8:0::1'), canonicalAddress('::ffff:192.0.2.1')); // 2001:db8::1 192.0.2.1
 * console.log(canonicalAddress('unknown')); // null
 * ```
 */
export function canonicalAddress(text: string): string | null {
  const bytes = text.includes('%') ? null : bytesOf(text);
  if (bytes === null) return null;
  return bytes.length === 4 ? formatIPv4(bytes) : formatIPv6(bytes);
}

/** Four bytes of IPv4, also of a mapped address, or sixteen of IPv6. The zone of an address of this machine does not matter. */
function bytesOf(text: string): Uint8Array | null {
  const v4 = parseIPv4(text);
  if (v4 !== null) return v4;
  const v6 = parseIPv6(text)?.bytes ?? null;
  return v6 !== null && isMapped(v6) ? v6.subarray(MAPPED_BITS / BYTE_BITS) : v6;
}

function isMapped(bytes: Uint8Array): boolean {
  return bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
}

function rangeOf(text: string): Range {
  const [, address = '', length] = /^([^/%]*)(?:\/(\d{1,3}))?$/.exec(String(text)) ?? [];
  const network = bytesOf(address);
  if (network === null) {
    throw new RangeError(`'${text}' is no address: write 192.0.2.1, 10.0.0.0/8, 2001:db8::/32, loopback or private`);
  }
  const all = network.length * BYTE_BITS;
  // The prefix of a mapped range counts from the beginning of the sixteen bytes.
  const isShortened = address.includes(':') && network.length === 4;
  const bits = length === undefined ? all : Number(length) - (isShortened ? MAPPED_BITS : 0);
  if (bits < 0 || bits > all) throw new RangeError(`'${text}': the length of its prefix does not fit the address`);
  const masked = network.map((byte, i) => byte & maskOf(bits - i * BYTE_BITS));
  if (masked.some((byte, i) => byte !== network[i])) {
    const start = masked.length === 4 ? formatIPv4(masked) : formatIPv6(masked);
    throw new RangeError(`'${text}' is an address inside a range: write ${start}/${bits}, or the address alone`);
  }
  return { network, bits };
}

/** The byte in which the first `bits` bits are set; all of them if there are more than eight. */
function maskOf(bits: number): number {
  if (bits <= 0) return 0;
  return bits >= BYTE_BITS ? 0xff : (0xff << (BYTE_BITS - bits)) & 0xff;
}

function isIn({ network, bits }: Range, bytes: Uint8Array): boolean {
  if (bytes.length !== network.length) return false;
  return network.every((byte, i) => byte === ((bytes[i] as number) & maskOf(bits - i * BYTE_BITS)));
}
