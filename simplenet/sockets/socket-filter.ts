/**
 * Socket filters: small programs in classic BPF that the kernel runs on every packet for a socket, socket(7). Pure.
 *
 * A program reads the packet and returns a number. For SO_ATTACH_FILTER this is how many bytes of the packet to keep; 0 drops it.
 * For SO_ATTACH_REUSEPORT_CBPF it is the number of the socket in the group that gets the packet. A program cannot loop: the kernel
 * attaches it only if all its jumps go forward. A read outside the packet ends it with 0. The opcodes are in abi.ts.
 *
 * For SO_ATTACH_FILTER, offset 0 is the transport header, so the payload of a datagram begins at 8. For
 * SO_ATTACH_REUSEPORT_CBPF, offset 0 is the payload.
 *
 * Next: socket-options.ts
 */

import {
  BPF_ABS,
  BPF_ALU,
  BPF_AND,
  BPF_B,
  BPF_JEQ,
  BPF_JMP,
  BPF_K,
  BPF_LD,
  BPF_RET,
  SOCK_FILTER_SIZE,
} from '../kernel/abi.ts';

/**
 * struct sock_filter.
 *
 * ```ts
 * import { abi, type FilterInstruction, UdpSocket } from 'simplenet';
 *
 * const { BPF_ABS, BPF_B, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET } = abi;
 * const beginsWithStar: FilterInstruction[] = [
 *   { code: BPF_LD | BPF_B | BPF_ABS, k: 8 }, // loads the first byte behind the UDP header
 *   { code: BPF_JMP | BPF_JEQ | BPF_K, k: '*'.charCodeAt(0), jt: 0, jf: 1 },
 *   { code: BPF_RET | BPF_K, k: 0xffff_ffff }, // keeps the datagram
 *   { code: BPF_RET | BPF_K, k: 0 }, // drops it
 * ];
 * UdpSocket.bindTo({ address: '127.0.0.1', port: 8080 }).attachFilter(beginsWithStar);
 * ```
 */
export interface FilterInstruction {
  /** An opcode, combined with `|`: BPF_LD | BPF_B | BPF_ABS. */
  readonly code: number;
  /** Its operand: a constant, an offset, a length. */
  readonly k: number;
  /** For jumps: how many instructions to skip if the condition holds; 0 by default. */
  readonly jt?: number;
  /** For jumps: how many instructions to skip if it does not hold; 0 by default. */
  readonly jf?: number;
}

/** The offset of the flags in a TCP header, RFC 9293 section 3.1. */
const TCP_FLAGS_AT = 13;
const TCP_SYN = 0x02;
const TCP_ACK = 0x10;

/** For a TCP listener: drops packets that begin a connection (SYN without ACK), and keeps all others. */
export const noSyn: readonly FilterInstruction[] = [
  { code: BPF_LD | BPF_B | BPF_ABS, k: TCP_FLAGS_AT },
  { code: BPF_ALU | BPF_AND | BPF_K, k: TCP_SYN | TCP_ACK },
  { code: BPF_JMP | BPF_JEQ | BPF_K, k: TCP_SYN, jt: 1, jf: 0 },
  { code: BPF_RET | BPF_K, k: 0xffff_ffff },
  { code: BPF_RET | BPF_K, k: 0 },
];

const MAX = { code: 0xffff, jump: 0xff, k: 0xffff_ffff } as const;

function checkedInteger(name: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new RangeError(`${name} of a filter instruction is an integer from ${min} to ${max}, not ${String(value)}`);
}

/** An array of struct sock_filter. */
export function encodeFilter(program: readonly FilterInstruction[]): Buffer {
  const bytes = Buffer.alloc(SOCK_FILTER_SIZE * program.length);
  for (const [i, { code, jt = 0, jf = 0, k }] of program.entries()) {
    const at = SOCK_FILTER_SIZE * i;
    bytes.writeUInt16LE(checkedInteger('code', code, 0, MAX.code), at);
    bytes.writeUInt8(checkedInteger('jt', jt, 0, MAX.jump), at + 2);
    bytes.writeUInt8(checkedInteger('jf', jf, 0, MAX.jump), at + 3);
    // Offsets below 0 mean other data than the packet: SKF_AD_OFF in abi.ts.
    bytes.writeUInt32LE(checkedInteger('k', k, -(2 ** 31), MAX.k) >>> 0, at + 4);
  }
  return bytes;
}
