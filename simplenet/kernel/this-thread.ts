/**
 * ThisThread: the libuv loop of this thread, and what is closed and freed when a worker thread ends.
 *
 * A worker can end without running any more JavaScript: `Worker.terminate` stops it at any point. Its descriptors belong to the
 * process. They would stay open, and their clients would wait. So each descriptor that a worker owns is added to Node's list of
 * cleanup hooks (node.h, AddEnvironmentCleanupHook), with close(2) itself as the hook. Node's C code runs these hooks however the
 * thread ends. The main thread adds none: its descriptors end with the process. Memory that a C library has allocated is freed in the same way, by
 * the library's own function.
 *
 * The functions belong to Node's C++ interface for addons. Their symbols are mangled names: the Itanium C++ ABI, which every
 * compiler for Linux follows, makes them from the declarations in node.h and v8-isolate.h.
 *
 * Next: descriptor.ts
 */

import { isMainThread } from 'node:worker_threads';
import { koffi } from './ffi.ts';

const symbols = koffi.load(null);

/** v8::Isolate::GetCurrent(): V8 has one isolate for each thread. */
const currentIsolate = symbols.func('_ZN2v87Isolate10GetCurrentEv', 'void *', []);
/** node::GetCurrentEventLoop(v8::Isolate *). */
const currentEventLoop = symbols.func('_ZN4node19GetCurrentEventLoopEPN2v87IsolateE', 'void *', ['void *']);

/** The address of libuv's loop (uv_loop_t) of this thread. */
export function thisLoop(): unknown {
  return currentEventLoop(currentIsolate());
}

/* c8 ignore start -- tap measures no coverage in workers; socket-loop.test.ts and node-host.test.ts end them in every way. */
class ThreadEnd {
  readonly #isolate = currentIsolate();
  readonly #functions = new Map<string, unknown>();
  /** node::AddEnvironmentCleanupHook(v8::Isolate *, void (*)(void *), void *). */
  readonly #addHook = symbols.func('_ZN4node25AddEnvironmentCleanupHookEPN2v87IsolateEPFvPvES3_', 'void', [
    'void *',
    'void *',
    'intptr_t',
  ]);
  /** node::RemoveEnvironmentCleanupHook, with the same arguments. */
  readonly #removeHook = symbols.func('_ZN4node28RemoveEnvironmentCleanupHookEPN2v87IsolateEPFvPvES3_', 'void', [
    'void *',
    'void *',
    'intptr_t',
  ]);

  /** Node aborts the process when a hook is added twice. */
  add(name: string, argument: number): void {
    this.#addHook(this.#isolate, this.#functionOf(name), argument);
  }

  remove(name: string, argument: number): void {
    this.#removeHook(this.#isolate, this.#functionOf(name), argument);
  }

  /**
   * Looks a function up. koffi makes an object for it, which fails in a worker that is being terminated, and then koffi aborts the process. So this is for the
   * start of a program, and not for a turn of the loop in which anything may happen.
   */
  prepare(name: string): void {
    this.#functionOf(name);
  }

  #functionOf(name: string): unknown {
    let found = this.#functions.get(name);
    if (found === undefined) {
      found = symbols.symbol(name);
      this.#functions.set(name, found);
    }
    return found;
  }
}

class WorkerDescriptors {
  readonly #hasHook: boolean[] = [];
  readonly #end: ThreadEnd;

  constructor(end: ThreadEnd) {
    this.#end = end;
  }

  add(fd: number): void {
    if (fd < 0 || this.#hasHook[fd] === true) return;
    this.#hasHook[fd] = true;
    this.#end.add('close', fd);
  }

  remove(fd: number): void {
    if (this.#hasHook[fd] !== true) return;
    this.#hasHook[fd] = false;
    this.#end.remove('close', fd);
  }
}

const threadEnd = isMainThread ? null : new ThreadEnd();
const descriptors = threadEnd === null ? null : new WorkerDescriptors(threadEnd);
/* c8 ignore stop */

/** If this thread is a worker, closes the descriptor when the thread ends. */
export function closeWithThread(fd: number): void {
  descriptors?.add(fd);
}

/** Undoes `closeWithThread`: the descriptor is about to be closed, or gets another owner. */
export function keepAfterThread(fd: number): void {
  descriptors?.remove(fd);
}

/* c8 ignore start -- as above: https-workers.ts ends workers in their handshakes. */
/** Call it at the start of a program, for each function that `callWithThreadEnd` will be given. */
export function prepareThreadEnd(names: readonly string[]): void {
  for (const name of names) threadEnd?.prepare(name);
}

/**
 * If this thread is a worker, calls the C function `name` with this argument when the thread ends. It runs where no JavaScript can, so it must be a
 * function of the process, with one argument. Call it once for each pair.
 */
export function callWithThreadEnd(name: string, argument: number): void {
  threadEnd?.add(name, argument);
}

/** Undoes `callWithThreadEnd`. */
export function forgetThreadEnd(name: string, argument: number): void {
  threadEnd?.remove(name, argument);
}
/* c8 ignore stop */
