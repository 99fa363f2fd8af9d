/** A worker thread that ends, in whatever way, takes nobody with it and leaves nothing behind, on either loop. */

import { test } from 'tap';
import { backends, missingBackend } from '../support/backends.ts';
import { mustHold } from './attack.ts';
import { attack } from './terminate.ts';

for (const backend of backends) {
  test(`on ${backend}`, { skip: missingBackend[backend] }, (t) => mustHold(t, attack, { backend, size: 'short' }));
}
