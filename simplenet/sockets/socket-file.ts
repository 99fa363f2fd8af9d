/**
 * SocketFile: the file that bind(2) makes for a Unix socket, from the moment it is bound until it is removed.
 *
 * close(2) leaves the file behind, unix(7), and while it exists bind(2) fails with EADDRINUSE. A server that was killed could not
 * be started again. So `bindReplacingStale` removes a file on which no socket answers, and `remove` removes our own file.
 *
 * It never removes a file that is not a socket, nor a socket on which somebody answers, nor a file that has taken the place of ours.
 * A name in the abstract namespace has no file.
 *
 * Next: ../loop/event-loop.ts
 */

import { type BigIntStats, lstatSync, renameSync, unlinkSync } from 'node:fs';
import { resolve } from 'node:path';
import { threadId } from 'node:worker_threads';
import type { Libc } from '../kernel/libc.ts';
import type { SocketAddress } from '../kernel/socket-address.ts';
import { SystemError } from '../kernel/system-error.ts';
import { NetSocket } from './net-socket.ts';

/** Stale files that one start removes. Each attempt fails only where another process binds the path at the same moment. */
const MAX_REMOVALS = 3;

/** How long a server may take from bind(2) to listen(2). Until then connect(2) is refused, as on a stale file. */
const LISTEN_GAP_MS = 20;

export class SocketFile {
  readonly #path: string;
  readonly #made: BigIntStats;

  private constructor(path: string, made: BigIntStats) {
    this.#path = path;
    this.#made = made;
  }

  /** The file of a socket that was just bound to that address. Null where the address has no file. */
  static of(address: SocketAddress): SocketFile | null {
    if (!hasFile(address)) return null;
    const path = resolve(address.path); // the program may change its folder before it ends
    const made = statOf(path);
    return made === undefined ? null : new SocketFile(path, made);
  }

  /**
   * Removes the file, if it is still the one that was made. Call it before the socket is closed: an open socket keeps its inode, so
   * no other file can have the same number. The file stays where the process may not remove it; the next start then says why.
   */
  remove(): void {
    const found = statOf(this.#path);
    if (found === undefined || found.dev !== this.#made.dev || found.ino !== this.#made.ino) return;
    try {
      unlinkSync(this.#path);
    } catch {
      // A folder that has become read-only is no reason to fail while closing.
    }
  }
}

/** Calls `bind`, which binds a socket to that address. Where a stale file is in the way, removes it and calls `bind` again. */
export function bindReplacingStale<S>(address: SocketAddress, libc: Libc, bind: () => S, removals = 0): S {
  try {
    return bind();
  } catch (error) {
    const isTaken = error instanceof SystemError && error.syscall === 'bind' && error.code === 'EADDRINUSE';
    if (!isTaken || !hasFile(address) || removals === MAX_REMOVALS) throw error;
    if (!removeStale(address.path, libc)) throw error;
  }
  return bindReplacingStale(address, libc, bind, removals + 1);
}

function hasFile(address: SocketAddress): address is { path: string } {
  return 'path' in address && address.path !== '' && !address.path.startsWith('\0');
}

/** lstat(2); undefined where nothing is there, or where we may not look. */
function statOf(path: string): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true });
  } catch {
    return undefined;
  }
}

/** False: the path is somebody's. True: it is worth binding again. */
function removeStale(path: string, libc: Libc): boolean {
  const found = statOf(path);
  if (found === undefined) return true; // its owner has removed it since
  if (!found.isSocket() || isAnswered(path, libc)) return false;
  sleep(LISTEN_GAP_MS);
  if (isAnswered(path, libc)) return false;
  // Another server may put its own file there between this line and the next. So the file is moved aside, looked at, and put back
  // if it is not the one that was refused.
  const aside = `${path}.${process.pid}.${threadId}.stale`;
  try {
    renameSync(path, aside);
  } catch (error) {
    const { code, errno = 0 } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return true;
    throw new SystemError('rename', errno, { path });
  }
  const taken = statOf(aside);
  if (taken !== undefined && !isSameFile(taken, found) && statOf(path) === undefined) renameSync(aside, path);
  else unlinkSync(aside);
  return true;
}

/**
 * connect(2). Any error but these two speaks of an owner: EAGAIN of a full queue, EPROTOTYPE of datagrams, EACCES of another user.
 */
function isAnswered(path: string, libc: Libc): boolean {
  try {
    NetSocket.connectTo({ path }, { nonBlocking: true, libc }).close();
    return true;
  } catch (error) {
    return !(error instanceof SystemError) || !['ECONNREFUSED', 'ENOENT'].includes(error.code);
  }
}

/** A number of an inode comes back once its file is gone. rename(2) leaves the time of the last change of content alone. */
function isSameFile(one: BigIntStats, other: BigIntStats): boolean {
  return one.dev === other.dev && one.ino === other.ino && one.mtimeNs === other.mtimeNs;
}

/** Servers start seldom, and nothing else of this thread can go on before its socket is bound. */
function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
