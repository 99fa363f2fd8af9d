/**
 * ICMP: echo, and the errors that a host or a router on the way reports (RFC 792). Pure.
 *
 *      0      1      2           4          8
 *     | type | code | checksum  | rest     | data ...       data of an error: the header and the first bytes of the packet that it is about
 *
 * ICMP has no proof either: anyone can send an error about a packet that he guesses. So an error is read only if it quotes a packet of our own
 * address, and the owner of the quoted ports decides whether it has sent that packet (RFC 5927). Redirects are ignored, because they would let
 * a stranger change our routes, and source quench is, because RFC 6633 has abolished it.
 *
 * Next: internet-counters.ts
 */

import { ECONNREFUSED, EHOSTUNREACH, EMSGSIZE, ENETUNREACH, ENOPROTOOPT, EPROTO } from '../../kernel/abi.ts';
import { finishChecksum, sumWords } from './checksum.ts';
import { decodeQuotedIpv4, totalLengthOf } from './ipv4-packet.ts';
import { plateauBelow } from './path-mtu.ts';

export const ICMP_HEADER_BYTES = 8;

export const ICMP_ECHO_REPLY = 0;
export const ICMP_UNREACHABLE = 3;
export const ICMP_ECHO_REQUEST = 8;
export const ICMP_TIME_EXCEEDED = 11;
export const ICMP_PARAMETER_PROBLEM = 12;

/** Codes of ICMP_UNREACHABLE. */
export const CODE_NETWORK = 0;
export const CODE_HOST = 1;
export const CODE_PROTOCOL = 2;
export const CODE_PORT = 3;
export const CODE_FRAGMENTATION_NEEDED = 4;
/** A code of ICMP_TIME_EXCEEDED: fragments are missing. */
export const CODE_REASSEMBLY = 1;

/** RFC 1812 section 4.3.2.3: an error has 576 bytes at most, so it needs no fragments anywhere. Here is what that leaves for the quoted packet. */
export const MAX_QUOTED_BYTES = 576 - 20 - ICMP_HEADER_BYTES;

/** RFC 792: a quoted packet has at least so much of its payload. The ports of UDP and TCP are in it, and TCP's sequence number. */
const MIN_QUOTED_PAYLOAD = 8;

const CODE = 1;
const CHECKSUM = 2;
const REST = 4;

export interface IcmpMessage {
  readonly type: number;
  readonly code: number;
  /** The second word: identifier and number of an echo, the MTU of "fragmentation needed". */
  readonly rest: number;
  /** The data is bytes[start..end). */
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

/** An ICMP error about a packet that we sent. ARP reports a neighbour that does not answer in the same way. */
export interface IcmpError {
  readonly kind: 'unreachable' | 'fragmentation-needed' | 'time-exceeded' | 'parameter-problem';
  /** As in abi.ts, above 0. */
  readonly errno: number;
  /** Whether it says that the peer will never answer (RFC 1122 section 4.2.3.9). */
  readonly isHard: boolean;
  /** How large a packet may be on this way, header included; null for other errors. Once the owner has judged the quoted header, it calls `lowerPathMtu`. */
  readonly mtu: number | null;
  /** Of the packet that the error is about. */
  readonly source: number;
  readonly destination: number;
  readonly protocol: number;
  /** Its transport header and what else is quoted: bytes[start..end), at least 8 bytes. */
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

/** Returns null if bytes[start..end) is too short or its checksum is wrong. */
export function decodeIcmp(bytes: Buffer, start: number, end: number): IcmpMessage | null {
  if (end - start < ICMP_HEADER_BYTES || finishChecksum(sumWords(bytes, start, end)) !== 0) return null;
  return {
    type: bytes[start] as number,
    code: bytes[start + CODE] as number,
    rest: bytes.readUInt32BE(start + REST),
    bytes,
    start: start + ICMP_HEADER_BYTES,
    end,
  };
}

/** Writes the header in front of data that lies at `at + ICMP_HEADER_BYTES` already, up to `end`. */
export function writeIcmpHeader(
  bytes: Buffer,
  at: number,
  end: number,
  header: Pick<IcmpMessage, 'type' | 'code' | 'rest'>,
): void {
  bytes[at] = header.type;
  bytes[at + CODE] = header.code;
  bytes.writeUInt16BE(0, at + CHECKSUM);
  bytes.writeUInt32BE(header.rest, at + REST);
  bytes.writeUInt16BE(finishChecksum(sumWords(bytes, at, end)), at + CHECKSUM);
}

/** Returns the error that a message reports, or null if it reports none that we read, or none about a whole transport header. */
export function decodeIcmpError(message: IcmpMessage): IcmpError | null {
  const meaning = meaningOf(message.type, message.code);
  if (meaning === null) return null;
  const quoted = decodeQuotedIpv4(message.bytes, message.start, message.end);
  if (quoted === null || quoted.fragmentOffset > 0 || quoted.end - quoted.start < MIN_QUOTED_PAYLOAD) return null;
  const { source, destination, protocol, bytes, start, end } = quoted;
  // RFC 1191 section 5: a router from before that RFC leaves the field at 0. Then the next usual size below that of the packet is tried.
  const stated = message.rest & 0xffff;
  const mtu = stated === 0 ? plateauBelow(totalLengthOf(quoted)) : stated;
  return {
    ...meaning,
    mtu: meaning.kind === 'fragmentation-needed' ? mtu : null,
    ...{ source, destination, protocol, bytes, start, end },
  };
}

type Meaning = Pick<IcmpError, 'kind' | 'errno' | 'isHard'>;

const soft = (errno: number): Meaning => ({ kind: 'unreachable', errno, isHard: false });
const hard = (errno: number): Meaning => ({ kind: 'unreachable', errno, isHard: true });

/** By code: what Linux makes of them (icmp_err_convert), with fewer errnos. */
const unreachable: readonly Meaning[] = [
  soft(ENETUNREACH),
  soft(EHOSTUNREACH),
  hard(ENOPROTOOPT),
  hard(ECONNREFUSED),
  { kind: 'fragmentation-needed', errno: EMSGSIZE, isHard: false },
  soft(EHOSTUNREACH), // source route failed: we send none
  hard(ENETUNREACH), // network unknown
  hard(EHOSTUNREACH), // host unknown
  hard(EHOSTUNREACH), // source isolated
  hard(ENETUNREACH), // network prohibited
  hard(EHOSTUNREACH), // host prohibited
  soft(ENETUNREACH), // for this type of service
  soft(EHOSTUNREACH),
  hard(EHOSTUNREACH), // a filter
  hard(EHOSTUNREACH), // precedence
  hard(EHOSTUNREACH),
];

function meaningOf(type: number, code: number): Meaning | null {
  if (type === ICMP_UNREACHABLE) return unreachable[code] ?? null;
  if (type === ICMP_TIME_EXCEEDED) return { kind: 'time-exceeded', errno: EHOSTUNREACH, isHard: false };
  if (type === ICMP_PARAMETER_PROBLEM) return { kind: 'parameter-problem', errno: EPROTO, isHard: true };
  return null;
}
