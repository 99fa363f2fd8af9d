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

const SET_UP = `
  ip link set lo up
  ip tuntap add dev tap0 mode tap
  ip addr add 10.9.0.1/24 dev tap0
  ip link set tap0 up
  exec "$@"`;

/** A command as one that runs in a namespace with the interface tap0, at which Linux has the address 10.9.0.1/24. It is the same process. */
export function behindTap(command: readonly string[]): [command: string, args: string[]] {
  const [unshare, ...options] = inNamespace;
  return [unshare, [...options, 'sh', '-ec', SET_UP, 'sh', ...command]];
}

/** A command as one that runs in the namespace of a process. */
export function besideProcess(pid: number, command: readonly string[]): [command: string, args: string[]] {
  const asRoot = process.getuid?.() === 0 ? [] : ['-U', '--preserve-credentials'];
  return ['nsenter', ['-t', String(pid), '-n', ...asRoot, ...command]];
}

const SET_UP_BRIDGE = `
  ip link set lo up
  ip link add br0 type bridge forward_delay 0
  for tap in tap0 tap1; do
    ip tuntap add dev $tap mode tap
    ip link set dev $tap txqueuelen 5000 master br0 up
  done
  ip addr add 10.9.0.3/24 dev br0
  ip link set br0 up
  exec "$@"`;

/**
 * A command as one that runs in a namespace with tap0 and tap1, which a bridge joins: what is written into one can be read from the other. Linux is at the bridge
 * as well, with the address 10.9.0.3. The queues are long enough for a burst of 5,000 frames.
 */
export function atBridge(command: readonly string[]): [command: string, args: string[]] {
  const [unshare, ...options] = inNamespace;
  return [unshare, [...options, 'sh', '-ec', SET_UP_BRIDGE, 'sh', ...command]];
}

/** For a test's `skip`: why there can be no such bridge here, or false. */
export function noBridge(): string | false {
  const { error, status, stderr } = spawnSync(...atBridge(['true']), { encoding: 'utf8' });
  if (error !== undefined) return `unshare does not run: ${error.message}`;
  return status === 0 ? false : `no bridge of TAP devices in a namespace of its own: ${stderr.trim()}`;
}
