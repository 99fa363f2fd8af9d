/**
 * A path for a Unix socket that only its owner may connect to.
 */

/** connect(2) needs the right to write to the file, unix(7). */
const ONLY_OWNER = 0o177;

/** Calls `listen`, which binds a socket to a path. */
export function withPrivatePath<T>(listen: () => T): T {
  // The file has its permissions from the start: before a later chmod(2), another user could connect.
  const before = process.umask(ONLY_OWNER);
  try {
    return listen();
  } finally {
    process.umask(before);
  }
}
