/** The transcripts over a stack of our own: transcripts.test.ts runs in a network namespace with a TAP interface. */

import { join } from 'node:path';
import { test } from 'tap';
import { behindTap, noTapNamespace } from '../support/network-namespace.ts';
import { Program, plainEnvironment } from '../support/programs.ts';
import { readCorpus } from './transcript.ts';

test('transcripts over TAP', { skip: noTapNamespace(), timeout: 300_000 }, async (t) => {
  const program = join(import.meta.dirname, 'transcripts.test.js');
  const [command, args] = behindTap([process.execPath, '--enable-source-maps', program]);
  const env = { ...plainEnvironment(), TRANSCRIPTS_TAP: 'tap0', TAP_TIMEOUT: '300' };
  const child = new Program(command, args, { env });
  t.teardown(() => child.kill());
  const { code, stdout, stderr } = await child.ends();
  const lines = stdout.split('\n');
  t.same(
    lines.filter((line) => line.includes('not ok')),
    [],
    stderr,
  );
  t.equal(code, 0);
  const cases = readCorpus().reduce((sum, file) => sum + file.cases.length, 0);
  t.equal(lines.filter((line) => /^ {4}ok /.test(line)).length, cases, 'each case is played');
});
