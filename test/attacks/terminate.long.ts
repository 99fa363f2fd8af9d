/** The end of a worker thread, in any way, ends no other thread and leaves nothing open, on either loop. */

import { test } from 'tap';
import { backends, missingBackend } from '../support/backends.ts';
import { mustHold } from './attack.ts';
import { attack } from './terminate.ts';

for (const backend of backends) {
  test(`on ${backend}`, { skip: missingBackend[backend] }, (t) => mustHold(t, attack, { backend, size: 'short' }));
}
