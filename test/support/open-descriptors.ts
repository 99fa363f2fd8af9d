/**
 * What this process has open, as the kernel tells it in /proc: for tests that must leave nothing behind.
 */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Every open descriptor and what it is: `5 socket:[81234]`, `6 /dev/null`. */
export function openDescriptors(): string[] {
  const open: string[] = [];
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      open.push(`${fd} ${readlinkSync(`/proc/self/fd/${fd}`)}`);
    } catch {
      // The descriptor through which the folder itself was read: it is closed by now.
    }
  }
  return open.sort();
}

/** The flags a descriptor was opened with, as in open(2): O_NONBLOCK, O_CLOEXEC and the rest. */
export function descriptorFlags(fd: number): number {
  const line = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'));
  return Number.parseInt(line?.[1] ?? '', 8);
}
