/**
 * One client that pipelines without end does not keep others waiting. Who comes when is counted in test/http/pipelining.test.ts; this
 * runs the attack itself, with limits that hold on a busy machine, too.
 */

import { test } from 'tap';
import { backends, missingBackend } from '../support/backends.ts';
import { mustHold } from './attack.ts';
import { attack } from './pipeline.ts';

for (const backend of backends) {
  test(`${attack.title} (${backend})`, { skip: missingBackend[backend] }, (t) =>
    mustHold(t, attack, { backend, size: 'short' }),
  );
}
