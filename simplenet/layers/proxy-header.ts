/**
 * decodeProxyHeader: the header that a proxy sends before the bytes of its client: the PROXY protocol, versions 1 and 2. Pure.
 *
 *     1    PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n            at most 107 bytes
 *     2    signature, 12 bytes | version 2, command | family | length, 2 bytes | addresses | TLVs
 *          TLV: type | length, 2 bytes | value
 *
 * A balancer that does not speak HTTP, or passes TLS on, cannot add a field, so it says here who the client is. The text is
 * https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt; sections are those of its version of 2020-03-05. Each peer could send such bytes, so
 * proxy-protocol.ts decides who may. What is not exactly as the text has it is refused: a wrong guess would make one client another one.
 *
 * Next: proxy-options.ts
 */

import { formatIPv4, formatIPv6, parseIPv4, parseIPv6 } from '../kernel/ip-address.ts';
import type { SocketAddress } from '../kernel/socket-address.ts';
import { crc32c } from './crc32c.ts';

/**
 * A part of a header of version 2, in the order of the header: its type (section 2.2) and its bytes.
 *
 * ```ts
 * import type { ProxyTlv } from 'simplenet';
 *
 * const PP2_TYPE_AUTHORITY = 0x02;
 * const nameIn = (tlvs: readonly ProxyTlv[]) => tlvs.find(({ type }) => type === PP2_TYPE_AUTHORITY)?.value.toString();
 * ```
 */
export interface ProxyTlv {
  readonly type: number;
  readonly value: Buffer;
}

/**
 * What a proxy has said of a connection.
 *
 * ```ts
 * import { acceptProxied, createEventLoop, formatSocketAddress, type ProxyInfo } from 'simplenet';
 *
 * const clientOf = ({ source }: ProxyInfo) => (source === null ? 'the proxy itself' : formatSocketAddress(source));
 * const onConnection = acceptProxied((stream) => ({ onData: () => console.log(clientOf(stream.proxy as ProxyInfo)) }), { from: 'loopback' });
 * createEventLoop().listen({ address: '127.0.0.1', port: 8080 }, onConnection);
 * ```
 */
export interface ProxyInfo {
  /** 1 or 2; 0 if the peer has sent no header, which `optional` allows. */
  readonly version: 0 | 1 | 2;
  /** The client; null if the proxy speaks for itself, for example to check whether the server is there, or does not know. */
  readonly source: SocketAddress | null;
  /** The address at which the client has connected; null as `source`. */
  readonly destination: SocketAddress | null;
  /** Whether the client has used TLS, as PP2_TYPE_SSL says. */
  readonly usesTls: boolean;
  readonly tlvs: readonly ProxyTlv[];
}

export interface ProxyHeader {
  readonly info: ProxyInfo;
  /** Where the bytes of the client begin. */
  readonly end: number;
}

/** Why the bytes are not a header. */
export interface ProxyHeaderFault {
  readonly reason: string;
}

/** Section 2.1: the longest line, with CRLF. */
export const MAX_LINE_BYTES = 107;

const LINE_START = Buffer.from('PROXY ');
const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n');
const FIXED_BYTES = 16;

/** Section 2.2. */
const PP2_TYPE_CRC32C = 0x03;
const PP2_TYPE_SSL = 0x20;
const PP2_CLIENT_SSL = 0x01;
/** Its value begins with a byte of flags and the result of a verification, 4 bytes. */
const SSL_FIXED_BYTES = 5;

const TLV_HEADER_BYTES = 3;
const CRC_BYTES = 4;

/** A header without addresses. */
export const noProxyHeader: ProxyInfo = { version: 0, source: null, destination: null, usesTls: false, tlvs: [] };

/** Whether these bytes, which may be few, can be the beginning of a header. */
export function mayBeProxyHeader(bytes: Uint8Array): boolean {
  return begins(bytes, LINE_START) || begins(bytes, SIGNATURE);
}

function begins(bytes: Uint8Array, start: Uint8Array): boolean {
  const length = Math.min(bytes.length, start.length);
  for (let i = 0; i < length; i++) if (bytes[i] !== start[i]) return false;
  return true;
}

/** Returns the header at the beginning of the bytes, null if it is incomplete, or what is wrong with it. A header has at most `maxBytes` bytes. */
export function decodeProxyHeader(bytes: Buffer, maxBytes: number): ProxyHeader | ProxyHeaderFault | null {
  if (begins(bytes, SIGNATURE)) return bytes.length < FIXED_BYTES ? null : decodeBlock(bytes, maxBytes);
  if (!begins(bytes, LINE_START)) return fault('the first bytes are not a header of the PROXY protocol');
  const line = bytes.toString('latin1', 0, Math.min(bytes.length, MAX_LINE_BYTES, maxBytes));
  const length = line.indexOf('\r\n');
  if (length !== -1) return decodeLine(line.slice(0, length));
  return bytes.length < Math.min(MAX_LINE_BYTES, maxBytes) ? null : fault('the line of the header is too long');
}

function fault(reason: string): ProxyHeaderFault {
  return { reason };
}

// Version 1.

function decodeLine(line: string): ProxyHeader | ProxyHeaderFault {
  const end = line.length + 2;
  const info = { ...noProxyHeader, version: 1 } as const;
  // Section 2.1: what follows UNKNOWN must be ignored.
  if (/^PROXY UNKNOWN(?: |$)/.test(line)) return { info, end };
  const [, family, from = '', to = '', fromPort = '', toPort = ''] =
    /^PROXY (TCP4|TCP6) (\S+) (\S+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})$/.exec(line) ?? [];
  const source = addressOf(family, from, Number(fromPort));
  const destination = addressOf(family, to, Number(toPort));
  if (source === null || destination === null) return fault('the line of the header is malformed');
  return { info: { ...info, source, destination }, end };
}

function addressOf(family: string | undefined, text: string, port: number): SocketAddress | null {
  if (port > 65_535) return null;
  if (family === 'TCP4') return parseIPv4(text) === null ? null : { address: text, port };
  const v6 = parseIPv6(text);
  return v6 === null || v6.zone !== '' ? null : { address: formatIPv6(v6.bytes), port };
}

// Version 2.

/** The bytes of both addresses and ports, by family. The high half is the family, the low one 1 for a stream. */
const families: Readonly<Record<number, number>> = { 0: 0, 17: 12, 33: 36, 49: 216 };
const UNSPEC = 0;
const INET = 17;
const INET6 = 33;

/** All of the fixed part is there. */
function decodeBlock(bytes: Buffer, maxBytes: number): ProxyHeader | ProxyHeaderFault | null {
  const command = bytes[12] as number;
  const family = bytes[13] as number;
  const end = FIXED_BYTES + bytes.readUInt16BE(14);
  if (command !== 0x20 && command !== 0x21) return fault(`the version and command ${hex(command)} are unknown`);
  const isLocal = command === 0x20;
  const addressBytes = families[family];
  if (!isLocal && addressBytes === undefined) return fault(`the family ${hex(family)} is not one of streams`);
  if (end > maxBytes) return fault(`the header has ${end} bytes, and may have ${maxBytes}`);
  if (bytes.length < end) return null;
  // Section 2.2: the block of LOCAL is skipped.
  if (isLocal) return { info: { ...noProxyHeader, version: 2 }, end };
  const start = FIXED_BYTES + (addressBytes as number);
  if (start > end) return fault('the header is too short for its addresses');
  const tlvs = decodeTlvs(bytes, start, end);
  if ('reason' in tlvs) return tlvs;
  if (!hasRightChecksum(bytes, start, end)) return fault('the checksum of the header is wrong');
  const [source, destination] = decodeAddresses(bytes, family);
  return { info: { version: 2, source, destination, usesTls: tlvs.some(saysTls), tlvs }, end };
}

function decodeAddresses(bytes: Buffer, family: number): readonly [SocketAddress | null, SocketAddress | null] {
  if (family === UNSPEC) return [null, null];
  if (family === INET || family === INET6) {
    const [size, format] = family === INET ? ([4, formatIPv4] as const) : ([16, formatIPv6] as const);
    const addressAt = (i: number) => format(bytes.subarray(FIXED_BYTES + i * size, FIXED_BYTES + (i + 1) * size));
    const portAt = (i: number) => bytes.readUInt16BE(FIXED_BYTES + 2 * size + 2 * i);
    return [
      { address: addressAt(0), port: portAt(0) },
      { address: addressAt(1), port: portAt(1) },
    ];
  }
  return [{ path: pathAt(bytes, FIXED_BYTES) }, { path: pathAt(bytes, FIXED_BYTES + 108) }];
}

/** A path ends at its first NUL; one that begins with NUL is an abstract name, and ends before the NULs behind it. */
function pathAt(bytes: Buffer, start: number): string {
  const field = bytes.toString('utf8', start, start + 108);
  return field.startsWith('\0') ? field.replace(/\0+$/, '') : (field.split('\0', 1)[0] as string);
}

/** The bytes are copied: they lie in a buffer of the loop. */
function decodeTlvs(bytes: Buffer, start: number, end: number): ProxyTlv[] | ProxyHeaderFault {
  const tlvs: ProxyTlv[] = [];
  for (let at = start; at < end; ) {
    const valueAt = at + TLV_HEADER_BYTES;
    if (valueAt > end) return fault('a TLV of the header is cut off');
    const next = valueAt + bytes.readUInt16BE(at + 1);
    if (next > end) return fault('a TLV of the header is longer than the header');
    tlvs.push({ type: bytes[at] as number, value: Buffer.from(bytes.subarray(valueAt, next)) });
    at = next;
  }
  return tlvs;
}

/** Section 2.2.4: it is counted over the whole header, with zeros in its own place. True if there is no checksum. All TLVs are whole. */
function hasRightChecksum(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at += TLV_HEADER_BYTES + bytes.readUInt16BE(at + 1)) {
    if (bytes[at] !== PP2_TYPE_CRC32C) continue;
    if (bytes.readUInt16BE(at + 1) !== CRC_BYTES) return false;
    const valueAt = at + TLV_HEADER_BYTES;
    const header = Buffer.from(bytes.subarray(0, end)).fill(0, valueAt, valueAt + CRC_BYTES);
    if (crc32c(header) !== bytes.readUInt32BE(valueAt)) return false;
  }
  return true;
}

function saysTls({ type, value }: ProxyTlv): boolean {
  return type === PP2_TYPE_SSL && value.length >= SSL_FIXED_BYTES && ((value[0] as number) & PP2_CLIENT_SSL) !== 0;
}

function hex(byte: number): string {
  return `0x${byte.toString(16).padStart(2, '0')}`;
}
