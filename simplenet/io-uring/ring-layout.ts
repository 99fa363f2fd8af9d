/**
 * Ring layout: where things lie in the structs of io_uring(7), counted in 32-bit words.
 *
 * Next: io-uring.ts
 */

import { IO_URING_CQE_SIZE, IO_URING_SQE_SIZE, IORING_CQE_F_MORE } from '../kernel/abi.ts';

export const WORD_SIZE = 4;
export const SQE_WORDS = IO_URING_SQE_SIZE / WORD_SIZE;
export const CQE_WORDS = IO_URING_CQE_SIZE / WORD_SIZE;

/**
 * Where the flags and the priority lie in the first word of a submission, behind the operation. What has no use for a priority, as
 * accept and recv have none, keeps flags of its own there.
 */
export const FLAGS_BYTE = 8;
export const IOPRIO = 16;

/** In a struct io_uring_params that the kernel has filled in, counted in words. The last ones are offsets into the rings, in bytes. */
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
 * In a struct io_uring_sqe, counted in words: { u8 opcode @0; u8 flags @1; u16 ioprio @2; s32 fd @4; u64 offset @8; u64 address @16;
 * u32 length @24; u32 operation's flags @28; u64 user_data @32; u16 buffer group @40; ... }
 * The names are those of read and write. Other operations put other things there: connect the size of its address at `offset`, poll a
 * flag at `length`.
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

/** In a struct io_uring_cqe: { u64 user_data @0; s32 result @8; u32 flags @12; } */
export const CQE = { userData: 0, result: 2, flags: 3 };

/** What became of a request. */
export class Completion {
  /** The two numbers that the request was given. */
  fd = 0;
  tag = 0;
  /** What the system call would have answered: a number >= 0, or -errno. */
  result = 0;
  flags = 0;

  /** Whether the request lives on, and more completions of it will come. */
  get hasMore(): boolean {
    return (this.flags & IORING_CQE_F_MORE) !== 0;
  }
}
