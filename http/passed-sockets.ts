/**
 * Passed sockets: those that systemd has opened for this process, sd_listen_fds_with_names(3). The environment says how many they are and how they are called.
 *
 * A socket that no server takes is left alone, as libsystemd leaves it: systemd holds it, too, and may have opened it for another part of the program.
 *
 * Next: commons.ts
 */

/** sd_listen_fds(3): SD_LISTEN_FDS_START. */
const FIRST_FD = 3;
const MAX_FDS = 1_024;

/**
 * A socket that was passed to this process.
 *
 * ```ts
 * import { type PassedSocket, passedSockets } from 'simplenet/http';
 *
 * const admin: PassedSocket | undefined = passedSockets().find(({ name }) => name === 'admin');
 * console.log(admin?.fd);
 * ```
 */
export interface PassedSocket {
  /** FileDescriptorName= of the socket unit: all sockets of a unit have the same. `unknown` if none was said. */
  readonly name: string;
  readonly fd: number;
  /** A server of this process has it, or had it. */
  readonly isTaken: boolean;
}

/** The descriptors that servers of this process have taken. A number that is taken once stays taken: systemd passes its sockets once. */
const taken = new Set<number>();

/** A server listens on these descriptors. */
export function markTaken(fds: readonly number[]): void {
  for (const fd of fds) taken.add(fd);
}

/**
 * The sockets that systemd has passed to this process, also those that a server has taken. LISTEN_PID says for whom they are: a child must not take those of its parent.
 *
 * ```ts
 * import { passedSockets, Router, serve } from 'simplenet/http';
 *
 * const isStartedBySystemd = passedSockets().length > 0;
 * serve(new Router(), isStartedBySystemd ? { systemdSocket: 'https' } : { port: 8080 });
 * ```
 */
export function passedSockets(
  env: Readonly<Record<string, string | undefined>> = process.env,
  pid: number = process.pid,
): readonly PassedSocket[] {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES = '' } = env;
  const count = Number(LISTEN_FDS);
  if (LISTEN_PID !== String(pid) || !Number.isInteger(count) || count < 1 || count > MAX_FDS) return [];
  const names = LISTEN_FDNAMES.split(':');
  return Array.from({ length: count }, (_, i) => {
    const fd = FIRST_FD + i;
    return { name: names[i] || 'unknown', fd, isTaken: taken.has(fd) };
  });
}
