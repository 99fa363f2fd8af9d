/** Bodies that are dear to parse or to keep, on both loops. */

import { test } from 'tap';
import { backends, missingBackend } from '../support/backends.ts';
import { mustHold } from './attack.ts';
import { attack } from './bodies.ts';

for (const backend of backends) {
  test(`${attack.title} (${backend})`, { skip: missingBackend[backend] }, async (t) => {
    await mustHold(t, attack, { backend, size: 'short' });
  });
}
