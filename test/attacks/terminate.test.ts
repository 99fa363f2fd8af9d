/** The end of a worker thread, in any way, ends no other thread and leaves nothing open, on either loop. */

import { join } from 'node:path';
import { test } from 'tap';
import { backends, missingBackend } from '../support/backends.ts';
import { buildFolder, Program } from '../support/programs.ts';
import { mustHold } from './attack.ts';
import { attack } from './terminate.ts';

for (const backend of backends) {
  test(`on ${backend}`, { skip: missingBackend[backend] }, (t) => mustHold(t, attack, { backend, size: 'short' }));
}

test('one worker whose lines count as covered: this-thread.ts does its work in workers alone', async (t) => {
  const program = new Program(process.execPath, [join(buildFolder, 'test/support/ending-workers.js')], {
    isCounted: true,
  });
  t.match(await program.ends(), { code: 0, signal: null });
});
