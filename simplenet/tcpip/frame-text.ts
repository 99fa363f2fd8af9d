/**
 * Frame text: one line for a frame, as `tcpdump -n` prints it. `traceFrames` prints one for each frame of a link.
 *
 *     ARP, Request who-has 10.9.0.2 tell 10.9.0.1, length 28
 *     IP 10.9.0.1.41000 > 10.9.0.2.8080: Flags [S], seq 3735928559, win 64240, options [mss 1460,sackOK,TS val 7 ecr 0,nop,wscale 7], length 0
 *     IP 10.9.0.2.8080 > 10.9.0.1.41000: Flags [P.], seq 1:120, ack 18, win 512, length 119
 *
 * With `FlowNumbers` the numbers of a TCP connection are relative to its start, as in the third line; without, as they are on the wire (`tcpdump -S`).
 * What a port usually carries (HTTP, DNS) is not decoded, nor is IPv6, and checksums are not compared, except that of the IPv4 header. A packet
 * that the stack would drop as malformed has a line that says so.
 *
 * Next: stack-limits.ts
 */

import { ARP_REQUEST, decodeArp } from './ip/arp-packet.ts';
import {
  CODE_FRAGMENTATION_NEEDED,
  CODE_HOST,
  CODE_NETWORK,
  CODE_PORT,
  CODE_PROTOCOL,
  CODE_REASSEMBLY,
  ICMP_ECHO_REPLY,
  ICMP_ECHO_REQUEST,
  ICMP_HEADER_BYTES,
  ICMP_TIME_EXCEEDED,
  ICMP_UNREACHABLE,
} from './ip/icmp.ts';
import { formatIpv4Number } from './ip/ipv4-address.ts';
import {
  decodeIpv4,
  decodeQuotedIpv4,
  type Ipv4Packet,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from './ip/ipv4-packet.ts';
import { UDP_HEADER_BYTES } from './ip/udp-datagram.ts';
import {
  decodeEthernet,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  type EthernetFrame,
  formatHardwareAddress,
} from './link/ethernet-frame.ts';
import type { Link } from './link/link.ts';
import { type FrameObserver, observeFrames } from './link/observed-link.ts';
import { ACK, CWR, decodeSegment, ECE, FIN, HEADER_BYTES, PSH, RST, SYN, type TcpSegment, URG } from './tcp/segment.ts';

/** How many connections `FlowNumbers` remembers. The one that it has known for longest is forgotten first. */
const MAX_FLOWS = 1_024;

/**
 * Where the numbers of each TCP connection begin. As in tcpdump, the first segment with ACK that is seen of a connection, and every SYN, have their numbers
 * as they are on the wire.
 *
 * ```ts
 * import { createWire, FlowNumbers, frameText } from 'simplenet';
 *
 * const flows = new FlowNumbers();
 * createWire({ onFrame: (frame, _from, fate) => console.log(frameText(frame, 0, frame.length, flows), fate) });
 * ```
 */
export class FlowNumbers {
  /** From `10.9.0.1.41000 > 10.9.0.2.8080` to the sequence number that is 0 in this direction. */
  readonly #starts = new Map<string, number>();

  /**
   * Returns what to subtract from the sequence numbers and the acknowledgments of this segment.
   *
   * @internal
   */
  basesOf(forth: string, back: string, segment: TcpSegment): { sequence: number; acknowledgment: number } {
    const none = { sequence: 0, acknowledgment: 0 };
    if ((segment.flags & ACK) === 0) return none;
    const sequence = this.#starts.get(forth);
    const acknowledgment = this.#starts.get(back);
    if (sequence !== undefined && acknowledgment !== undefined && (segment.flags & SYN) === 0) {
      return { sequence, acknowledgment };
    }
    this.#remember(forth, segment.sequence);
    this.#remember(back, (segment.acknowledgment - 1) >>> 0);
    return none;
  }

  #remember(direction: string, start: number): void {
    this.#starts.delete(direction);
    this.#starts.set(direction, start);
    if (this.#starts.size <= 2 * MAX_FLOWS) return;
    const [oldest] = this.#starts.keys();
    this.#starts.delete(oldest as string);
  }
}

/**
 * The line of the frame in bytes[start..end), as `tcpdump -n` prints it.
 *
 * ```ts
 * import { createWire, frameText } from 'simplenet';
 *
 * createWire({ onFrame: (frame) => console.log(frameText(frame, 0, frame.length)) });
 * ```
 */
export function frameText(bytes: Buffer, start: number, end: number, flows: FlowNumbers | null = null): string {
  const frame = decodeEthernet(bytes, start, end);
  if (frame === null) return `malformed frame, length ${end - start}`;
  if (frame.type === ETHERTYPE_IPV4) return ipv4Text(frame, flows);
  if (frame.type === ETHERTYPE_ARP) return arpText(frame);
  const length = frame.end - frame.start;
  if (frame.type === ETHERTYPE_IPV6) return `IP6, length ${length}`;
  const type = `0x${frame.type.toString(16).padStart(4, '0')}`;
  return `${formatHardwareAddress(frame.source)} > ${formatHardwareAddress(frame.destination)}, ethertype ${type}, length ${length}`;
}

/**
 * Prints a line for each frame that the link sends or receives, with relative numbers.
 *
 * ```ts
 * import { createStack, openTap, traceFrames } from 'simplenet';
 *
 * const link = traceFrames(openTap('tap0'), (line) => console.log(line));
 * createStack({ link, address: '10.9.0.2/24' });
 * ```
 */
export function traceFrames(link: Link, print: (line: string, direction: Parameters<FrameObserver>[1]) => void): Link {
  const flows = new FlowNumbers();
  return observeFrames(link, (frame, direction) => print(frameText(frame, 0, frame.length, flows), direction));
}

function arpText(frame: EthernetFrame): string {
  const length = frame.end - frame.start;
  const packet = decodeArp(frame.bytes, frame.start, frame.end);
  if (packet === null) return `ARP, malformed, length ${length}`;
  const [sender, target] = [formatIpv4Number(packet.sender), formatIpv4Number(packet.target)];
  if (packet.operation !== ARP_REQUEST) {
    return `ARP, Reply ${sender} is-at ${formatHardwareAddress(packet.senderHardware)}, length ${length}`;
  }
  const hardware = packet.targetHardware === 0 ? '' : ` (${formatHardwareAddress(packet.targetHardware)})`;
  return `ARP, Request who-has ${target}${hardware} tell ${sender}, length ${length}`;
}

function ipv4Text(frame: EthernetFrame, flows: FlowNumbers | null): string {
  const packet = decodeIpv4(frame.bytes, frame.start, frame.end);
  if (packet === null) return `IP, malformed, length ${frame.end - frame.start}`;
  const hosts = `IP ${formatIpv4Number(packet.source)} > ${formatIpv4Number(packet.destination)}`;
  const length = packet.end - packet.start;
  // Only the first fragment has a header of the protocol above.
  if (packet.fragmentOffset > 0) return `${hosts}: ip-proto-${packet.protocol}`;
  if (packet.protocol === PROTOCOL_TCP) return tcpText(packet, flows) ?? `${hosts}: TCP, malformed, length ${length}`;
  if (packet.protocol === PROTOCOL_UDP) return udpText(packet) ?? `${hosts}: UDP, malformed, length ${length}`;
  if (packet.protocol === PROTOCOL_ICMP) return `${hosts}: ${icmpText(packet) ?? 'ICMP, malformed'}, length ${length}`;
  return `${hosts}:  ip-proto-${packet.protocol} ${length}`;
}

/** Both directions of a flow, as `from > to`. */
function endpointsOf(packet: Ipv4Packet, sourcePort: number, destinationPort: number): [forth: string, back: string] {
  const source = `${formatIpv4Number(packet.source)}.${sourcePort}`;
  const destination = `${formatIpv4Number(packet.destination)}.${destinationPort}`;
  return [`${source} > ${destination}`, `${destination} > ${source}`];
}

/** Not by decodeUdp, which refuses a first fragment: its length and its checksum are about all fragments. */
function udpText(packet: Ipv4Packet): string | null {
  const { bytes, start, end } = packet;
  if (end - start < UDP_HEADER_BYTES) return null;
  const [endpoints] = endpointsOf(packet, bytes.readUInt16BE(start), bytes.readUInt16BE(start + 2));
  const length = bytes.readUInt16BE(start + 4) - UDP_HEADER_BYTES;
  return length < 0 ? null : `IP ${endpoints}: UDP, length ${length}`;
}

const flagLetters: readonly (readonly [flag: number, letter: string])[] = [
  [FIN, 'F'],
  [SYN, 'S'],
  [RST, 'R'],
  [PSH, 'P'],
  [ACK, '.'],
  [URG, 'U'],
  [ECE, 'E'],
  [CWR, 'W'],
];

function tcpText(packet: Ipv4Packet, flows: FlowNumbers | null): string | null {
  const segment = decodeSegment(packet.bytes, packet.start, packet.end);
  if (segment === null) return null;
  const { flags } = segment;
  const [forth, back] = endpointsOf(packet, segment.sourcePort, segment.destinationPort);
  const bases = flows?.basesOf(forth, back, segment) ?? { sequence: 0, acknowledgment: 0 };
  const letters = flagLetters.map(([flag, letter]) => ((flags & flag) === 0 ? '' : letter)).join('');
  const length = segment.end - segment.start;
  const parts = [`IP ${forth}: Flags [${letters || 'none'}]`];
  const first = (segment.sequence - bases.sequence) >>> 0;
  if (length > 0) parts.push(`seq ${first}:${(first + length) >>> 0}`);
  else if ((flags & (SYN | FIN | RST)) !== 0) parts.push(`seq ${first}`);
  if ((flags & ACK) !== 0) parts.push(`ack ${(segment.acknowledgment - bases.acknowledgment) >>> 0}`);
  parts.push(`win ${segment.window}`);
  if ((flags & URG) !== 0) parts.push(`urg ${segment.urgent}`);
  const options = optionTexts(segment.bytes, packet.start + HEADER_BYTES, segment.start, bases.acknowledgment);
  if (options.length > 0) parts.push(`options [${options.join(',')}]`);
  parts.push(`length ${length}`);
  return parts.join(', ');
}

const END_OF_OPTIONS = 0;
const NO_OPERATION = 1;

/** All options in their order. `decodeSegment` keeps neither their order nor the padding, and has checked their lengths. */
function optionTexts(bytes: Buffer, start: number, end: number, acknowledgmentBase: number): string[] {
  const texts: string[] = [];
  for (let at = start; at < end; ) {
    const kind = bytes[at] as number;
    if (kind === END_OF_OPTIONS) return [...texts, 'eol'];
    if (kind === NO_OPERATION) {
      texts.push('nop');
      at++;
      continue;
    }
    const length = bytes[at + 1] as number;
    const data = bytes.subarray(at + 2, at + length);
    texts.push(optionText(kind, data, acknowledgmentBase));
    at += length;
  }
  return texts;
}

function optionText(kind: number, data: Buffer, acknowledgmentBase: number): string {
  if (kind === 2 && data.length === 2) return `mss ${data.readUInt16BE(0)}`;
  if (kind === 3 && data.length === 1) return `wscale ${data[0]}`;
  if (kind === 4 && data.length === 0) return 'sackOK';
  if (kind === 5 && data.length > 0 && data.length % 8 === 0) return sackText(data, acknowledgmentBase);
  if (kind === 8 && data.length === 8) return `TS val ${data.readUInt32BE(0)} ecr ${data.readUInt32BE(4)}`;
  return data.length === 0 ? `unknown-${kind}` : `unknown-${kind} 0x${data.toString('hex')}`;
}

function sackText(data: Buffer, acknowledgmentBase: number): string {
  const blocks: string[] = [];
  for (let at = 0; at < data.length; at += 8) {
    const [first, end] = [data.readUInt32BE(at), data.readUInt32BE(at + 4)];
    blocks.push(`{${(first - acknowledgmentBase) >>> 0}:${(end - acknowledgmentBase) >>> 0}}`);
  }
  return `sack ${blocks.length} ${blocks.join('')}`;
}

function icmpText(packet: Ipv4Packet): string | null {
  const { bytes, start, end } = packet;
  if (end - start < ICMP_HEADER_BYTES) return null;
  const [type, code] = [bytes[start] as number, bytes[start + 1] as number];
  if (type === ICMP_ECHO_REQUEST || type === ICMP_ECHO_REPLY) {
    const what = type === ICMP_ECHO_REQUEST ? 'request' : 'reply';
    return `ICMP echo ${what}, id ${bytes.readUInt16BE(start + 4)}, seq ${bytes.readUInt16BE(start + 6)}`;
  }
  if (type === ICMP_UNREACHABLE) return unreachableText(bytes, start, end, code);
  if (type === ICMP_TIME_EXCEEDED) {
    return code === CODE_REASSEMBLY ? 'ICMP ip reassembly time exceeded' : 'ICMP time exceeded in-transit';
  }
  return `ICMP type-#${type}`;
}

const transportNames: Readonly<Record<number, string>> = { [PROTOCOL_TCP]: 'tcp', [PROTOCOL_UDP]: 'udp' };

/** What cannot be reached is the destination of the quoted packet. */
function unreachableText(bytes: Buffer, start: number, end: number, code: number): string | null {
  const quoted = decodeQuotedIpv4(bytes, start + ICMP_HEADER_BYTES, end);
  if (quoted === null) return null;
  const host = formatIpv4Number(quoted.destination);
  if (code === CODE_NETWORK) return `ICMP net ${host} unreachable`;
  if (code === CODE_HOST) return `ICMP host ${host} unreachable`;
  if (code === CODE_PROTOCOL) return `ICMP ${host} protocol ${quoted.protocol} unreachable`;
  if (code === CODE_PORT && quoted.end - quoted.start >= 4) {
    const protocol = transportNames[quoted.protocol] ?? `protocol ${quoted.protocol}`;
    return `ICMP ${host} ${protocol} port ${bytes.readUInt16BE(quoted.start + 2)} unreachable`;
  }
  if (code === CODE_FRAGMENTATION_NEEDED) {
    return `ICMP ${host} unreachable - need to frag (mtu ${bytes.readUInt16BE(start + 6)})`;
  }
  return `ICMP ${host} unreachable - code ${code}`;
}
