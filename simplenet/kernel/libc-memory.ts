/**
 * The memory that libc.ts passes to C: pointers into buffers, lengths that the kernel writes, and a struct that holds an address.
 *
 * `valueResult`, `lastReceived` and `lastSent` are state of this module: they keep what the last call left, to save work in the next one.
 *
 * Next: libc.ts
 */

import {
  IO_URING_GETEVENTS_ARG_SIZE,
  IOVEC_SIZE,
  KERNEL_TIMESPEC_SIZE,
  MSGHDR_CONTROL,
  MSGHDR_CONTROLLEN,
  MSGHDR_IOV,
  MSGHDR_IOVLEN,
  MSGHDR_SIZE,
  OPEN_HOW_SIZE,
  SOCK_FILTER_SIZE,
  SOCK_FPROG_SIZE,
} from './abi.ts';
import { koffi } from './ffi.ts';
import { intrinsicBuffer, intrinsicByteLength, intrinsicByteOffset } from './intrinsic-bytes.ts';
import { checkRange } from './libc-checks.ts';

/**
 * The length that calls such as accept4(2) read and write (a value-result argument). It lies in our own memory, not in the caller's:
 * another thread could change a SharedArrayBuffer between the check and the call.
 */
export const valueResult = new Int32Array(1);

/** Copies the length from the caller's cell. Throws if `bytes` has less room than that. */
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

/** Copies the length that the kernel wrote into the caller's cell. Returns `result`. */
export function storeValueResult(cell: Int32Array, result: number): number {
  cell[0] = valueResult[0] as number;
  return result;
}

/**
 * A struct sock_fprog with its instructions right behind it, in one block of memory. The call holds the struct, and with it the
 * instructions that it points to. The block is ours, so the caller cannot free or move it in between.
 */
export function makeFprog(program: Uint8Array, programLength: number): Uint8Array {
  const memory = new Uint8Array(new ArrayBuffer(SOCK_FPROG_SIZE + programLength));
  for (let i = 0; i < programLength; i++) memory[SOCK_FPROG_SIZE + i] = program[i] as number;
  const struct = new DataView(memory.buffer);
  struct.setUint16(0, programLength / SOCK_FILTER_SIZE, true);
  struct.setBigUint64(8, koffi.address(memory) + BigInt(SOCK_FPROG_SIZE), true);
  return memory;
}

const CONTROL_AT = MSGHDR_SIZE + IOVEC_SIZE;

/**
 * A struct msghdr with its struct iovec and room for control messages right behind it, as in `makeFprog`. The caller holds `bytes` until the call has
 * returned.
 */
export function makeMessage(bytes: Uint8Array, length: number, controlLength: number): Uint8Array {
  const memory = new Uint8Array(new ArrayBuffer(CONTROL_AT + controlLength));
  const struct = new DataView(memory.buffer);
  const address = koffi.address(memory);
  struct.setBigUint64(MSGHDR_IOV, address + BigInt(MSGHDR_SIZE), true);
  struct.setBigUint64(MSGHDR_IOVLEN, 1n, true);
  struct.setBigUint64(MSGHDR_CONTROL, controlLength === 0 ? 0n : address + BigInt(CONTROL_AT), true);
  struct.setBigUint64(MSGHDR_CONTROLLEN, BigInt(controlLength), true);
  struct.setBigUint64(MSGHDR_SIZE, length === 0 ? 0n : koffi.address(bytes), true);
  struct.setBigUint64(MSGHDR_SIZE + 8, BigInt(length), true);
  return memory;
}

/** The room for control messages in what `makeMessage` has made. */
export function messageControl(message: Uint8Array): Uint8Array {
  return message.subarray(CONTROL_AT);
}

/** The lower half of a field: all of `flags`, and of a length all that it can have. */
export function messageWord(message: Uint8Array, offset: number): number {
  return new DataView(message.buffer).getInt32(offset, true);
}

/** The offset that sendfile(2) reads and writes. */
export const offsetCell = new BigInt64Array(1);

const openHow = new BigUint64Array(OPEN_HOW_SIZE / BigUint64Array.BYTES_PER_ELEMENT);

/** A struct open_how. The next call changes it. */
export function makeOpenHow(flags: number, resolve: number): BigUint64Array {
  openHow[0] = BigInt(flags >>> 0);
  openHow[2] = BigInt(resolve >>> 0);
  return openHow;
}

/** Where the address `ts` lies in struct io_uring_getevents_arg. */
const TS_OFFSET = 16;

let waitStruct: { readonly bytes: Uint8Array; readonly time: Uint32Array } | null = null;

/** A struct io_uring_getevents_arg with its struct __kernel_timespec right behind it, as in `makeFprog`. The next call changes it. */
export function waitLimit(ms: number): Uint8Array {
  waitStruct ??= makeWaitStruct();
  const { bytes, time } = waitStruct;
  time[0] = Math.floor(ms / 1_000); // the lower halves of two 64-bit numbers
  time[2] = (ms % 1_000) * 1_000_000;
  return bytes;
}

function makeWaitStruct() {
  const memory = new ArrayBuffer(IO_URING_GETEVENTS_ARG_SIZE + KERNEL_TIMESPEC_SIZE);
  const bytes = new Uint8Array(memory);
  const time = new Uint32Array(memory, IO_URING_GETEVENTS_ARG_SIZE);
  new DataView(memory).setBigUint64(TS_OFFSET, koffi.address(bytes) + BigInt(IO_URING_GETEVENTS_ARG_SIZE), true);
  return { bytes, time };
}

/** C's `buf + offset`, as a view and not as an address: the view keeps the memory alive during the call. */
export function pointer(bytes: Uint8Array, offset: number): Uint8Array {
  if (offset === 0) return bytes;
  return new Uint8Array(intrinsicBuffer(bytes), intrinsicByteOffset(bytes) + offset); // a subclass may override subarray()
}

/**
 * Caches the address of the last buffer. koffi asks V8 for the address in each call, which costs half as much as the whole call,
 * and a server receives into one buffer and sends from one.
 *
 * This object holds the buffer, so the address cannot outlive its memory. A buffer that was transferred or shrunk since then
 * fails `checkRange`, which runs first.
 */
class LastPointer {
  #bytes: Uint8Array | null = null;
  #address: bigint | null = null;

  of(bytes: Uint8Array, offset: number): Uint8Array | bigint {
    if (offset !== 0) return pointer(bytes, offset);
    if (bytes === this.#bytes) {
      this.#address ??= koffi.address(bytes); // on the second use: most buffers are used once
      return this.#address;
    }
    this.#bytes = bytes;
    this.#address = null;
    return bytes;
  }
}

export const lastReceived = new LastPointer();
export const lastSent = new LastPointer();
