/**
 * NodeHost: how our loop gets its turns inside Node's own.
 *
 * An epoll descriptor can itself be watched: it is readable while anything in it is ready. So Node's loop (libuv) watches
 * one descriptor for us, beside its timers, promises, fs and fetch, and none of them waits for the other. koffi.node.poll
 * offers that watch (libuv's uv_poll), with traps that make this the only file to touch it:
 * - The handle closes in silence when it is garbage-collected: we hold on to it.
 * - An exception that leaves the callback is swallowed, and later callbacks fail: we catch all, and raise it afterwards.
 * - Using a closed handle crashes the process: every method asks first.
 * - A second watch on one descriptor aborts the process, and so does one on a regular file: only epoll descriptors come
 *   here, each once.
 *
 * Next: deadlines.ts
 */

import { koffi } from './ffi.ts';
import type { Alarm, Host, Watch } from './host.ts';
import { SystemError } from './system-error.ts';

type PollHandle = ReturnType<typeof koffi.node.poll>;

/** What libuv calls with; koffi's type declaration leaves the status out. */
type PollCallback = (status: number) => void;

const watched = new Map<number, PollHandle>();

class NodeWatch implements Watch {
  readonly #fd: number;
  #handle: PollHandle | null;

  constructor(fd: number, onReadable: () => void) {
    if (watched.has(fd)) throw new Error(`descriptor ${fd} is being watched already`);
    const callback: PollCallback = (status) => {
      try {
        if (status < 0) throw new SystemError('uv_poll', status);
        onReadable();
      } catch (error) {
        nodeHost.raise(error);
      }
    };
    this.#fd = fd;
    this.#handle = koffi.node.poll(fd, { readable: true }, callback as () => void);
    watched.set(fd, this.#handle);
  }

  ref(): void {
    this.#handle?.ref();
  }

  unref(): void {
    this.#handle?.unref();
  }

  close(): void {
    this.#handle?.close();
    if (this.#handle !== null) watched.delete(this.#fd);
    this.#handle = null;
  }
}

export const nodeHost: Host = {
  now: () => performance.now(),
  watch: (fd, onReadable) => new NodeWatch(fd, onReadable),
  alarm(delayMs, callback): Alarm {
    const timer = setTimeout(callback, delayMs).unref();
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
