/** A worker thread ends under load: what this-thread.ts does then counts as covered. terminate.long.ts has all ways to end, on either loop. */

import { join } from 'node:path';
import { test } from 'tap';
import { missingBackend } from '../support/backends.ts';
import { buildFolder, Program, plainEnvironment } from '../support/programs.ts';

// On exit a worker on io_uring closes descriptors, too. Where there is no io_uring, nothing asks for coverage.
test('a worker whose lines count as covered: this-thread.ts does its work in workers alone', {
  skip: missingBackend.io_uring,
}, async (t) => {
  const env = { ...plainEnvironment(), SIMPLENET_BACKEND: 'io_uring' };
  const args = [join(buildFolder, 'test/support/ending-workers.js')];
  const { code, signal } = await new Program(process.execPath, args, { env, isCounted: true }).ends();
  t.same([code, signal], [0, null]);
});
