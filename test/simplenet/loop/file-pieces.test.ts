/** FilePieces: the bytes of a part, in bounded pieces, as far as there is room. */

import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'tap';
import { EBADF, EINTR, ENODATA } from '../../../simplenet/kernel/abi.ts';
import { type Libc, libc } from '../../../simplenet/kernel/libc.ts';
import { FilePieces } from '../../../simplenet/loop/file-pieces.ts';

const content = Buffer.from(Array.from({ length: 200_000 }, (_, i) => i % 251));
const folder = mkdtempSync(join(tmpdir(), 'simplenet-'));
const path = join(folder, 'file');
writeFileSync(path, content);
const fd = openSync(path, 'r');
process.once('exit', () => {
  closeSync(fd);
  rmSync(folder, { recursive: true, force: true });
});

test('pieces of at most 64 KiB, one for each time that there is room', async (t) => {
  const pieces = new FilePieces(libc, fd, 10, 150_000);
  const taken: Uint8Array[] = [];
  for (const remaining of [84_464, 18_928, 0]) {
    t.equal(
      pieces.feed((piece) => {
        taken.push(piece);
        return false;
      }),
      0,
    );
    t.equal(pieces.remainingBytes, remaining);
  }
  t.same(
    taken.map(({ length }) => length),
    [65_536, 65_536, 18_928],
  );
  t.ok(Buffer.concat(taken).equals(content.subarray(10, 150_010)));
  t.equal(
    pieces.feed(() => t.fail('nothing is left')),
    0,
  );
});

test('all of it while there is room, in spite of short reads and signals', async (t) => {
  let calls = 0;
  const nervous: Libc = {
    ...libc,
    pread: (file, buffer, offset, length, position) =>
      ++calls % 3 === 0 ? -EINTR : libc.pread(file, buffer, offset, Math.min(length, 30_000), position),
  };
  const taken: Uint8Array[] = [];
  const pieces = new FilePieces(nervous, fd, 0, content.length);
  t.equal(
    pieces.feed((piece) => taken.push(piece) > 0),
    0,
  );
  t.ok(Buffer.concat(taken).equals(content));
});

test('a file that ends early, and an error of the kernel', async (t) => {
  const pieces = new FilePieces(libc, fd, 199_990, 20);
  let length = 0;
  const count = (piece: Uint8Array) => {
    length += piece.length;
    return true;
  };
  t.equal(pieces.feed(count), -ENODATA);
  t.equal(length, 10);
  t.equal(new FilePieces(libc, 2 ** 30, 0, 1).feed(count), -EBADF);
  truncateSync(path, 5);
  t.equal(new FilePieces(libc, fd, 5, 1).feed(count), -ENODATA);
  writeFileSync(path, content);
});

test('a part that no file can have is refused', async (t) => {
  t.throws(() => new FilePieces(libc, -1, 0, 1), TypeError);
  t.throws(() => new FilePieces(libc, 0, -1, 1), RangeError);
  t.throws(() => new FilePieces(libc, 0, 2 ** 53 - 1, 1), RangeError);
  new FilePieces(libc, 0, 2 ** 53 - 1, 0);
});
