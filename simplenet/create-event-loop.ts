/**
 * createEventLoop: makes an event loop inside Node's own, with defaults that suit a server.
 *
 * There are two loops, and they behave alike: EpollLoop runs on every Linux; UringLoop needs io_uring, which many containers
 * forbid. Each loop has its own descriptors and buffers. One per thread is enough; more do no harm.
 *
 * Next: backend-advice.ts
 */

import { readFileSync } from 'node:fs';
import { EpollLoop } from './epoll/epoll-loop.ts';
import { UringLoop } from './io-uring/uring-loop.ts';
import { type Libc, libc as processLibc } from './kernel/libc.ts';
import { SystemError } from './kernel/system-error.ts';
import type { EventLoop } from './loop/event-loop.ts';
import { defaultLoopLimits, type LoopLimits } from './loop/loop-limits.ts';
import { nodeHost } from './loop/node-host.ts';
import './kernel/tracing.ts'; // reads SIMPLENET_TRACE when it is loaded

/**
 * Which interface of the kernel the loop uses. `auto` is epoll: docs/epoll-and-io_uring.md says why.
 *
 * ```ts
 * import { type Backend, createEventLoop } from 'simplenet';
 *
 * const backend: Backend = process.argv.includes('--io_uring') ? 'io_uring' : 'epoll';
 * const loop = createEventLoop({ backend });
 * ```
 */
export type Backend = 'epoll' | 'io_uring' | 'auto';

/**
 * The options of `createEventLoop`: which loop, and those of its limits that differ from the defaults.
 *
 * ```ts
 * import { createEventLoop, type EventLoopOptions } from 'simplenet';
 *
 * const options: EventLoopOptions = { backend: 'epoll', maxQueuedBytes: 1024 * 1024, connectTimeoutMs: 5_000 };
 * const loop = createEventLoop(options);
 * ```
 */
export interface EventLoopOptions extends Partial<LoopLimits> {
  /** By default the value of SIMPLENET_BACKEND, or else `auto`. */
  readonly backend?: Backend;
  /** The table of system calls to use; by default the process's own. */
  readonly libc?: Libc;
}

const loops = { epoll: EpollLoop, auto: EpollLoop, io_uring: UringLoop };

/**
 * Makes an event loop. It keeps the process alive while something is open on it. Throws if the kernel forbids the backend.
 *
 * ```ts
 * import { createEventLoop, formatSocketAddress } from 'simplenet';
 *
 * const loop = createEventLoop();
 * const listener = loop.listen({ address: '127.0.0.1', port: 8080 }, () => ({
 *   onData: (stream, bytes) => stream.write(bytes), // an echo server
 * }));
 * console.log(`waiting on ${formatSocketAddress(listener.address)}`);
 * process.once('SIGTERM', () => loop.close());
 * ```
 */
export function createEventLoop(options: EventLoopOptions = {}): EventLoop {
  const { backend = process.env.SIMPLENET_BACKEND ?? 'auto', libc = processLibc, ...limits } = options;
  if (!Object.hasOwn(loops, backend)) {
    throw new RangeError(`a backend is one of ${Object.keys(loops).join(', ')}, not '${String(backend)}'`);
  }
  try {
    return new loops[backend as Backend](libc, nodeHost, { ...defaultLoopLimits, ...limits });
  } catch (error) {
    if (backend !== 'io_uring' || !(error instanceof SystemError)) throw error;
    throw new Error(`the io_uring backend is not available: ${error.message}${whyNoUring(error.code)}`, {
      cause: error,
    });
  }
}

const IO_URING_DISABLED = '/proc/sys/kernel/io_uring_disabled';

/** Explains the error: what forbids io_uring, and what to do. */
export function whyNoUring(code: string, disabledFile = IO_URING_DISABLED): string {
  if (code === 'ENOSYS') return ' (this kernel has no io_uring, or the container hides it; use the epoll backend)';
  if (code === 'EINVAL')
    return ' (this kernel is too old: io_uring needs Linux 6.4 or newer here; use the epoll backend)';
  if (code !== 'EPERM') return '';
  let disabled = '';
  try {
    disabled = readFileSync(disabledFile, 'utf8').trim();
  } catch {
    // Linux before 6.6 does not have this file.
  }
  if (disabled === '2') return ' (sysctl kernel.io_uring_disabled is 2: no process may use it; use the epoll backend)';
  if (disabled === '1') {
    return ' (sysctl kernel.io_uring_disabled is 1: only members of kernel.io_uring_group may use it; use the epoll backend)';
  }
  return ' (a seccomp filter forbids it, as most containers do; use the epoll backend)';
}
