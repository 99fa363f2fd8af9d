/**
 * Memory that processes share: a file that exists only as a descriptor, memfd_create(2), which each process maps.
 *
 * Next: inherited.ts
 */

import { writeSync } from 'node:fs';
import { abi, libc, SystemError } from '../../simplenet/index.ts';

/** Returns the descriptor of so many zero bytes. The caller closes it. */
export function createShared(length: number): number {
  const fd = libc.memfd_create('simplenet-workers', abi.MFD_CLOEXEC);
  if (fd < 0) throw new SystemError('memfd_create', fd);
  writeSync(fd, Buffer.alloc(length));
  return fd;
}

/** Maps the memory for as long as the process lives: it is smaller than a page, and unmapping what is still used crashes. */
export function mapShared(fd: number, length: number): ArrayBuffer {
  const mapping: { memory: ArrayBuffer | null } = { memory: null };
  const result = libc.mmap(mapping, length, fd, 0);
  if (result < 0) throw new SystemError('mmap', result);
  return mapping.memory as unknown as ArrayBuffer; // mmap has set it
}
