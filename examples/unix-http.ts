/**
 * HTTP over a Unix socket: a path instead of a port, file permissions instead of a firewall, and the kernel says who asks.
 *
 * The file outlives the server that bound it, unless that removes it, and while it exists bind(2) answers EADDRINUSE. Whether
 * somebody still listens there, only connect(2) can tell.
 */

import { lstatSync, unlinkSync } from 'node:fs';
import { serve } from '../http/index.ts';
import { NetSocket, SystemError } from '../simplenet/index.ts';

/** Its owner may connect, which needs the right to write, and nobody else. */
const ONLY_OWNER = 0o177;

/** Removes what a server left behind that was killed. Throws where a server is alive, or the file is no socket. */
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

/** The file has its permissions from the first moment: with a chmod(2) later, somebody could be faster. */
function withMask<T>(mask: number, use: () => T): T {
  const before = process.umask(mask);
  try {
    return use();
  } finally {
    process.umask(before);
  }
}

const path = process.argv[2];
if (path === undefined) throw new Error('Usage: npm run example -- unix-http PATH');
removeStale(path);
const server = withMask(ONLY_OWNER, () =>
  serve((request, response) => response.json({ path: request.path, you: request.peerCredentials }), { path }),
);
console.log(`try: curl --unix-socket ${path} http://localhost/hello`);
const stop = () => {
  unlinkSync(path); // while we still listen: nobody can have put another one in its place
  void server.close();
};
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, stop);
