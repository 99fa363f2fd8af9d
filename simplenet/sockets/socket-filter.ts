/**
 * Socket filters: small programs in classic BPF that the kernel runs on every packet for a socket, socket(7). Pure.
 *
 * A program gets the packet and answers a number: to SO_ATTACH_FILTER how many of its bytes to keep, 0 for none, and to
 * SO_ATTACH_REUSEPORT_CBPF which socket of the group is to have it. It cannot loop, for its jumps only go forward, nor read
 * outside of the packet, which ends it with 0: the kernel checks all of that before it attaches it. The opcodes are in abi.ts.
 *
 * A filter sees a packet from its transport header on, so the payload of a datagram begins at 8; one that chooses among
 * sockets sees it from the payload on.
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

/** struct sock_filter. */
export interface FilterInstruction {
  /** An opcode, put together with `|`: BPF_LD | BPF_B | BPF_ABS. */
  readonly code: number;
  /** Its operand: a constant, an offset, a length. */
  readonly k: number;
  /** For jumps: how many instructions to skip where the condition holds; 0 unless given. */
  readonly jt?: number;
  /** And where it does not. */
  readonly jf?: number;
}

/** In a TCP header, RFC 9293 section 3.1. */
const TCP_FLAGS_AT = 13;
const TCP_SYN = 0x02;
const TCP_ACK = 0x10;

/** For a TCP listener: drops what would begin a connection (SYN without ACK), and keeps what belongs to one. */
export const noSyn: readonly FilterInstruction[] = [
  { code: BPF_LD | BPF_B | BPF_ABS, k: TCP_FLAGS_AT },
  { code: BPF_ALU | BPF_AND | BPF_K, k: TCP_SYN | TCP_ACK },
  { code: BPF_JMP | BPF_JEQ | BPF_K, k: TCP_SYN, jt: 1, jf: 0 },
  { code: BPF_RET | BPF_K, k: 0xffff_ffff },
  { code: BPF_RET | BPF_K, k: 0 },
];

const LARGEST = { code: 0xffff, jump: 0xff, k: 0xffff_ffff } as const;

function whole(name: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new RangeError(`${name} of a filter instruction is an integer from ${least} to ${most}, not ${String(value)}`);
}

/** An array of struct sock_filter. */
export function encodeFilter(program: readonly FilterInstruction[]): Buffer {
  const bytes = Buffer.alloc(SOCK_FILTER_SIZE * program.length);
  for (const [i, { code, jt = 0, jf = 0, k }] of program.entries()) {
    const at = SOCK_FILTER_SIZE * i;
    bytes.writeUInt16LE(whole('code', code, 0, LARGEST.code), at);
    bytes.writeUInt8(whole('jt', jt, 0, LARGEST.jump), at + 2);
    bytes.writeUInt8(whole('jf', jf, 0, LARGEST.jump), at + 3);
    // Offsets below 0 stand for other things than the packet, see SKF_AD_OFF.
    bytes.writeUInt32LE(whole('k', k, -(2 ** 31), LARGEST.k) >>> 0, at + 4);
  }
  return bytes;
}
