/**
 * A full garbage collection, for a test that measures what stays in memory. tap does not start Node with --expose-gc, and without that flag
 * `globalThis.gc?.()` does nothing, without a word.
 */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');

export const collectGarbage = runInNewContext('gc') as () => void;
