/**
 * SimulatedFilter: classic BPF over the bytes of a packet, as far as programs here use it. It throws for an instruction that it does not know.
 *
 * Next: simulated-tcp-socket.ts
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
} from '../../simplenet/kernel/abi.ts';

export class SimulatedFilter {
  readonly #program: Buffer;

  constructor(program: Uint8Array) {
    this.#program = Buffer.from(program);
  }

  get instructionCount(): number {
    return this.#program.length / SOCK_FILTER_SIZE;
  }

  /** How many bytes of the packet to keep: 0 drops it. */
  run(packet: Uint8Array): number {
    let accumulator = 0;
    for (let at = 0; at < this.#program.length; at += SOCK_FILTER_SIZE) {
      const code = this.#program.readUInt16LE(at);
      const k = this.#program.readUInt32LE(at + 4);
      if (code === (BPF_LD | BPF_B | BPF_ABS)) {
        const byte = packet[k];
        if (byte === undefined) return 0;
        accumulator = byte;
      } else if (code === (BPF_ALU | BPF_AND | BPF_K)) {
        accumulator &= k;
      } else if (code === (BPF_JMP | BPF_JEQ | BPF_K)) {
        at += SOCK_FILTER_SIZE * this.#program.readUInt8(at + (accumulator === k ? 2 : 3));
      } else if (code === (BPF_RET | BPF_K)) {
        return k;
      } else {
        throw new Error(`the BPF instruction 0x${code.toString(16)} is not simulated`);
      }
    }
    throw new Error('a filter ends with BPF_RET: the kernel would not have attached this one');
  }
}
