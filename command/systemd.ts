/**
 * What a service says to systemd: a datagram for each change of its state (sd_notify(3)). http/passed-sockets.ts has what systemd passes to the service.
 *
 * It is an environment variable and plain system calls, so no library is needed. Without systemd the variable is not there, and nothing is sent.
 *
 * Next: successor.ts
 */

import { type Alarm, nodeHost, UdpSocket } from '../simplenet/index.ts';
import { CommandError, FAILED } from './command-error.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** The parts of the environment that are for this process and not for its children. */
export const OWN_VARIABLES: readonly string[] = ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES', 'WATCHDOG_PID'];

export class Notifier {
  readonly #path: string | null;
  readonly #socket: UdpSocket | null;
  readonly #watchdogMs: number | null;
  #alarm: Alarm | null = null;

  /** A path that begins with @ is an abstract socket. vsock, for virtual machines, is not supported. Throws CommandError for what is no path. */
  constructor(env: Environment, pid: number) {
    const { NOTIFY_SOCKET = '' } = env;
    this.#path = /^[/@]/.test(NOTIFY_SOCKET) ? NOTIFY_SOCKET.replace(/^@/, '\0') : null;
    this.#socket = this.#path === null ? null : socketFor(this.#path);
    this.#watchdogMs = watchdogMsOf(env, pid);
  }

  /** Whether anybody is told. */
  get isTelling(): boolean {
    return this.#path !== null;
  }

  /** The service serves. From now on the watchdog gets its signs, from the event loop: a service that hangs sends none. */
  ready(status: string): void {
    this.#send(`READY=1\nSTATUS=${status}`);
    this.#alarm?.cancel();
    if (this.#path !== null && this.#watchdogMs !== null) this.#feedWatchdog(this.#watchdogMs);
  }

  /** The service loads itself again; `ready` follows. `MONOTONIC_USEC` is for Type=notify-reload. */
  reloading(): void {
    this.#send(`RELOADING=1\nMONOTONIC_USEC=${process.hrtime.bigint() / 1_000n}`);
  }

  /** Another process is the service from now on. */
  mainPid(pid: number): void {
    this.#send(`MAINPID=${pid}`);
  }

  stopping(): void {
    this.#send('STOPPING=1\nSTATUS=draining');
  }

  close(): void {
    this.#alarm?.cancel();
    this.#socket?.close();
  }

  #feedWatchdog(everyMs: number): void {
    this.#send('WATCHDOG=1');
    this.#alarm = nodeHost.alarm(everyMs, () => this.#feedWatchdog(everyMs));
  }

  #send(text: string): void {
    if (this.#socket === null || this.#path === null) return;
    try {
      this.#socket.sendTo(Buffer.from(text), { path: this.#path });
    } catch {
      // systemd has gone, or reads too slowly. That must not stop the service.
    }
  }
}

function socketFor(path: string): UdpSocket {
  try {
    return UdpSocket.openFor({ path }, { nonBlocking: true });
  } catch (error) {
    throw new CommandError(`NOTIFY_SOCKET: ${(error as Error).message}`, FAILED);
  }
}

/** Half of the time after which systemd gives up, as sd_watchdog_enabled(3) advises; null without a watchdog for this process. */
function watchdogMsOf({ WATCHDOG_USEC, WATCHDOG_PID }: Environment, pid: number): number | null {
  const usec = Number(WATCHDOG_USEC);
  if (!(usec > 0) || (WATCHDOG_PID !== undefined && WATCHDOG_PID !== String(pid))) return null;
  return usec / 1_000 / 2;
}
