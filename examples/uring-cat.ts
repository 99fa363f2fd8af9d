/**
 * The smallest io_uring program: cat(1), which copies a file, or its standard input, to its standard output.
 *
 * Whatever one wants of io_uring(7) takes three steps. Fill in a request: an operation, a descriptor, the memory it is
 * about. Submit: one system call, io_uring_enter(2), hands over all that has been filled in, and waits if it is told to.
 * Take the answers out of a ring that the kernel writes into: each is what read(2) or write(2) would have answered.
 *
 * Between the first step and the third the memory is the kernel's. A request holds an address, which keeps nothing alive:
 * whoever fills one in must hold on to the buffer, and leave it alone, until the answer has come.
 *
 * One request at a time is under way here, so this makes as many system calls as cat does. A server fills in hundreds and
 * hands them over with one: `../simplenet/io-uring/uring-loop.ts`. What else is different then: `../docs/epoll-and-io_uring.md`.
 */

import { abi, IoUring, SystemError } from '../simplenet/index.ts';

const STDIN = 0;
const STDOUT = 1;
const BUFFER_BYTES = 64 * 1024;
/** An offset: the file's own position. A pipe knows no other. */
const WHERE_IT_STANDS = -1;
/** It comes back with the answer. Of many requests it says which one is answered; here there is one at a time. */
const TAG = 0;

const path = process.argv[2];
const ring = openRing();
const { libc } = ring;
const input = path === undefined ? STDIN : check('open', libc.open(path, abi.O_RDONLY | abi.O_CLOEXEC));
const buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES); // a constant of the module outlives every request here
const address = libc.addressOf(buffer, 0, BUFFER_BYTES);

for (;;) {
  ring.read(input, TAG, address, BUFFER_BYTES, WHERE_IT_STANDS);
  const length = check('read', answer());
  if (length === 0) break;
  for (let written = 0; written < length; ) {
    ring.write(STDOUT, TAG, address + written, length - written, WHERE_IT_STANDS);
    written += check('write', answer()); // a pipe takes what it has room for
  }
}
ring.close(); // nothing is under way any more

/** Submits what is filled in, waits, takes the answer. A signal may end the wait before there is one. */
function answer(): number {
  while (!ring.take()) ring.submit(1);
  return ring.completion.result;
}

/** An answer below 0 is -errno, as from every system call. */
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
