/**
 * A path for a Unix socket that only its owner may connect to.
 */

/** To connect, one must have the right to write, unix(7). */
const ONLY_OWNER = 0o177;

/** Calls `listen`, which is to bind a socket to a path. */
export function withPrivatePath<T>(listen: () => T): T {
  // The file has its permissions from the first moment: with a chmod(2) later, somebody could be faster.
  const before = process.umask(ONLY_OWNER);
  try {
    return listen();
  } finally {
    process.umask(before);
  }
}
