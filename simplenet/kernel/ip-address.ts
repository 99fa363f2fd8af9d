/**
 * IP addresses as text and as bytes on the wire, and the byte order of integers on the wire. Pure.
 *
 * The parsers are strict. inet_aton(3) also accepts `127.1`, `0x7f.0.0.1` and `010.0.0.1`. Programs disagree on which address
 * these mean, and attackers have used that to pass filters.
 *
 * Next: address-ranges.ts
 */

/**
 * Host to network short, byteorder(3): a 16-bit number whose bytes in memory are in network order, high byte first. Both
 * architectures that abi.ts supports store the low byte first.
 *
 * ```ts
 * import { htons } from 'simplenet';
 *
 * const words = new Uint16Array([htons(8080)]);
 * console.log(Buffer.from(words.buffer)); // <Buffer 1f 90>: 8080 is 0x1f90, and the high byte comes first
 * ```
 */
export function htons(value: number): number {
  return ((value & 0xff) << 8) | ((value >>> 8) & 0xff);
}

/**
 * Host to network long, byteorder(3).
 *
 * ```ts
 * import { htonl } from 'simplenet';
 *
 * const words = new Uint32Array([htonl(0x7f000001)]);
 * console.log(Buffer.from(words.buffer)); // <Buffer 7f 00 00 01>: 127.0.0.1
 * ```
 */
export function htonl(value: number): number {
  return (((value & 0xff) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | ((value >>> 24) & 0xff)) >>> 0;
}

/**
 * Network to host short, byteorder(3). Swapping the bytes twice restores them, so `htons` converts in both directions.
 *
 * ```ts
 * import { ntohs } from 'simplenet';
 *
 * const [port = 0] = new Uint16Array(Uint8Array.of(0x1f, 0x90).buffer); // as it lies in a struct sockaddr_in
 * console.log(ntohs(port)); // 8080
 * ```
 */
export const ntohs = htons;
/**
 * Network to host long, byteorder(3): `htonl` in the other direction.
 *
 * ```ts
 * import { ntohl } from 'simplenet';
 *
 * const [address = 0] = new Uint32Array(Uint8Array.of(10, 0, 0, 1).buffer); // as it lies in a struct sockaddr_in
 * console.log(ntohl(address) >>> 24 === 10); // true: an address of 10.0.0.0/8
 * ```
 */
export const ntohl = htonl;

/**
 * Returns the four bytes of a dotted quad, or null.
 *
 * ```ts
 * import { parseIPv4 } from 'simplenet';
 *
 * console.log(parseIPv4('127.0.0.1')); // Uint8Array(4) [ 127, 0, 0, 1 ]
 * console.log(parseIPv4('127.1')); // null, although inet_aton(3) accepts it
 * ```
 */
export function parseIPv4(text: string): Uint8Array | null {
  const parts = text.split('.');
  if (parts.length !== 4) return null;
  const bytes = new Uint8Array(4);
  for (const [i, part] of parts.entries()) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return null;
    bytes[i] = Number(part);
  }
  return bytes;
}

/**
 * Returns the dotted quad of four bytes.
 *
 * ```ts
 * import { formatIPv4 } from 'simplenet';
 *
 * console.log(formatIPv4(Uint8Array.of(192, 0, 2, 1))); // 192.0.2.1
 * ```
 */
export function formatIPv4(bytes: Uint8Array): string {
  return bytes.join('.');
}

export interface IPv6 {
  readonly bytes: Uint8Array;
  /** RFC 4007 section 11: the text after `%`, an interface's name or number; '' without `%`. */
  readonly zone: string;
}

const GROUPS = 8;

/**
 * Returns the sixteen bytes of an address in any form of RFC 4291 section 2.2, and its zone; or null.
 *
 * ```ts
 * import { parseIPv6 } from 'simplenet';
 *
 * const address = parseIPv6('fe80::1%eth0');
 * console.log(address?.bytes.length, address?.zone); // 16 eth0
 * console.log(parseIPv6('1::2::3')); // null
 * ```
 */
export function parseIPv6(text: string): IPv6 | null {
  const percent = text.indexOf('%');
  const zone = percent === -1 ? '' : text.slice(percent + 1);
  if (percent !== -1 && zone === '') return null;
  const groups = parseGroups(percent === -1 ? text : text.slice(0, percent));
  if (groups === null) return null;
  const bytes = new Uint8Array(2 * GROUPS);
  for (const [i, group] of groups.entries()) {
    bytes[2 * i] = group >>> 8;
    bytes[2 * i + 1] = group & 0xff;
  }
  return { bytes, zone };
}

function parseGroups(text: string): number[] | null {
  const halves = text.split('::');
  if (halves.length > 2) return null;
  const [left, right] = halves as [string, string?];
  const head = parseHalf(left, right === undefined);
  const tail = right === undefined ? [] : parseHalf(right, true);
  if (head === null || tail === null) return null;
  const missing = GROUPS - head.length - tail.length;
  // '::' stands for at least one group. Without it the text must have all eight.
  if (right === undefined ? missing !== 0 : missing < 1) return null;
  return [...head, ...new Array<number>(missing).fill(0), ...tail];
}

/** The groups on one side of '::', or null. A dotted quad may stand at the end of the address only. */
function parseHalf(text: string, isEnd: boolean): number[] | null {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    if (/^[0-9a-f]{1,4}$/i.test(part)) {
      groups.push(Number.parseInt(part, 16));
      continue;
    }
    const quad = isEnd && i === parts.length - 1 ? parseIPv4(part) : null;
    if (quad === null) return null;
    const [a, b, c, d] = quad as unknown as [number, number, number, number];
    groups.push((a << 8) | b, (c << 8) | d);
  }
  return groups;
}

/**
 * RFC 5952: lower case, no leading zeros, the first of the longest runs of two or more zero groups as '::'.
 *
 * ```ts
 * import { formatIPv6, parseIPv6 } from 'simplenet';
 *
 * const address = parseIPv6('2001:DB8:0:0:0:0:0:1');
 * if (address !== null) console.log(formatIPv6(address.bytes)); // 2001:db8::1
 * ```
 */
export function formatIPv6(bytes: Uint8Array): string {
  const groups = Array.from(
    { length: GROUPS },
    (_, i) => ((bytes[2 * i] as number) << 8) | (bytes[2 * i + 1] as number),
  );
  // RFC 5952 section 5: an IPv4-mapped address keeps its dotted quad. A dual-stack socket reports an IPv4 peer so.
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    return `::ffff:${formatIPv4(bytes.subarray(12))}`;
  }
  const [start, length] = longestZeroRun(groups);
  const hex = (part: number[]) => part.map((group) => group.toString(16)).join(':');
  if (length < 2) return hex(groups);
  return `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}

function longestZeroRun(groups: readonly number[]): [start: number, length: number] {
  let best: [number, number] = [0, 0];
  let start = 0;
  for (let i = 0; i <= groups.length; i++) {
    if (groups[i] === 0) continue;
    if (i - start > best[1]) best = [start, i - start];
    start = i + 1;
  }
  return best;
}
