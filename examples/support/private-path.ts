/**
 * A path for a Unix socket that only its owner may connect to, free of what a server left behind that was killed.
 *
 * The file outlives the server that bound it, unless that removes it, and while it exists bind(2) answers EADDRINUSE. Whether
 * somebody still listens there, only connect(2) can tell.
 */

import { lstatSync, unlinkSync } from 'node:fs';
import { NetSocket, SystemError } from '../../simplenet/index.ts';

/** To connect, one must have the right to write, unix(7). */
const ONLY_OWNER = 0o177;

/** Calls `listen`, which is to bind a socket to that path. Throws where a server is alive there, or the file is no socket. */
export function withPrivatePath<T>(path: string, listen: () => T): T {
  removeStale(path);
  // The file has its permissions from the first moment: with a chmod(2) later, somebody could be faster.
  const before = process.umask(ONLY_OWNER);
  try {
    return listen();
  } finally {
    process.umask(before);
  }
}

function removeStale(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  // To connect(2), a file of another kind is just a socket where nobody listens. It would be somebody's work that is removed.
  if (!found.isSocket()) throw new Error(`${path} exists and is no socket`);
  try {
    // Non-blocking: a server whose queue is full answers EAGAIN, for which it must be alive.
    NetSocket.connectTo({ path }, { nonBlocking: true }).close();
  } catch (error) {
    if (!(error instanceof SystemError) || !['ECONNREFUSED', 'EAGAIN'].includes(error.code)) throw error;
    if (error.code === 'ECONNREFUSED') {
      unlinkSync(path);
      return;
    }
  }
  throw new Error(`another server is listening on ${path}`);
}
