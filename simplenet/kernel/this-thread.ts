/**
 * ThisThread: what Node keeps for each of its threads, and what its C code does when a worker thread ends.
 *
 * A worker can end without one more line of JavaScript: `Worker.terminate` stops it wherever it is. The descriptors belong to the
 * process and would stay open, with clients that wait behind them. So each descriptor that a worker owns is entered in Node's
 * list of cleanup hooks (node.h, AddEnvironmentCleanupHook) with close(2) itself as the hook. Node's C code goes through that
 * list however the thread ends. The main thread enters nothing: its descriptors end with the process.
 *
 * The functions are those of Node's interface for addons. It is C++, hence their names: the Itanium C++ ABI, which every compiler
 * for Linux follows, makes them from the declarations in node.h and v8-isolate.h.
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

/* c8 ignore start -- tap takes no coverage in workers; worker-threads.test.ts ends them in every way. */
class DescriptorsOfWorker {
  /** Node aborts the process when one hook is entered twice. */
  readonly #isEntered: boolean[] = [];
  readonly #isolate = currentIsolate();
  readonly #close = symbols.symbol('close');
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

  enter(fd: number): void {
    if (fd < 0 || this.#isEntered[fd] === true) return;
    this.#isEntered[fd] = true;
    this.#addHook(this.#isolate, this.#close, fd);
  }

  strike(fd: number): void {
    if (this.#isEntered[fd] !== true) return;
    this.#isEntered[fd] = false;
    this.#removeHook(this.#isolate, this.#close, fd);
  }
}
/* c8 ignore stop */

const descriptors = isMainThread ? null : new DescriptorsOfWorker();

/** If this thread is a worker, the descriptor is closed when the thread ends. */
export function closeWithThread(fd: number): void {
  descriptors?.enter(fd);
}

/** Takes that back: the descriptor is about to be closed, or gets another owner. */
export function keepAfterThread(fd: number): void {
  descriptors?.strike(fd);
}
