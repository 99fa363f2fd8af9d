/**
 * NodeHost: how our loop gets its turns inside Node's own.
 *
 * An epoll descriptor can itself be watched: it is readable while anything in it is ready. An io_uring has a bell for that.
 * So Node's loop (libuv) watches one descriptor for us, beside its timers, promises, fs and fetch, and none of them waits
 * for the other. koffi.node.poll offers that watch (libuv's uv_poll), with traps that make this the only file to touch it:
 * - It calls JavaScript with no safety net below: an exception is swallowed and breaks later calls. So the callback does
 *   nothing but queue a microtask, which Node runs before the same round of its loop is over, with its usual care.
 * - Where JavaScript may run no more, because a worker is being stopped, the call aborts the whole process. process.exit
 *   in a worker is foreseen below. Worker.terminate cannot be: close the loop of a busy worker before terminating it.
 * - The handle closes in silence when it is garbage-collected: we hold on to it.
 * - Using a closed handle crashes the process: every method asks first.
 * - A second watch on one descriptor aborts the process, and so does one on a regular file: only epoll descriptors and bells
 *   come here, each once.
 *
 * Next: active-clock.ts
 */

import { isMainThread } from 'node:worker_threads';
import { koffi } from './ffi.ts';
import type { Alarm, Host, Watch } from './host.ts';
import { SystemError } from './system-error.ts';

type PollHandle = ReturnType<typeof koffi.node.poll>;

/** What libuv calls with; koffi's type declaration leaves the status out. */
type PollCallback = (status: number) => void;

const watches = new Map<number, NodeWatch>();

/** Its `then` is the cheapest way to a microtask: queueMicrotask makes an async resource each time. */
const settled = Promise.resolve();

/** Node makes a timer for a longer time ring at once. */
const LONGEST_TIMER_MS = 0x7fffffff;

/**
 * Turns that may follow each other before Node's loop goes on. A round of that costs as much as half a request; under load
 * new bytes have come while the last ones were answered, and to look for them costs one epoll_wait, or nothing in a ring.
 */
const MOST_TURNS = 4;

class NodeWatch implements Watch {
  readonly turnSoon: () => void;
  readonly #fd: number;
  #handle: PollHandle | null;

  constructor(fd: number, onReadable: () => boolean) {
    if (watches.has(fd)) throw new Error(`descriptor ${fd} is being watched already`);
    let turns = 0;
    let isComing = false;
    const turn = () => {
      isComing = false;
      if (this.#handle === null) return;
      try {
        if (!onReadable()) return;
      } catch (error) {
        nodeHost.raise(error);
        return;
      }
      isComing = true;
      if (++turns < MOST_TURNS)
        settled.then(turn); // behind what the callbacks have left to do
      else setImmediate(startTurns);
    };
    const startTurns = () => {
      turns = 0;
      turn();
    };
    this.turnSoon = () => {
      if (isComing) return;
      isComing = true;
      setImmediate(startTurns); // Node polls its own descriptors before that
    };
    const failed = (status: number) => nodeHost.raise(new SystemError('uv_poll', status));
    const callback: PollCallback = (status) => {
      if (status < 0) {
        failed(status);
        return;
      }
      if (isComing) return;
      isComing = true;
      settled.then(startTurns);
    };
    this.#fd = fd;
    this.#handle = koffi.node.poll(fd, { readable: true }, callback as () => void);
    watches.set(fd, this);
  }

  ref(): void {
    this.#handle?.ref();
  }

  unref(): void {
    this.#handle?.unref();
  }

  close(): void {
    if (this.#handle === null) return;
    this.#handle.close();
    this.#handle = null;
    watches.delete(this.#fd);
  }
}

/* c8 ignore start -- tap takes no coverage in workers; node-host.test.ts and epoll-loop.test.ts end them in every way. */
if (!isMainThread) {
  process.once('exit', () => {
    for (const watch of watches.values()) watch.close();
  });
}
/* c8 ignore stop */

export const nodeHost: Host = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  watch: (fd, onReadable) => new NodeWatch(fd, onReadable),
  alarm(delayMs, callback, keepsAlive = false): Alarm {
    const startedAt = performance.now();
    const ring = () => {
      const leftMs = startedAt + delayMs - performance.now();
      if (leftMs <= 0) callback();
      else timer = set(leftMs);
    };
    const set = (ms: number) => {
      const timer = setTimeout(ring, Math.min(ms, LONGEST_TIMER_MS));
      return keepsAlive ? timer : timer.unref();
    };
    let timer = set(delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  soon: (callback) => queueMicrotask(callback),
  raise(error) {
    // On a tick of its own it meets no catch block and reaches 'uncaughtException', or ends the process with its trace.
    process.nextTick(() => {
      throw error;
    });
  },
};
