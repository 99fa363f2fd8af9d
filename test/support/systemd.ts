/**
 * What stands in for systemd: it starts a program with open sockets and the variables that name them.
 */

import type { NetSocket } from '../../simplenet/index.ts';
import { Program, type ProgramOptions } from './programs.ts';

/** exec keeps the process number, as systemd does. */
const SCRIPT = 'LISTEN_PID=$$ exec "$@"';

/** Starts Node with these sockets. `names` is the value of LISTEN_FDNAMES. */
export function startedBySystemd(
  sockets: readonly NetSocket[],
  names: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Program {
  const passes = sockets.map(({ fd }) => fd);
  const { env = process.env } = options;
  const variables = { ...env, LISTEN_FDS: String(passes.length), LISTEN_FDNAMES: names };
  return new Program('sh', ['-c', SCRIPT, 'sh', process.execPath, ...args], { ...options, env: variables, passes });
}
