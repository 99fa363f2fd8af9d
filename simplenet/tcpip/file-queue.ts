/**
 * FileQueue: parts of files that a stream of the stack sends, and what was written behind them, in order.
 *
 * The bytes of a file are read when the connection has room for them, so a file of any size takes the memory of one piece. A write that comes after a
 * file waits here, too, because it must not overtake the file.
 *
 * Next: stack-stream.ts
 */

import { type Libc, libc as processLibc } from '../kernel/libc.ts';
import { FilePieces } from '../loop/file-pieces.ts';

export class FileQueue {
  readonly #libc: Libc;
  readonly #items: (FilePieces | Uint8Array)[] = [];
  #writtenBytes = 0;

  constructor(libc: Libc = processLibc) {
    this.#libc = libc;
  }

  get isEmpty(): boolean {
    return this.#items.length === 0;
  }

  /** What waits in memory: a limit counts these bytes, and not those of files. */
  get writtenBytes(): number {
    return this.#writtenBytes;
  }

  get byteLength(): number {
    let bytes = this.#writtenBytes;
    for (const item of this.#items) if (item instanceof FilePieces) bytes += item.remainingBytes;
    return bytes;
  }

  pushFile(fd: number, offset: number, length: number): void {
    this.#items.push(new FilePieces(this.#libc, fd, offset, length));
  }

  /** Takes the bytes themselves: the caller has copied them, or gives them away. */
  pushBytes(bytes: Uint8Array): void {
    this.#items.push(bytes);
    this.#writtenBytes += bytes.length;
  }

  /** Passes on as much as `write` takes; it returns false when it wants no more. Returns 0, or -errno of a file: ENODATA if it is too short. */
  feed(write: (bytes: Uint8Array) => boolean): number {
    let hasRoom = true;
    const take = (bytes: Uint8Array) => {
      hasRoom = write(bytes);
      return hasRoom;
    };
    while (hasRoom) {
      const [item] = this.#items;
      if (item === undefined) break;
      if (item instanceof FilePieces) {
        const result = item.feed(take);
        if (result < 0) return result;
        if (item.remainingBytes > 0) break;
      } else {
        this.#writtenBytes -= item.length;
        take(item);
      }
      this.#items.shift();
    }
    return 0;
  }

  clear(): void {
    this.#items.length = 0;
    this.#writtenBytes = 0;
  }
}
