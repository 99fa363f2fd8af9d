/**
 * The limit of open files, getrlimit(2). Each connection is an open file, and many systems allow a process just 1024.
 *
 * A process may raise its soft limit up to the hard limit without a privilege. Node does so at its start, so this function mostly
 * finds nothing to do. It helps after a parent process has lowered the soft limit, and a privileged process may raise the hard one.
 *
 * Next: trace-formatters.ts
 */

import { RLIMIT_NOFILE, RLIMIT_SIZE } from './abi.ts';
import { type Libc, libc as processLibc } from './libc.ts';
import { check } from './system-error.ts';

const SOFT = 0;
const HARD = 8;

/**
 * Raises the limit to at least `wanted`, or as far as the process may. Returns the limit in force.
 *
 * ```ts
 * import { raiseOpenFileLimit } from 'simplenet';
 *
 * const limit = raiseOpenFileLimit(100_000);
 * if (limit < 100_000) console.error(`this process can hold some ${limit} connections: see ulimit -n`);
 * ```
 */
export function raiseOpenFileLimit(wanted: number, libc: Libc = processLibc): number {
  const limit = Buffer.alloc(RLIMIT_SIZE);
  check('getrlimit', libc.getrlimit(RLIMIT_NOFILE, limit));
  const target = BigInt(wanted);
  if (limit.readBigUInt64LE(SOFT) >= target) return Number(limit.readBigUInt64LE(SOFT));
  const raised = Buffer.from(limit);
  raised.writeBigUInt64LE(target, SOFT);
  if (limit.readBigUInt64LE(HARD) < target) raised.writeBigUInt64LE(target, HARD); // needs CAP_SYS_RESOURCE
  if (libc.setrlimit(RLIMIT_NOFILE, raised) >= 0) return wanted;
  const hard = limit.readBigUInt64LE(HARD);
  limit.writeBigUInt64LE(hard, SOFT);
  check('setrlimit', libc.setrlimit(RLIMIT_NOFILE, limit));
  return Number(hard);
}
