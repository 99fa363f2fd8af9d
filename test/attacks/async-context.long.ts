import { test } from 'tap';
import { backends, missingBackend } from '../support/backends.ts';
import { attack } from './async-context.ts';
import { mustHold } from './attack.ts';

for (const backend of backends) {
  test(`${attack.title} (${backend})`, { skip: missingBackend[backend] }, (t) =>
    mustHold(t, attack, { backend, size: 'short' }),
  );
}
