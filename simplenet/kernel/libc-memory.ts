/**
 * What libc.ts passes to C in place of the caller's objects: pointers into buffers, lengths that the kernel writes, a struct that
 * holds an address.
 *
 * Next: libc.ts
 */

import { SOCK_FILTER_SIZE, SOCK_FPROG_SIZE } from './abi.ts';
import { koffi } from './ffi.ts';
import { intrinsicBuffer, intrinsicByteLength, intrinsicByteOffset } from './intrinsic-bytes.ts';
import { checkRange } from './libc-checks.ts';

/**
 * The length that accept4(2) and its like read and write (a value-result argument). It lies in memory of our own and not in the caller's:
 * another thread could change a SharedArrayBuffer between the check and the call.
 */
export const valueResult = new Int32Array(1);

/** Copies the length from the caller's cell, if `bytes` has as much room. */
export function loadValueResult(cell: Int32Array, bytes: Uint8Array): void {
  checkRange(bytes, 0, 0);
  const length = cell instanceof Int32Array ? (cell[0] as number) : undefined;
  if (length === undefined || (length | 0) !== length) throw new TypeError('a length must be an Int32Array');
  const byteLength = intrinsicByteLength(bytes);
  if (length < 0 || length > byteLength) {
    throw new RangeError(`a length of ${length} is outside a buffer of ${byteLength} bytes`);
  }
  valueResult[0] = length;
}

/** Copies the length that the kernel left back into the caller's cell. Returns `result`. */
export function storeValueResult(cell: Int32Array, result: number): number {
  cell[0] = valueResult[0] as number;
  return result;
}

/**
 * struct sock_fprog with its instructions behind it, all in one piece of memory: the call holds the struct, and so what it
 * points to. It is our own, so nobody can take it away or move it in between.
 */
export function makeFprog(program: Uint8Array, programLength: number): Uint8Array {
  const memory = new Uint8Array(new ArrayBuffer(SOCK_FPROG_SIZE + programLength));
  for (let i = 0; i < programLength; i++) memory[SOCK_FPROG_SIZE + i] = program[i] as number;
  const struct = new DataView(memory.buffer);
  struct.setUint16(0, programLength / SOCK_FILTER_SIZE, true);
  struct.setBigUint64(8, koffi.address(memory) + BigInt(SOCK_FPROG_SIZE), true);
  return memory;
}

/** C's `buf + offset`. As an object, and not as a number that koffi.address could give: so the memory stays alive. */
export function pointer(bytes: Uint8Array, offset: number): Uint8Array {
  if (offset === 0) return bytes;
  return new Uint8Array(intrinsicBuffer(bytes), intrinsicByteOffset(bytes) + offset); // subarray() may be overridden
}

/**
 * Where the bytes of the last buffer lie. koffi asks V8 for that in each call, which costs half as much as the whole call,
 * and a server receives into one buffer and sends from one.
 *
 * The buffer is held here, so the address cannot outlive its memory. Bytes that were transferred or shrunk away meanwhile
 * are no danger either: `checkRange` comes first, and to it such a buffer is too short.
 */
class LastPointer {
  #bytes: Uint8Array | null = null;
  #address: bigint | null = null;

  of(bytes: Uint8Array, offset: number): Uint8Array | bigint {
    if (offset !== 0) return pointer(bytes, offset);
    if (bytes === this.#bytes) {
      this.#address ??= koffi.address(bytes); // only now: most buffers are seen once
      return this.#address;
    }
    this.#bytes = bytes;
    this.#address = null;
    return bytes;
  }
}

export const lastReceived = new LastPointer();
export const lastSent = new LastPointer();
