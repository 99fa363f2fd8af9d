/**
 * A crowd that asks for much does not stop the server's timers. What one turn does is counted in test/simplenet/loop/fairness.test.ts; this
 * runs the attack itself, with limits that hold on a busy machine, too.
 */

import { test } from 'tap';
import { backends, missingBackend } from '../support/backends.ts';
import { mustHold } from './attack.ts';
import { attack } from './stall.ts';

for (const backend of backends) {
  test(`${attack.title} (${backend})`, { skip: missingBackend[backend] }, (t) =>
    mustHold(t, attack, { backend, size: 'short' }),
  );
}
