/**
 * socketd on our own TCP/IP, with Linux at the other end of the cable: examples/with-tap.sh makes a TAP interface in a network namespace, and
 * socketd-namespace.ts runs the examples there.
 */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'tap';
import { buildFolder, Program } from '../support/programs.ts';
import type { Outcome } from './socketd-namespace.ts';

const withTap = join(buildFolder, '../examples/with-tap.sh');

/** As root in a network of its own. with-tap.sh makes one by itself for other users. */
const command = process.getuid?.() === 0 ? ['unshare', '-n', withTap] : [withTap];

/** Why there can be no TAP interface here, or false. */
function noTap(): string | false {
  const attempt = spawnSync('env', [...command, 'true'], { encoding: 'utf8' });
  return attempt.status === 0 ? false : `no TAP interface in a namespace of its own: ${attempt.stderr.trim()}`;
}

test('the examples over our own TCP, and Linux', { skip: noTap() }, async (t) => {
  const program = join(import.meta.dirname, 'socketd-namespace.js');
  const child = new Program('env', [...command, process.execPath, '--enable-source-maps', program]);
  t.teardown(() => child.kill('SIGTERM'));
  const { code, stdout, stderr } = await child.ends();
  t.equal(code, 0, stderr);
  const outcomes = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Outcome);
  for (const { name, error, skipped } of outcomes) {
    if (skipped === undefined) t.equal(error, undefined, name);
    else t.pass(name, { skip: skipped });
  }
  t.equal(outcomes.length, 11, 'scenarios');
});
