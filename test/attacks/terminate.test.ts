/** The end of a worker thread, in any way, ends no other thread and leaves nothing open, on either loop. */

import { join } from 'node:path';
import { test } from 'tap';
import { backends, missingBackend } from '../support/backends.ts';
import { buildFolder, Program, plainEnvironment } from '../support/programs.ts';
import { mustHold } from './attack.ts';
import { attack } from './terminate.ts';

for (const backend of backends) {
  test(`on ${backend}`, { skip: missingBackend[backend] }, (t) => mustHold(t, attack, { backend, size: 'short' }));
}

// On exit a worker on io_uring closes descriptors, too. Where there is no io_uring, nothing asks for coverage.
test('a worker whose lines count as covered: this-thread.ts does its work in workers alone', {
  skip: missingBackend.io_uring,
}, async (t) => {
  const env = { ...plainEnvironment(), SIMPLENET_BACKEND: 'io_uring' };
  const args = [join(buildFolder, 'test/support/ending-workers.js')];
  const { code, signal } = await new Program(process.execPath, args, { env, isCounted: true }).ends();
  t.same([code, signal], [0, null]);
});
