/**
 * NodeHost: gives an event loop its turns inside Node's own loop.
 *
 * An epoll descriptor can itself be watched: it is readable while a descriptor in it is ready. An io_uring has a bell for that.
 * So Node's loop (libuv) watches one descriptor for us, beside its timers, promises, fs and fetch, and they do not delay each
 * other. A turn starts in two steps, and neither calls JavaScript at a moment when it must not run:
 *
 *     libuv finds the descriptor readable   C      libuv's own uv_handle_set_data(handle, status) leaves a mark in the handle
 *     Node runs its immediates              JS     `#round` looks at the mark, and takes a turn if there is one
 *
 * koffi.node.poll creates that watch (uv_poll), and would call a JavaScript function directly. We replace that callback by the C
 * function as soon as the watch exists, because it has three faults:
 * - koffi calls it without a callback scope. A microtask queued there runs right after the callback on Node 20 to 24, but some
 *   2,800 callbacks later on Node 26. Until then the descriptor stays readable, and a request costs 1.5 ms of CPU.
 * - In a worker that is being terminated no JavaScript must run. koffi calls it all the same, and V8 aborts the whole process.
 * - It is not cheaper: without it a single request took 2 to 7 % less CPU, and with 64 connections there was no difference.
 *
 * The immediate is `unref`ed: it does not keep the process alive, and does not stop libuv from sleeping. Node runs it at the end of
 * each round of libuv's loop, whatever ended the sleep.
 *
 * koffi.node.poll has more traps, so no other file uses it:
 * - The handle closes without notice when it is garbage-collected, so we keep a reference.
 * - Using a closed handle crashes the process, so every method checks first.
 * - A second watch on one descriptor aborts the process, and so does a watch on a regular file. Only epoll descriptors and bells
 *   come here, each once.
 *
 * Next: active-clock.ts
 */

import { clearImmediate, setImmediate } from 'node:timers';
import { koffi } from '../kernel/ffi.ts';
import { SystemError } from '../kernel/system-error.ts';
import { thisLoop } from '../kernel/this-thread.ts';
import type { Alarm, Host, Watch } from './host.ts';

type PollHandle = ReturnType<typeof koffi.node.poll>;

const watches = new Map<number, NodeWatch>();

/** `settled.then` is the cheapest way to queue a microtask: queueMicrotask makes an async resource each time. */
const settled = Promise.resolve();

/** A longer timer of Node would fire at once. */
const MAX_TIMER_MS = 0x7fffffff;

/**
 * How many turns may follow each other before Node's loop goes on. A round of that loop costs as much as half a request. Under load
 * new bytes arrive during a turn, and to look for them costs one epoll_wait, or nothing in a ring.
 */
const MAX_TURNS = 4;

/** And for how long they may: Node's timers wait for all of them. */
const MAX_TURNS_MS = 5;

/** uv.h: the types of handles, events and errors. */
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
  /** Its arguments are (handle, data). libuv calls it as a uv_poll_cb, with (handle, status, events), so `data` becomes the status. */
  setData: symbols.symbol('uv_handle_set_data'),
};

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

/** Replaces koffi's callback: from now on libuv leaves a mark and calls no JavaScript. Returns a view of the mark. */
function markInstead(fd: number): Int32Array {
  const handle = handleOf(fd);
  // `data` is the first field of every handle. koffi keeps a pointer for its callback there, which is not called any more.
  const mark = new Int32Array(koffi.view(handle, Int32Array.BYTES_PER_ELEMENT));
  mark[0] = NO_NEWS;
  uv.pollStart(handle, UV_READABLE, uv.setData);
  return mark;
}

/**
 * Sleeps until the mark has news or `turnSoon` was called, and then takes turns:
 *
 *     asleep --- `#round` finds mark or request ----> a turn --- it returns false ---> asleep
 *       ^                                             |    ^
 *       |                                             |    +--- it returns true, fewer than MAX_TURNS in a row: a microtask
 *       +--- Node's loop goes round once, `#round` <--+ --- it returns true, and others have waited long enough: `turnSoon`
 */
class NodeWatch implements Watch {
  readonly #fd: number;
  readonly #onReadable: () => boolean;
  readonly #mark: Int32Array;
  /** Null after `close`. */
  #handle: PollHandle | null;
  /** Runs at the end of the next round of libuv's loop. */
  #next: NodeJS.Immediate;
  /** The next round takes a turn, whatever the mark says. */
  #isTurnWanted = false;
  #turnsInRow = 0;
  #rowStartedAt = 0;

  constructor(fd: number, onReadable: () => boolean) {
    if (watches.has(fd)) throw new Error(`descriptor ${fd} is being watched already`);
    this.#fd = fd;
    this.#onReadable = onReadable;
    this.#handle = koffi.node.poll(fd, { readable: true }, () => {});
    this.#mark = markInstead(fd);
    this.#next = setImmediate(this.#round).unref();
    watches.set(fd, this);
  }

  readonly #round = (): void => {
    this.#next = setImmediate(this.#round).unref(); // first, so that it does not inherit the async context of the turn
    const status = this.#mark[0] as number;
    if (status === NO_NEWS && !this.#isTurnWanted) return;
    this.#mark[0] = NO_NEWS;
    this.#isTurnWanted = false;
    if (status < 0) {
      nodeHost.raise(new SystemError('uv_poll', status));
      return;
    }
    this.#turnsInRow = 0;
    this.#rowStartedAt = performance.now();
    this.#takeTurn();
  };

  readonly #takeTurn = (): void => {
    if (this.#handle === null) return;
    try {
      if (!this.#onReadable()) return;
    } catch (error) {
      nodeHost.raise(error);
      return;
    }
    if (++this.#turnsInRow < MAX_TURNS && performance.now() - this.#rowStartedAt < MAX_TURNS_MS)
      settled.then(this.#takeTurn); // a microtask: it runs after those that the callbacks have queued
    else this.turnSoon();
  };

  turnSoon(): void {
    if (this.#handle === null) return;
    this.#isTurnWanted = true;
    this.#next.ref(); // libuv polls, and does not sleep
  }

  ref(): void {
    this.#handle?.ref();
  }

  unref(): void {
    this.#handle?.unref();
  }

  close(): void {
    if (this.#handle === null) return;
    clearImmediate(this.#next);
    this.#handle.close();
    this.#handle = null;
    watches.delete(this.#fd);
  }
}

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
      const timer = setTimeout(ring, Math.min(ms, MAX_TIMER_MS));
      return keepsAlive ? timer : timer.unref();
    };
    let timer = set(delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  soon: (callback) => queueMicrotask(callback),
  raise(error) {
    // In a tick of its own no catch block gets it. It reaches 'uncaughtException', or ends the process and prints its stack.
    process.nextTick(() => {
      throw error;
    });
  },
};
