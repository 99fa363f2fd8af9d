/**
 * What the command needs of standard output and standard error beyond writing: that they may break, and that a slow reader gets the end.
 *
 * Next: worker-site.ts
 */

import type { Writable } from 'node:stream';

/** How long the end of the process waits for a reader. */
const EXIT_WAIT_MS = 1_000;

/** Lets the process go on when the stream breaks. Without a listener the error would end it. */
export function outlive(stream: Pick<Writable, 'on'>): void {
  stream.on('error', () => {});
}

/** Resolves when the kernel has taken all that was written, or after a while: Node keeps what does not fit in a pipe, and process.exit() would drop it. */
export function taken(stream: Pick<Writable, 'write'>, waitMs = EXIT_WAIT_MS): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, waitMs);
    stream.write('', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
