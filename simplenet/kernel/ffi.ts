/**
 * The bridge from JavaScript to C: loads koffi, once. No other file loads it.
 *
 * koffi checks almost nothing: it does not compare a length with its buffer, and it cuts fd 1.5 to 1. A wrong argument writes into
 * memory that is not ours. So only five other files use it, and each can be checked by reading it. libc-functions, libc-memory and libc
 * are the table of system calls, which checks every argument; all other files call `libc`. this-thread and loop/libuv have to
 * give C functions to Node itself, where JavaScript may not run. test/architecture.test.ts holds the list.
 *
 * koffi's compiled part is an optional package, which a package manager may skip. koffi's own error does not say so;
 * ours does.
 *
 * Next: intrinsic-bytes.ts
 */

import { createRequire } from 'node:module';
import { isMainThread } from 'node:worker_threads';
import type * as Koffi from 'koffi';

const require = createRequire(import.meta.url);

/**
 * Bun and Deno load koffi without an error. Later Bun crashes and Deno hangs, because koffi watches descriptors with libuv, Node's
 * event loop, which they do not run. So the import fails with one sentence instead.
 */
function requireNode(): void {
  let other: string | null = null;
  /* c8 ignore start -- ffi.test.ts pretends to be Bun and Deno in other processes; coverage is of this process only. */
  if ('Deno' in globalThis) other = 'Deno';
  if (process.versions.bun !== undefined) other = 'Bun';
  if (other === null) return;
  throw new Error(`simplenet runs on Node.js only, not on ${other}: its event loop lives inside Node's own (libuv).`);
}
/* c8 ignore stop */

function loadKoffi(): typeof Koffi {
  requireNode();
  try {
    return require('koffi') as typeof Koffi;
    /* c8 ignore start -- koffi is installed here; ffi.test.ts removes it from copies of the library. */
  } catch (cause) {
    throw new Error(
      'simplenet could not load koffi, through which it calls the kernel. Its compiled part is an optional npm package: ' +
        'install again without --omit=optional (npm ci), on the machine that is to run it.',
      { cause },
    );
  }
  /* c8 ignore stop */
}

export const koffi = loadKoffi();

/** dlopen(3). */
const RTLD_LAZY = 1;
const RTLD_NODELETE = 0x1000;

/**
 * Node unloads a worker's addons when the worker ends. After that libuv calls koffi once more, to free a handle, and the whole
 * process crashes (SIGSEGV). So koffi's code stays in memory once a worker has loaded it.
 */
/* c8 ignore start -- tap measures no coverage in workers; node-host.test.ts and socket-loop.test.ts end them in every way. */
function keepKoffiInMemory(): void {
  const compiled = Object.keys(require.cache).find((path) => path.endsWith('koffi.node'));
  const dlopen = koffi.load(null).func('void *dlopen(const char *path, int flags)');
  if (compiled !== undefined) dlopen(compiled, RTLD_LAZY | RTLD_NODELETE);
}

if (!isMainThread) keepKoffiInMemory();
/* c8 ignore stop */
