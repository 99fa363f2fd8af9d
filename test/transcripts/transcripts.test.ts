/**
 * The golden transcripts, each on a connection of its own to an application that all cases of a file share.
 *
 * They run side by side, so a case also shows that it does not disturb the others. ONLY=text runs the cases whose file
 * or title holds that text.
 *
 * Next: splits.test.ts
 */

import { test } from 'tap';
import { playAll } from './stage.ts';
import { readCorpus } from './transcript.ts';

const only = process.env.ONLY ?? '';

for (const file of readCorpus()) {
  const cases = file.cases.filter((one) => `${one.file}: ${one.title}`.includes(only));
  if (cases.length > 0) test(file.name, (t) => playAll(t, file, cases, 'whole'));
}
