/**
 * The bridge from JavaScript to C: koffi, loaded once, in the only file that names it.
 *
 * A package manager that skips optional packages leaves koffi without its compiled half, and what koffi says then helps
 * nobody, so the failure is explained here. Everything above asks libc.ts for calls and node-host.ts for turns.
 *
 * Next: libc.ts
 */

import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';

function loadKoffi(): typeof Koffi {
  try {
    return createRequire(import.meta.url)('koffi') as typeof Koffi;
  } catch (cause) {
    throw new Error(
      'simplenet could not load koffi, through which it calls the kernel. Its compiled part is an optional npm package: ' +
        'install again without --omit=optional (npm ci), on the machine that is to run it.',
      { cause },
    );
  }
}

export const koffi = loadKoffi();
