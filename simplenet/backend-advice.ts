/**
 * BackendAdvice: says when the other event loop would be cheaper on this machine.
 *
 * A ring saves system calls and nothing else, so the price of a system call decides. It differs by a factor of ten from machine to machine:
 * a guest whose hypervisor takes part in each call pays much more than the host does. docs/epoll-and-io_uring.md has the figures.
 *
 * Next: tcpip/link/link.ts
 */

import type { Backend } from './create-event-loop.ts';
import { Epoll } from './epoll/epoll.ts';
import { IoUring } from './io-uring/io-uring.ts';
import { type Libc, libc as processLibc } from './kernel/libc.ts';
import { SystemError } from './kernel/system-error.ts';
import { isTraced } from './kernel/tracing.ts';

/** From this price on, io_uring is clearly cheaper for many connections. */
const DEAR_US = 0.5;

interface Clock {
  now(): number;
}

const CALLS = 100;
const BATCHES = 9;

/** The price of a cheap system call in microseconds: an epoll_wait(2) that finds nothing. Takes a millisecond or two. */
export function priceOfSystemCall(libc: Libc = processLibc, clock: Clock = performance): number {
  const epoll = new Epoll({ libc, maxEvents: 1 });
  let leastMs = Number.POSITIVE_INFINITY;
  for (let batch = 0; batch < BATCHES; batch++) {
    const startedAt = clock.now();
    for (let i = 0; i < CALLS; i++) epoll.wait(0);
    leastMs = Math.min(leastMs, clock.now() - startedAt); // whatever else runs can only add to it
  }
  epoll.close();
  return (leastMs * 1_000) / CALLS;
}

function isUringAllowed(libc: Libc): boolean {
  try {
    new IoUring({ entries: 1, completions: 2, libc }).close();
    return true;
  } catch (error) {
    if (error instanceof SystemError) return false;
    throw error;
  }
}

/**
 * One sentence if the other event loop would be cheaper here, or null.
 *
 * ```ts
 * import { backendAdvice } from 'simplenet';
 *
 * const advice = backendAdvice('epoll');
 * if (advice !== null) console.error(advice); // A system call costs 0.8 us here: with many connections, ...
 * ```
 */
export function backendAdvice(backend: Backend, libc: Libc = processLibc, clock: Clock = performance): string | null {
  if (isTraced(libc)) return null; // the calls would be written, and cost what writing costs
  const priceUs = priceOfSystemCall(libc, clock);
  const price = `A system call costs ${priceUs.toFixed(1)} us here`;
  if (backend === 'io_uring') {
    return priceUs < DEAR_US ? `${price}: with few connections, the epoll backend would be cheaper.` : null;
  }
  if (priceUs < DEAR_US || !isUringAllowed(libc)) return null;
  return `${price}: with many connections, the io_uring backend would be cheaper.`;
}
