/**
 * createEventLoop: an event loop inside Node's own, with the defaults that suit a server.
 *
 * There are two, and a program cannot tell which one it has: epoll-loop.ts, which every Linux has, and uring-loop.ts, which many
 * containers forbid. Each loop has its own descriptors and buffers; one per thread is what a program wants, and more do no harm.
 *
 * Next: index.ts
 */

import { readFileSync } from 'node:fs';
import { EpollLoop } from './epoll/epoll-loop.ts';
import { UringLoop } from './io-uring/uring-loop.ts';
import { type Libc, libc as processLibc } from './kernel/libc.ts';
import { SystemError } from './kernel/system-error.ts';
import type { EventLoop } from './loop/event-loop.ts';
import { defaultLoopLimits, type LoopLimits } from './loop/loop-limits.ts';
import { nodeHost } from './loop/node-host.ts';
import './kernel/tracing.ts'; // so that SIMPLENET_TRACE is heard wherever a loop is made

/** How to ask the kernel; `auto` is what suits most, which today is epoll. */
export type Backend = 'epoll' | 'io_uring' | 'auto';

export interface EventLoopOptions extends Partial<LoopLimits> {
  /** What SIMPLENET_BACKEND says, or else `auto`. */
  readonly backend?: Backend;
  /** The table of system calls to use; the process's own if none is given. */
  readonly libc?: Libc;
}

const loops = { epoll: EpollLoop, auto: EpollLoop, io_uring: UringLoop };

export function createEventLoop(options: EventLoopOptions = {}): EventLoop {
  const { backend = process.env.SIMPLENET_BACKEND ?? 'auto', libc = processLibc, ...limits } = options;
  if (!Object.hasOwn(loops, backend)) {
    throw new RangeError(`a backend is one of ${Object.keys(loops).join(', ')}, not '${String(backend)}'`);
  }
  try {
    return new loops[backend as Backend](libc, nodeHost, { ...defaultLoopLimits, ...limits });
  } catch (error) {
    if (backend !== 'io_uring' || !(error instanceof SystemError)) throw error;
    throw new Error(`the io_uring backend cannot be had: ${error.message}${whyNoUring(error.code)}`, { cause: error });
  }
}

const IO_URING_DISABLED = '/proc/sys/kernel/io_uring_disabled';

/** What a person can do about it, as far as the error and the system tell. */
export function whyNoUring(code: string, disabledFile = IO_URING_DISABLED): string {
  if (code === 'ENOSYS') return ' (this kernel has no io_uring, or the container hides it; use the epoll backend)';
  if (code === 'EINVAL') return ' (this kernel is too old: it takes Linux 6.4 or newer; use the epoll backend)';
  if (code !== 'EPERM') return '';
  let disabled = '';
  try {
    disabled = readFileSync(disabledFile, 'utf8').trim();
  } catch {
    // Before Linux 6.6 there is no such switch.
  }
  if (disabled === '2') return ' (sysctl kernel.io_uring_disabled is 2: nobody may use it; use the epoll backend)';
  if (disabled === '1') {
    return ' (sysctl kernel.io_uring_disabled is 1: only members of kernel.io_uring_group may use it; use the epoll backend)';
  }
  return ' (a seccomp filter forbids it, as that of most containers does; use the epoll backend)';
}
