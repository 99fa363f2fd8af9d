/**
 * OpenFiles: the files of one directory, opened safely, and kept open for the next request.
 *
 * openat2(2) opens a path with RESOLVE_BENEATH: the kernel itself refuses each way out, through `..`, through a link or through a folder that is moved meanwhile. Checks of the
 * path alone could not do that. A kernel without openat2 (before 5.6, or behind a seccomp filter) opens the path, and then says where the file is: what is outside is closed again.
 *
 * A file is kept with its size, its times and its ETag, with its siblings, and with its bytes if it is small. After `revalidateMs` the path is opened once more before it is
 * used, and those of the siblings: another file, size or time replaces what is kept. `maxOpenFiles` bounds the descriptors; the path that was used longest ago goes first. A
 * descriptor that a response is using is closed when that response has ended. A path that names no file is kept in the same way, and counts as one descriptor.
 *
 * Opening does not leave the thread. Measured on the page cache: a kept file takes 0.5 us, a file that is opened 13 to 18 us, a path without file 7 us, and the same in a thread of Node
 * (fs.promises) 250 us. So a thread would cost every request much for a slow disk that few have. Such a disk holds up the loop.
 *
 * Here is the one clock of http/handlers/: the times of files are those of the system clock.
 *
 * Next: file-answer.ts
 */

import { fstatSync, readlinkSync } from 'node:fs';
import { abi, type Libc, SystemError } from '../../simplenet/index.ts';
import { HttpError } from '../http-error.ts';

/** Larger bodies are not kept in memory, but sent from their files. */
export const MAX_KEPT_BYTES = 16_384;

const ROOT_FLAGS = abi.O_RDONLY | abi.O_CLOEXEC;
/** O_NONBLOCK: opening a FIFO would wait for its writer. */
const FILE_FLAGS = abi.O_RDONLY | abi.O_CLOEXEC | abi.O_NONBLOCK;

const NS_PER_MS = 1_000_000n;

/**
 * A file that was changed less than this before it was opened may be changed again without another time: clocks of file systems tick every 4 ms, and those of some networks
 * every second. So its ETag is weak, and names the moment of the look at it; the next look gives it another one.
 */
export const SETTLING_MS = 1_000;

/** errno(3). The path names nothing that we serve: it does not exist, leaves the directory, is too long or may not be read. */
const NO_FILE: ReadonlySet<number> = new Set([
  abi.ENOENT,
  abi.ENOTDIR,
  abi.ENAMETOOLONG,
  abi.ELOOP,
  abi.EXDEV,
  abi.EACCES,
  abi.EPERM,
  abi.ENXIO,
  abi.EINVAL,
]);

/** What is said of a file beside its bytes. */
export interface FileFields {
  readonly contentType: string;
  /** Null: the file is not encoded. */
  readonly contentEncoding: string | null;
  readonly cacheControl: string;
  readonly disposition: string | null;
  /** The answer depends on Accept-Encoding. */
  readonly varies: boolean;
  readonly maxRanges: number;
  /** The field lines of an answer with the whole file; null until they are made. */
  lines: string | null;
}

export interface OpenFilesOptions {
  readonly followSymlinks: boolean;
  readonly maxOpenFiles: number;
  readonly revalidateMs: number;
  /** What is behind the name of a sibling, by the coding that it has. */
  readonly siblingEndings: ReadonlyMap<string, string>;
}

const NO_SIBLINGS: ReadonlyMap<string, OpenFile> = new Map();

/** A file or a folder that is open. Call `release` once for each `open` and each `use`: the last one closes the descriptor. */
export class OpenFile {
  readonly fd: number;
  readonly isDirectory: boolean;
  readonly size: number;
  readonly modifiedMs: number;
  /** Strong: another content has another size or time of change, or lies in another file. Weak within SETTLING_MS of a change. */
  readonly etag: string;
  /** The bytes of a small file. */
  content: Buffer | null = null;
  /** Compressed forms of the file, by their coding. They are open as long as the file. */
  siblings = NO_SIBLINGS;
  /** What file-answer.ts sends beside the bytes. It is kept until the path is looked at again. */
  fields: FileFields | null = null;
  #users = 1;
  readonly #libc: Libc;

  constructor(
    libc: Libc,
    fd: number,
    isDirectory: boolean,
    size: number,
    modifiedNs: bigint,
    inode: bigint,
    nowMs: number,
  ) {
    this.#libc = libc;
    this.fd = fd;
    this.isDirectory = isDirectory;
    this.size = size;
    this.modifiedMs = Number(modifiedNs / NS_PER_MS);
    const version = `${size.toString(36)}-${modifiedNs.toString(36)}-${inode.toString(36)}`;
    const isSettled = Math.abs(nowMs - this.modifiedMs) >= SETTLING_MS;
    this.etag = isSettled ? `"${version}"` : `W/"${version}-${nowMs.toString(36)}"`;
  }

  use(): this {
    this.#users++;
    return this;
  }

  release(): void {
    if (--this.#users > 0) return;
    this.#libc.close(this.fd);
    for (const sibling of this.siblings.values()) sibling.release();
  }

  get descriptors(): number {
    return 1 + this.siblings.size;
  }

  /** Whether it is the same version of the same file, with the same siblings. */
  isSameAs(other: OpenFile): boolean {
    return (
      this.etag === other.etag &&
      this.siblings.size === other.siblings.size &&
      [...this.siblings].every(([coding, { etag }]) => other.siblings.get(coding)?.etag === etag)
    );
  }

  /** The clock may have been set back. Then the time of change is in the future, and a kept Last-Modified would be wrong. */
  forgetFields(): void {
    for (const each of [this, ...this.siblings.values()]) each.fields = null;
  }
}

/** What is kept for a path: null if it names no file. */
interface Entry {
  readonly file: OpenFile | null;
  readonly checkedAt: number;
}

export class OpenFiles {
  readonly #directory: string;
  readonly #options: OpenFilesOptions;
  readonly #libc: Libc;
  readonly #now: () => number;
  /** In the order of their last use. */
  readonly #entries = new Map<string, Entry>();
  #descriptors = 0;
  #hasOpenat2 = true;

  /** Throws SystemError if there is no such directory. One that goes later has no files: a build may empty it, and make it again. */
  constructor(directory: string, options: OpenFilesOptions, libc: Libc, now: () => number = Date.now) {
    this.#directory = directory;
    this.#options = options;
    this.#libc = libc;
    this.#now = now;
    const fd = this.#openRoot();
    if (fd < 0) throw new SystemError('open', fd);
    libc.close(fd);
    const root = this.open('.');
    if (root?.isDirectory !== true) throw new TypeError(`${directory} is not a directory`);
    root.release();
  }

  /** Milliseconds since 1970, on the clock of the files. */
  now(): number {
    return this.#now();
  }

  /** How many paths are kept. */
  get size(): number {
    return this.#entries.size;
  }

  /** Opens a file or a folder. Null: there is none that may be served. `path` has no `..`, and does not begin with a slash. */
  open(path: string): OpenFile | null {
    const now = this.#now();
    const entry = this.#entries.get(path);
    // A clock that was set back must not keep an entry for long.
    if (entry === undefined || Math.abs(now - entry.checkedAt) > this.#options.revalidateMs) {
      return this.#check(path, entry, now);
    }
    this.#entries.delete(path);
    this.#entries.set(path, entry);
    return entry.file?.use() ?? null;
  }

  /** Opens the path, and keeps what it names. */
  #check(path: string, old: Entry | undefined, now: number): OpenFile | null {
    let file = this.#openWithSiblings(path);
    if (file !== null && old?.file?.isSameAs(file)) {
      file.release();
      file = old.file.use();
      file.forgetFields();
    }
    if (old !== undefined) this.#forget(path, old);
    this.#entries.set(path, { file, checkedAt: now });
    this.#descriptors += file?.descriptors ?? 1;
    file?.use();
    for (const [oldest, each] of this.#entries) {
      if (this.#descriptors <= this.#options.maxOpenFiles) break;
      this.#forget(oldest, each);
    }
    return file;
  }

  /** Closes all descriptors that no response is using. The next request opens files again. */
  close(): void {
    for (const [path, entry] of this.#entries) this.#forget(path, entry);
  }

  #forget(path: string, entry: Entry): void {
    this.#entries.delete(path);
    this.#descriptors -= entry.file?.descriptors ?? 1;
    entry.file?.release();
  }

  #openWithSiblings(path: string): OpenFile | null {
    const file = this.#open(path);
    if (file === null || file.isDirectory) return file;
    const siblings = new Map<string, OpenFile>();
    for (const [coding, ending] of this.#options.siblingEndings) {
      const sibling = this.#open(path + ending);
      if (sibling === null) continue;
      // One that is older was made of another version.
      if (sibling.isDirectory || sibling.modifiedMs < file.modifiedMs) sibling.release();
      else siblings.set(coding, sibling);
    }
    if (siblings.size > 0) file.siblings = siblings;
    return file;
  }

  #open(path: string): OpenFile | null {
    const fd = this.#openBeneath(path);
    return fd < 0 ? missing('openat2', fd) : openFileOf(this.#libc, fd, this.#now());
  }

  /** Returns a descriptor, or -errno. */
  #openBeneath(path: string): number {
    const root = this.#openRoot();
    if (root < 0) return root;
    try {
      if (this.#hasOpenat2) {
        const links = this.#options.followSymlinks ? 0 : abi.RESOLVE_NO_SYMLINKS;
        const resolve = abi.RESOLVE_BENEATH | abi.RESOLVE_NO_MAGICLINKS | links;
        let fd = this.#libc.openat2(root, path, FILE_FLAGS, resolve);
        // openat2(2): EAGAIN, if something was renamed meanwhile.
        if (fd === -abi.EAGAIN || fd === -abi.EINTR) fd = this.#libc.openat2(root, path, FILE_FLAGS, resolve);
        if (fd !== -abi.ENOSYS) return fd;
        this.#hasOpenat2 = false;
      }
      return this.#openAndLook(root, path);
    } finally {
      this.#libc.close(root);
    }
  }

  /** For a kernel without openat2: opens the path, and asks the kernel which file that is. */
  #openAndLook(root: number, path: string): number {
    const base = readlinkSync(placeOf(root));
    const fd = this.#libc.open(`${placeOf(root)}/${path}`, FILE_FLAGS);
    if (fd < 0) return fd;
    const place = readlinkSync(placeOf(fd));
    const expected = path === '.' ? base : `${base}/${path}`;
    const isInside = place === base || place.startsWith(base.endsWith('/') ? base : `${base}/`);
    if (this.#options.followSymlinks ? isInside : place === expected) return fd;
    this.#libc.close(fd);
    return -abi.EXDEV;
  }

  /** Returns a descriptor, or -errno. Opened each time, because another directory may have been moved to its path. */
  #openRoot(): number {
    return this.#libc.open(this.#directory, ROOT_FLAGS);
  }
}

/** Opens the file that a program has chosen, wherever it is. Null: there is none. */
export function openChosenFile(path: string, libc: Libc): OpenFile | null {
  const fd = libc.open(path, FILE_FLAGS);
  return fd < 0 ? missing('open', fd) : openFileOf(libc, fd, FILE_CLOCK.now());
}

/** The clock of the files. */
export interface FileClock {
  /** Milliseconds since 1970. */
  now(): number;
}

export const FILE_CLOCK: FileClock = Date;

/** Takes ownership of the descriptor. Null for what is neither a file nor a folder, such as a device. */
function openFileOf(libc: Libc, fd: number, nowMs: number): OpenFile | null {
  const stat = fstatSync(fd, { bigint: true });
  if (!stat.isFile() && !stat.isDirectory()) {
    libc.close(fd);
    return null;
  }
  const file = new OpenFile(libc, fd, stat.isDirectory(), Number(stat.size), stat.mtimeNs, stat.ino, nowMs);
  if (stat.isFile() && stat.size <= MAX_KEPT_BYTES) file.content = contentOf(libc, file);
  return file;
}

/** Null if the file does not have this size any more: then it is sent, and the connection shows what is wrong. */
function contentOf(libc: Libc, { fd, size }: OpenFile): Buffer | null {
  const bytes = Buffer.allocUnsafeSlow(size);
  return size === 0 || libc.pread(fd, bytes, 0, size, 0) === size ? bytes : null;
}

/** Returns null if there is no such file, and throws if something else is wrong. */
function missing(call: string, result: number): null {
  if (NO_FILE.has(-result)) return null;
  const cause = new SystemError(call, result);
  if (result !== -abi.EMFILE && result !== -abi.ENFILE) throw cause;
  throw new HttpError(503, 'The server has no descriptor left', { cause });
}

/** proc(5): a link to what the descriptor has open. */
export function placeOf(fd: number): string {
  return `/proc/self/fd/${fd}`;
}
