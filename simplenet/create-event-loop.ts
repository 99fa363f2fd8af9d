/**
 * createEventLoop: an event loop inside Node's own, with the defaults that suit a server.
 *
 * Each loop has its own descriptors and buffer; one per thread is what a program wants, and more do no harm.
 *
 * Next: open-file-limit.ts
 */

import { defaultLoopLimits, EpollLoop, type LoopLimits } from './epoll-loop.ts';
import type { EventLoop } from './event-loop.ts';
import { libc } from './libc.ts';
import { nodeHost } from './node-host.ts';
import './tracing.ts'; // so that SIMPLENET_TRACE is heard wherever a loop is made

export function createEventLoop(limits: Partial<LoopLimits> = {}): EventLoop {
  return new EpollLoop(libc, nodeHost, { ...defaultLoopLimits, ...limits });
}
