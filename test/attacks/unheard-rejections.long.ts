import { test } from 'tap';
import { backends, missingBackend } from '../support/backends.ts';
import { mustHold } from './attack.ts';
import { attack } from './unheard-rejections.ts';

for (const backend of backends) {
  test(`${attack.title} (${backend})`, { skip: missingBackend[backend] }, (t) =>
    mustHold(t, attack, { backend, size: 'short' }),
  );
}
