/**
 * The network of a client: the part of its address that it cannot choose freely.
 *
 *     clientNetwork('192.0.2.1')              192.0.2.1
 *     clientNetwork('::ffff:192.0.2.1')       192.0.2.1, the same client over a socket of IPv6
 *     clientNetwork('2001:db8::1')            2001:db8:0:0::/64
 *
 * A host of IPv6 usually has a whole /64 to itself (RFC 4291 section 2.5.1), and takes another address of it whenever it likes. So a count for each address would count
 * nothing.
 *
 * Next: ../handlers/rate-limit.ts
 */

const MAPPED_IPV4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/** `::` stands for as many zeros as are missing, of 8 groups. */
const GROUPS = 8;
const GROUPS_OF_NETWORK = 4;

/** Takes the text of an address, or the path of a Unix socket, which is returned unchanged. */
export function clientNetwork(address: string): string {
  if (!/^[\da-f]*:[\da-f:.%]/i.test(address)) return address;
  const mapped = MAPPED_IPV4.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const [bare = ''] = address.split('%', 1); // an interface of this host
  const [left = '', right] = bare.split('::');
  const groups = groupsOf(left);
  if (right !== undefined) {
    const behind = groupsOf(right);
    const dotted = right.includes('.') ? 1 : 0; // the last 32 bits in the form of IPv4 are two groups
    const missing = Math.max(0, GROUPS - groups.length - behind.length - dotted);
    groups.push(...Array<string>(missing).fill('0'), ...behind);
  }
  return `${groups.slice(0, GROUPS_OF_NETWORK).map(withoutZeros).join(':')}::/64`;
}

function groupsOf(text: string): string[] {
  return text === '' ? [] : text.split(':');
}

function withoutZeros(group: string): string {
  return Number.parseInt(group, 16).toString(16);
}
