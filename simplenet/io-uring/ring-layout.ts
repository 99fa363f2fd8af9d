/**
 * Ring layout: the offsets of fields in the structs of io_uring(7), in 32-bit words.
 *
 * Next: io-uring.ts
 */

import { IO_URING_CQE_SIZE, IO_URING_SQE_SIZE, IORING_CQE_F_MORE } from '../kernel/abi.ts';

export const WORD_SIZE = 4;
export const SQE_WORDS = IO_URING_SQE_SIZE / WORD_SIZE;
export const CQE_WORDS = IO_URING_CQE_SIZE / WORD_SIZE;

/**
 * The positions of the flags and of the priority in the first word of a submission, as bit shifts. The operation is below them.
 * Operations without a priority, such as accept and recv, keep flags of their own there.
 */
export const FLAGS_BYTE = 8;
export const IOPRIO = 16;

/** Offsets in struct io_uring_params, in words. From `submissionHead` on, the kernel fills in offsets into the rings, in bytes. */
export const PARAMS = {
  submissions: 0,
  completions: 1,
  flags: 2,
  features: 5,
  submissionHead: 10,
  submissionTail: 11,
  submissionFlags: 14,
  submissionIndexes: 16,
  completionHead: 20,
  completionTail: 21,
  completionEntries: 25,
  completionFlags: 26,
};

/**
 * Offsets in struct io_uring_sqe, in words: { u8 opcode @0; u8 flags @1; u16 ioprio @2; s32 fd @4; u64 offset @8; u64 address @16;
 * u32 length @24; u32 operation's flags @28; u64 user_data @32; u16 buffer group @40; ... }
 * The names are those of read and write. Other operations use some fields for other values: connect has the size of its address at
 * `offset`, poll has a flag at `length`.
 */
export const SQE = {
  operation: 0,
  fd: 1,
  offset: 2,
  address: 4,
  length: 6,
  operationFlags: 7,
  userData: 8,
  bufferGroup: 10,
};

/** Offsets in struct io_uring_cqe, in words: { u64 user_data @0; s32 result @8; u32 flags @12; } */
export const CQE = { userData: 0, result: 2, flags: 3 };

/**
 * The result of a request.
 *
 * ```ts
 * import { abi, type Completion, IoUring, SystemError } from 'simplenet';
 *
 * function resultOf(call: string, completion: Completion): number {
 *   if (completion.result < 0) throw new SystemError(call, completion.result);
 *   return completion.result;
 * }
 * const ring = new IoUring();
 * ring.poll(0, 1, abi.POLLIN); // standard input, with the tag 1
 * while (!ring.take()) ring.submit(1);
 * console.log(resultOf('poll', ring.completion) === abi.POLLIN);
 * ```
 */
export class Completion {
  /** The descriptor with which the request was made. */
  fd = 0;
  /** The number that the program gave the request. */
  tag = 0;
  /** What the system call would have returned: a number >= 0, or -errno. */
  result = 0;
  /** IORING_CQE_F_*; for a receive into a BufferRing, the buffer's number in the upper half. */
  flags = 0;

  /** Whether the request goes on, and more completions of it will come. */
  get hasMore(): boolean {
    return (this.flags & IORING_CQE_F_MORE) !== 0;
  }
}
