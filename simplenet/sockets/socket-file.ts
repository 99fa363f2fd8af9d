/**
 * SocketFile: the file that bind(2) makes for a Unix socket.
 *
 * close(2) leaves the file behind, unix(7), and while it exists bind(2) fails with EADDRINUSE. A server that was killed could not
 * be started again. So `bindReplacingStale` removes the file of a socket that no process listens on, and `remove` removes our own.
 *
 * This code does not remove files that are not sockets, sockets that are in use, and files that have replaced ours. A name in the
 * abstract namespace has no file.
 *
 * Next: pass-descriptors.ts
 */

import { type BigIntStats, lstatSync, renameSync, unlinkSync } from 'node:fs';
import { resolve } from 'node:path';
import { threadId } from 'node:worker_threads';
import { type Libc, libc as processLibc } from '../kernel/libc.ts';
import type { SocketAddress } from '../kernel/socket-address.ts';
import { SystemError } from '../kernel/system-error.ts';
import { NetSocket } from './net-socket.ts';
import type { SocketSetup } from './socket.ts';
import type { ListenOptions } from './socket-options.ts';

/** How many stale files one start removes. A second one appears only if another process binds the path at the same moment. */
const MAX_REMOVALS = 3;

/** How long a server may take from bind(2) to listen(2). Between them connect(2) is refused, as it is on a stale file. */
const LISTEN_GAP_MS = 20;

/**
 * The file of a Unix socket, for its owner to remove.
 *
 * ```ts
 * import { NetSocket, SocketFile } from 'simplenet';
 *
 * const socket = NetSocket.listenOn({ path: '/run/site.sock' });
 * const file: SocketFile | null = SocketFile.of(socket.localAddress);
 * file?.remove();
 * socket.close();
 * ```
 */
export class SocketFile {
  readonly #path: string;
  readonly #made: BigIntStats;

  private constructor(path: string, made: BigIntStats) {
    this.#path = path;
    this.#made = made;
  }

  /** The file of a socket that was just bound to that address. Null if the address has no file. */
  static of(address: SocketAddress): SocketFile | null {
    if (!hasFile(address)) return null;
    const path = resolve(address.path); // the program may change its working directory before `remove`
    const made = statOf(path);
    return made === undefined ? null : new SocketFile(path, made);
  }

  /**
   * Removes the file, if it is still the one that was made. Call it before the socket is closed: an open socket keeps its inode, so
   * no other file can have the same number. If the process may not remove the file, it stays, and the next start reports why.
   */
  remove(): void {
    const found = statOf(this.#path);
    if (found === undefined || found.dev !== this.#made.dev || found.ino !== this.#made.ino) return;
    try {
      unlinkSync(this.#path);
    } catch {
      // The file stays, for example in a read-only folder. Closing must not fail because of it.
    }
  }
}

/** Calls `bind`, which binds a socket to that address. If a stale file prevents that, removes it and calls `bind` again. */
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

/**
 * What `listenReplacingStale` returns.
 *
 * ```ts
 * import { type ListeningSocket, listenReplacingStale } from 'simplenet';
 *
 * const { socket, file }: ListeningSocket = listenReplacingStale({ path: '/run/site.sock' });
 * file?.remove();
 * socket.close();
 * ```
 */
export interface ListeningSocket {
  readonly socket: NetSocket;
  /** The file of a Unix socket, for its owner to remove before it closes the socket. Null for other sockets. */
  readonly file: SocketFile | null;
}

/**
 * As `NetSocket.listenOn`. A stale file of a Unix socket, on which no process listens, is removed first.
 *
 * ```ts
 * import { listenReplacingStale } from 'simplenet';
 *
 * const { socket } = listenReplacingStale({ path: '/run/site.sock' }, { backlog: 100 });
 * console.log(socket.accept().peerCredentials);
 * ```
 */
export function listenReplacingStale(address: SocketAddress, setup: SocketSetup & ListenOptions = {}): ListeningSocket {
  const { libc = processLibc } = setup;
  const socket = bindReplacingStale(address, libc, () => NetSocket.listenOn(address, setup));
  return { socket, file: SocketFile.of(address) };
}

function hasFile(address: SocketAddress): address is { path: string } {
  return 'path' in address && address.path !== '' && !address.path.startsWith('\0');
}

/** lstat(2); undefined if the path does not exist or may not be read. */
function statOf(path: string): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true });
  } catch {
    return undefined;
  }
}

/** Removes the file if it is stale. False if the path is in use. True if bind(2) may succeed now. */
function removeStale(path: string, libc: Libc): boolean {
  const found = statOf(path);
  if (found === undefined) return true; // its owner has removed it since
  if (!found.isSocket() || isInUse(path, libc)) return false;
  sleep(LISTEN_GAP_MS);
  if (isInUse(path, libc)) return false;
  // Another server may put its own file there between this line and the next. So we move the file aside, look at it, and put it
  // back if it is not the file that we found.
  const aside = `${path}.${process.pid}.${threadId}.stale`;
  try {
    renameSync(path, aside);
  } catch (error) {
    const { code, errno = 0 } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return true;
    throw new SystemError('rename', errno, { path });
  }
  const moved = statOf(aside);
  if (moved !== undefined && !isSameFile(moved, found) && statOf(path) === undefined) renameSync(aside, path);
  else unlinkSync(aside);
  return true;
}

/**
 * Whether a process has the socket, by connect(2). All errors but these two mean that it has an owner: EAGAIN is a full queue,
 * EPROTOTYPE a datagram socket, EACCES another user's socket.
 */
function isInUse(path: string, libc: Libc): boolean {
  try {
    NetSocket.connectTo({ path }, { nonBlocking: true, libc }).close();
    return true;
  } catch (error) {
    return !(error instanceof SystemError) || !['ECONNREFUSED', 'ENOENT'].includes(error.code);
  }
}

/** Compares mtime as well, because the number of an inode is reused once its file is removed. rename(2) leaves mtime alone. */
function isSameFile(one: BigIntStats, other: BigIntStats): boolean {
  return one.dev === other.dev && one.ino === other.ino && one.mtimeNs === other.mtimeNs;
}

/** Blocks the thread. That is acceptable here: it happens at most three times in a start, and the start needs the socket. */
function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
