/**
 * Ethernet frame: two hardware addresses and the type of what follows, 14 bytes in front of each packet.
 *
 *     0                 6                 12      14
 *     | destination     | source          | type  | packet ...
 *
 * A hardware address (MAC address) is a number below 2^48 here, and text only at the edges. The check sum at the end of a frame belongs to the
 * hardware: neither a TAP device nor a capture file has it. Frames with a VLAN tag, and frames whose type is a length (IEEE 802.3
 * with LLC), come out as types that the layer above does not know.
 *
 * Next: seeded-random.ts
 */

export const ETHERNET_HEADER_BYTES = 14;

/** RFC 894 and RFC 826. IPv6 (RFC 2464) is here for the text of a frame. */
export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_IPV6 = 0x86dd;

export const BROADCAST_HARDWARE_ADDRESS = 0xffff_ffff_ffff;

const DESTINATION = 0;
const SOURCE = 6;
const TYPE = 12;

const ADDRESS_BYTES = 6;

export interface EthernetFrame {
  readonly destination: number;
  readonly source: number;
  readonly type: number;
  /** The packet is bytes[start..end), with the padding of a short frame: Ethernet carries 46 bytes at least. */
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

/** Returns null if bytes[start..end) is shorter than a header. */
export function decodeEthernet(bytes: Buffer, start: number, end: number): EthernetFrame | null {
  if (end - start < ETHERNET_HEADER_BYTES) return null;
  return {
    destination: readHardwareAddress(bytes, start + DESTINATION),
    source: readHardwareAddress(bytes, start + SOURCE),
    type: bytes.readUInt16BE(start + TYPE),
    bytes,
    start: start + ETHERNET_HEADER_BYTES,
    end,
  };
}

/** Writes a header at `at` and returns where the packet begins. */
export function writeEthernetHeader(
  bytes: Buffer,
  at: number,
  destination: number,
  source: number,
  type: number,
): number {
  writeHardwareAddress(bytes, at + DESTINATION, destination);
  writeHardwareAddress(bytes, at + SOURCE, source);
  bytes.writeUInt16BE(type, at + TYPE);
  return at + ETHERNET_HEADER_BYTES;
}

/** Throws if a link with that MTU cannot send the first `length` bytes as a frame: it is a mistake of the layer above. */
export function checkFrame(frame: Uint8Array, length: number, mtu: number): void {
  if (length >= ETHERNET_HEADER_BYTES && length <= mtu + ETHERNET_HEADER_BYTES && length <= frame.length) return;
  throw new RangeError(
    `a frame of ${length} bytes, in ${frame.length} bytes, does not fit a link with an MTU of ${mtu}`,
  );
}

export function readHardwareAddress(bytes: Buffer, at: number): number {
  return bytes.readUIntBE(at, ADDRESS_BYTES);
}

export function writeHardwareAddress(bytes: Buffer, at: number, address: number): void {
  bytes.writeUIntBE(address, at, ADDRESS_BYTES);
}

/** The first bit on the wire is the lowest of the first byte: it is set for multicast and broadcast. No frame comes from such an address. */
export function isGroupAddress(address: number): boolean {
  return Math.floor(address / 2 ** 40) % 2 === 1;
}

/** The number of `02:00:5e:10:00:01`, or null if the text is not six pairs of hexadecimal digits. */
export function parseHardwareAddress(text: string): number | null {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) return null;
  return Number.parseInt(text.replaceAll(':', ''), 16);
}

export function formatHardwareAddress(address: number): string {
  const digits = address.toString(16).padStart(2 * ADDRESS_BYTES, '0');
  return (digits.match(/../g) as string[]).join(':');
}
