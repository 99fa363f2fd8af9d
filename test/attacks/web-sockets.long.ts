import { test } from 'tap';
import { backends, missingBackend } from '../support/backends.ts';
import { mustHold } from './attack.ts';
import { attack } from './web-sockets.ts';

for (const backend of backends) {
  test(`${attack.title} (${backend})`, { skip: missingBackend[backend], timeout: 120_000 }, async (t) => {
    await mustHold(t, attack, { backend, size: 'short' });
  });
}
