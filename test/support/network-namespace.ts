/**
 * Network namespaces: a network of its own for a program that a test starts, in which it is root.
 */

import { spawnSync } from 'node:child_process';

/** unshare(1) as root, or with a user namespace in which we are root. */
export const inNamespace: readonly [command: string, option: string] = [
  'unshare',
  process.getuid?.() === 0 ? '-n' : '-Urn',
];

/** For a test's `skip`: why there can be no namespace with a TAP device here, or false. */
export function noTapNamespace(): string | false {
  const [command, ...options] = inNamespace;
  const attempt = spawnSync(command, [...options, 'ip', 'tuntap', 'add', 'tap0', 'mode', 'tap'], { encoding: 'utf8' });
  if (attempt.error !== undefined) return `unshare does not run: ${attempt.error.message}`;
  return attempt.status === 0 ? false : `no TAP device in a namespace of its own: ${attempt.stderr.trim()}`;
}
