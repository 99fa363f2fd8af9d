/**
 * The inside of a room (rooms.ts): its files, one after another in this process.
 *
 * A file is loaded when the tests of the file before it have ended, so nothing runs beside its tests that it did not start itself.
 */

import { test } from 'tap';
import { markOf } from './rooms.ts';

/** Their names are relative to the compiled tree. */
export function enterRoom(files: readonly string[]): void {
  const [file, ...others] = files;
  if (file === undefined) return;
  test(markOf(file), async (t) => {
    try {
      await import(new URL(`../../${file}`, import.meta.url).href);
      t.pass();
    } finally {
      enterRoom(others); // in tap's queue it stands behind the tests of the file
    }
  });
}
