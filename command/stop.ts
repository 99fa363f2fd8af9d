/**
 * The end of the command: by a signal, or because the server has lost its socket.
 *
 * SIGINT and SIGTERM stop the server with grace, and so does SIGHUP, unless it restarts the program. A second Ctrl-C ends what is left at once. npm and npx pass SIGINT of a terminal on to a
 * process that has it already, so one Ctrl-C arrives twice: what follows within SAME_PRESS_MS is the same. A second SIGTERM changes nothing,
 * because supervisors send it twice.
 *
 * Next: site.ts
 */

import type { Server, Workers } from '../http/index.ts';
import { FAILED } from './command-error.ts';
import type { Reporter } from './reporter.ts';

export const SAME_PRESS_MS = 300;

/** 128 + SIGINT, as a shell reports it. */
const INTERRUPTED = 130;

/** What tells the signals: `process`. */
export interface Signals {
  on(signal: NodeJS.Signals, listener: () => void): unknown;
  off(signal: NodeJS.Signals, listener: () => void): unknown;
}

/** Resolves with the exit code when the server has closed. */
export async function untilStopped(
  server: Server | Workers,
  signals: Signals,
  reporter: Reporter,
  now: () => number = () => performance.now(),
  onHangUp: (() => void) | null = null,
): Promise<number> {
  let exitCode = FAILED; // unless a signal is the reason
  let pressedAt: number | null = null;
  const onTerminate = () => {
    if (server.isStopping) return;
    exitCode = 0;
    reporter.stopping(server.busyCount);
    void server.close();
  };
  const onInterrupt = () => {
    onTerminate();
    pressedAt ??= now();
    if (now() - pressedAt < SAME_PRESS_MS) return;
    exitCode = INTERRUPTED;
    void server.close({ graceMs: 0 });
  };
  const listeners = [
    ['SIGINT', onInterrupt],
    ['SIGTERM', onTerminate],
    ['SIGHUP', onHangUp ?? onTerminate],
  ] as const;
  for (const [signal, listener] of listeners) signals.on(signal, listener);
  await new Promise<void>((resolve) => server.closing.addEventListener('abort', () => resolve(), { once: true }));
  await server.close();
  for (const [signal, listener] of listeners) signals.off(signal, listener);
  return exitCode;
}
