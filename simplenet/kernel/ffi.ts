/**
 * The bridge from JavaScript to C: koffi, loaded once, in the only file that names it.
 *
 * A package manager that skips optional packages leaves koffi without its compiled half, and what koffi says then helps
 * nobody, so the failure is explained here. Everything above asks libc.ts for calls and node-host.ts for turns.
 *
 * Next: intrinsic-bytes.ts
 */

import { createRequire } from 'node:module';
import { isMainThread } from 'node:worker_threads';
import type * as Koffi from 'koffi';

const require = createRequire(import.meta.url);

/**
 * Bun and Deno load koffi without complaint. Then Bun crashes and Deno hangs, because koffi watches descriptors with libuv, which is
 * Node's event loop and not theirs. So the import fails with one sentence instead.
 */
function mustBeNode(): void {
  let other: string | null = null;
  /* c8 ignore start -- ffi.test.ts pretends to be them in processes of its own; coverage is of this one. */
  if ('Deno' in globalThis) other = 'Deno';
  if (process.versions.bun !== undefined) other = 'Bun';
  if (other === null) return;
  throw new Error(`simplenet runs on Node.js only, not on ${other}: its event loop lives inside Node's own (libuv).`);
}
/* c8 ignore stop */

function loadKoffi(): typeof Koffi {
  mustBeNode();
  try {
    return require('koffi') as typeof Koffi;
    /* c8 ignore start -- koffi is here; ffi.test.ts takes it away from copies of the library. */
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
 * Node unloads a worker's addons when it ends, and libuv calls back into koffi once more after that, to free a handle:
 * a segmentation fault for the whole process. So koffi's code stays in memory once a worker has loaded it.
 */
/* c8 ignore start -- tap takes no coverage in workers; node-host.test.ts and epoll-loop.test.ts end them in every way. */
function keepKoffiInMemory(): void {
  const compiled = Object.keys(require.cache).find((path) => path.endsWith('koffi.node'));
  const dlopen = koffi.load(null).func('void *dlopen(const char *path, int flags)');
  if (compiled !== undefined) dlopen(compiled, RTLD_LAZY | RTLD_NODELETE);
}

if (!isMainThread) keepKoffiInMemory();
/* c8 ignore stop */
