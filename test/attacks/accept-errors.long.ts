/**
 * The attack at the size of a test, on both loops.
 */

import { test } from 'tap';
import { backends, missingBackend } from '../support/backends.ts';
import { attack } from './accept-errors.ts';
import { mustHold } from './attack.ts';

for (const backend of backends) {
  test(`${attack.title} (${backend})`, { skip: missingBackend[backend] }, async (t) => {
    await mustHold(t, attack, { backend, size: 'short' });
  });
}
