/**
 * Libuv: the functions of Node's own loop that node-host.ts needs.
 *
 * `DescriptorWatch` watches one descriptor (uv_poll) and leaves a mark when it is readable. koffi.node.poll creates such a watch, and
 * would call a JavaScript function directly. We replace that callback by a C function as soon as the watch exists: libuv's own
 * uv_handle_set_data(handle, status), which leaves the mark in the handle. koffi's callback has three faults:
 * - koffi calls it without a callback scope. A microtask queued there runs right after the callback on Node 20 to 24, but some
 *   2,800 callbacks later on Node 26. Until then the descriptor stays readable, and a request costs 1.5 ms of CPU.
 * - In a worker that is being terminated no JavaScript must run. koffi calls it all the same, and V8 aborts the whole process.
 * - It is not cheaper: without it a single request took 2 to 7 % less CPU, and with 64 connections there was no difference.
 *
 * koffi.node.poll has more traps, so no other file uses it:
 * - The handle closes without notice when it is garbage-collected, so we keep a reference.
 * - Using a closed handle crashes the process, so node-host.ts checks first.
 * - A second watch on one descriptor aborts the process, and so does a watch on a regular file. Only epoll descriptors and bells
 *   come here, each once.
 *
 * Next: node-host.ts
 */

import { koffi } from '../kernel/ffi.ts';
import { thisLoop } from '../kernel/this-thread.ts';

type PollHandle = ReturnType<typeof koffi.node.poll>;

/** uv.h: the types of handles, and of events. */
const UV_POLL = 8;
const UV_READABLE = 1;

/** The value of a mark until libuv sets it. A status is never positive. */
const NO_NEWS = 1;

const symbols = koffi.load(null);
const uv = {
  walk: symbols.func('uv_walk', 'void', ['void *', koffi.pointer(koffi.proto('void', ['void *', 'void *'])), 'void *']),
  handleType: symbols.func('uv_handle_get_type', 'int', ['void *']),
  fileno: symbols.func('uv_fileno', 'int', ['void *', 'void *']),
  pollStart: symbols.func('uv_poll_start', 'int', ['void *', 'int', 'void *']),
  pollStop: symbols.func('uv_poll_stop', 'int', ['void *']),
  /** Its arguments are (handle, data). libuv calls it as a uv_poll_cb, with (handle, status, events), so `data` becomes the status. */
  setData: symbols.symbol('uv_handle_set_data'),
  backendFd: symbols.func('uv_backend_fd', 'int', ['void *']),
  backendTimeout: symbols.func('uv_backend_timeout', 'int', ['void *']),
  updateTime: symbols.func('uv_update_time', 'void', ['void *']),
};

const watched = new Set<number>();

/** Finds the handle that koffi has made for a descriptor. */
function handleOf(fd: number): unknown {
  let found: unknown;
  const fileno = new Int32Array(1);
  const look = (handle: unknown) => {
    if (uv.handleType(handle) === UV_POLL && uv.fileno(handle, fileno) === 0 && fileno[0] === fd) found = handle;
  };
  uv.walk(thisLoop(), look, null);
  return found;
}

export class DescriptorWatch {
  readonly #fd: number;
  readonly #mark: Int32Array;
  /** koffi's reference to the handle, and the handle itself (uv_poll_t). */
  readonly #reference: PollHandle;
  readonly #handle: unknown;

  constructor(fd: number) {
    if (watched.has(fd)) throw new Error(`descriptor ${fd} is being watched already`);
    this.#fd = fd;
    this.#reference = koffi.node.poll(fd, { readable: true }, () => {});
    this.#handle = handleOf(fd);
    // `data` is the first field of every handle. koffi keeps a pointer for its callback there, which is not called any more.
    this.#mark = new Int32Array(koffi.view(this.#handle, Int32Array.BYTES_PER_ELEMENT));
    this.#mark[0] = NO_NEWS;
    this.start();
    watched.add(fd);
  }

  /** Takes the mark away. Returns null if there was none, 0 if the descriptor is readable, and -errno if libuv cannot watch it. */
  takeMark(): number | null {
    const status = this.#mark[0] as number;
    if (status === NO_NEWS) return null;
    this.#mark[0] = NO_NEWS;
    return status;
  }

  /** From now on libuv leaves marks. */
  start(): void {
    uv.pollStart(this.#handle, UV_READABLE, uv.setData);
  }

  /** No mark follows until `start`. A stopped watch does not keep the process alive. */
  stop(): void {
    uv.pollStop(this.#handle);
  }

  ref(): void {
    this.#reference.ref();
  }

  unref(): void {
    this.#reference.unref();
  }

  /** No other method may be called afterwards: using a closed handle crashes the process. */
  close(): void {
    this.#reference.close();
    watched.delete(this.#fd);
  }
}

/** Node's loop in this thread, for a wait of our own in its place. */
export class NodeLoop {
  readonly #loop = thisLoop();
  /** It is readable while libuv has an event to deliver. */
  readonly fd = uv.backendFd(this.#loop);

  /** How long libuv would sleep now if it got no event: until its next timer. 0: something else is to be done. -1: it has no timer. */
  sleepMs(): number {
    uv.updateTime(this.#loop);
    return uv.backendTimeout(this.#loop);
  }
}

type TickCallback = () => void;

/**
 * Runs the callbacks of process.nextTick and of promises, and reports unhandled rejections, until none is left. Node does so
 * after each callback that it calls. Undefined if this Node has no such function: it is not documented (DEP0134).
 */
export const runQueued = (process as { _tickCallback?: TickCallback })._tickCallback;
