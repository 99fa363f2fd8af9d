/** A stall that is longer than every deadline costs no client its response, on either loop. */

import { test } from 'tap';
import { backends, missingBackend } from '../support/backends.ts';
import { mustHold } from './attack.ts';
import { attack } from './stall-deadlines.ts';

for (const backend of backends) {
  test(`on ${backend}`, { skip: missingBackend[backend] }, (t) => mustHold(t, attack, { backend, size: 'short' }));
}
