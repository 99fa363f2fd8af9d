/**
 * The smallest io_uring program: cat(1), which copies a file, or its standard input, to its standard output.
 *
 * Each operation of io_uring(7) takes three steps. Fill in a request: an operation, a descriptor and memory. Submit: one system
 * call, io_uring_enter(2), hands over all requests that have been filled in, and can wait. Take the completions out of a ring that
 * the kernel writes into: each has the result that read(2) or write(2) would have returned.
 *
 * Between the first step and the third the memory belongs to the kernel. A request holds an address, which does not keep a buffer alive.
 * So the program must keep the buffer, and not change it, until the completion has come.
 *
 * Only one request at a time is under way here, so this makes as many system calls as cat does. A server fills in hundreds and
 * hands them over with one call: `../simplenet/io-uring/uring-loop.ts`. `../docs/epoll-and-io_uring.md` explains the other differences.
 */

import { abi, IoUring, SystemError } from '../simplenet/index.ts';

const STDIN = 0;
const STDOUT = 1;
const BUFFER_BYTES = 64 * 1024;
/** This offset means the current position of the file, as in read(2). A pipe has no other. */
const CURRENT_POSITION = -1;
/** A completion carries the tag of its request. Here it is not needed, with one request at a time. */
const TAG = 0;

const path = process.argv[2];
const ring = openRing();
const { libc } = ring;
const input = path === undefined ? STDIN : check('open', libc.open(path, abi.O_RDONLY | abi.O_CLOEXEC));
const buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES); // a constant of the module outlives every request here
const address = libc.addressOf(buffer, 0, BUFFER_BYTES);

for (;;) {
  ring.read(input, TAG, address, BUFFER_BYTES, CURRENT_POSITION);
  const length = check('read', nextResult());
  if (length === 0) break;
  for (let written = 0; written < length; ) {
    ring.write(STDOUT, TAG, address + written, length - written, CURRENT_POSITION);
    written += check('write', nextResult()); // a pipe may take less than all
  }
}
ring.close(); // no request is under way

/** Submits the request, waits, and returns the result of its completion. A signal may end a wait early, so it is repeated. */
function nextResult(): number {
  while (!ring.take()) ring.submit(1);
  return ring.completion.result;
}

/** Throws for a negative result, which is -errno, as for every system call. */
function check(call: string, result: number): number {
  if (result >= 0) return result;
  throw new SystemError(call, result, path === undefined || call === 'write' ? undefined : { path });
}

function openRing(): IoUring {
  try {
    return new IoUring({ entries: 1, completions: 2 });
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    throw new Error(`there is no io_uring for this program: ${error.message}`); // an old kernel, or a container's filter
  }
}
