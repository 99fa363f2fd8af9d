/**
 * Plays the cases of a file side by side against one application, and shows what went wrong so that people can see it.
 *
 * Only a few at once: a case may send and receive a megabyte or two.
 *
 * Next: transcripts.test.ts
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { startApp } from './app.ts';
import { Disagreement, type Pace, play, sideBySide } from './conversation.ts';
import { type Case, FOLDER, type TranscriptFile } from './transcript.ts';

const AT_ONCE = 16;

/** The text of a case, as its author wrote it. */
function sourceOf(one: Case): string[] {
  const lines = readFileSync(join(FOLDER, one.file), 'utf8').split('\n').slice(one.line);
  const end = lines.findIndex((line) => line.startsWith('== '));
  return lines.slice(0, end < 0 ? undefined : end).filter((line) => /^[><!]/.test(line));
}

/** A case in which the server stops must not stop that of the others. */
async function playAlone(one: Case, file: TranscriptFile, pace: Pace): Promise<void> {
  const app = startApp(file.settings);
  try {
    await play(one, app, pace);
  } finally {
    await app.close(0);
  }
}

/** Plays cases of one file. Each is one assertion of the test. */
export async function playAll(t: Test, file: TranscriptFile, cases: readonly Case[], pace: Pace): Promise<void> {
  const app = startApp(file.settings);
  t.teardown(() => app.close(0));
  const waiting = [...cases];
  const playSome = async (): Promise<void> => {
    for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) {
      const isAlone = one.steps.some((step) => step.kind === 'stop');
      try {
        await (isAlone ? playAlone(one, file, pace) : play(one, app, pace));
        t.pass(one.title);
      } catch (error) {
        if (error instanceof Disagreement) t.comment(sideBySide(sourceOf(one), error.actual));
        t.fail(`${one.title} (${one.file}:${one.line})`, { reason: (error as Error).message, stack: '' });
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, playSome));
}
