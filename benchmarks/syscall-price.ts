/**
 * SyscallPrice: what a system call costs on this machine, for each report. It differs twentyfold between machines, and decides how much
 * a server gains by making fewer of them: figures of two machines cannot be compared without it.
 *
 * Next: machine.ts
 */

import { compileC, NotCompiled } from './c-programs.ts';
import { outputOf } from './children.ts';
import { pinned } from './cores.ts';

/** Returns nanoseconds by the name of the call, or why they were not measured. */
export async function measureSyscalls(
  folder: string,
  cpu: number | undefined,
): Promise<Record<string, number> | string> {
  try {
    return JSON.parse(await outputOf(pinned([compileC('syscall-price', folder)], cpu))) as Record<string, number>;
  } catch (error) {
    if (error instanceof NotCompiled) return `not measured, because the program for it ${error.message}`;
    throw error;
  }
}
