/**
 * TCP keeps bytes in order and nothing else: a request may arrive in any pieces. Here every transcript is sent byte by
 * byte, and must get the very same answers as in one piece; those that are rejected, the very same rejection.
 *
 * Cases that are about time are left out, as their point is how fast bytes come, and so are long ones: splits.long.ts has those of up to
 * three kilobytes.
 */

import { test } from 'tap';
import { playAll } from './stage.ts';
import { bytesOf, type Case, readCorpus } from './transcript.ts';

const MAX_BYTES = Number(process.env.MAX_BYTES ?? 600);

/** A byte in each turn can take many seconds on a busy machine. The server must still be patient when the last one comes. */
const patient = { headerMs: 60_000, bodyGraceMs: 60_000, lingerMs: 60_000 };

/** Files in which time or the server's own end is the point. */
const ABOUT_TIME = ['time.txt', 'graceful-stop.txt'];

function isSplittable(one: Case): boolean {
  if (ABOUT_TIME.includes(one.file) || one.between !== null) return false;
  if (one.steps.some((step) => step.kind === 'drip')) return false;
  const { length } = bytesOf(one);
  return length > 0 && length <= MAX_BYTES;
}

for (const file of readCorpus()) {
  const cases = file.cases.filter(isSplittable);
  const settings = { ...file.settings, timeouts: { ...patient, ...file.settings.timeouts } };
  if (cases.length > 0)
    test(`${file.name}, byte by byte`, (t) => playAll(t, { ...file, settings }, cases, 'byte by byte'));
}
