/**
 * The end of the command: by a signal, or because the server has lost its socket.
 *
 *     serving --a signal--> the notice --its end, or another signal--> draining --its end, or another Ctrl-C--> ended
 *
 * SIGINT and SIGTERM do so, and SIGHUP, unless it restarts the program. Without --notice the first signal drains. npm and npx pass SIGINT of a terminal on to a process that has it already, and
 * supervisors send SIGTERM twice, so a signal that follows another step within SAME_PRESS_MS is the same. While it drains, another SIGTERM changes nothing: only a person who presses Ctrl-C again
 * wants the responses to be cut.
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

export interface StopOptions {
  readonly noticeMs?: number;
  readonly now?: () => number;
  /** What SIGHUP does; null: it stops the server. */
  readonly onHangUp?: (() => void) | null;
}

/** Resolves with the exit code when the server has closed. */
export async function untilStopped(
  server: Server | Workers,
  signals: Signals,
  reporter: Reporter,
  { noticeMs = 0, now = () => performance.now(), onHangUp = null }: StopOptions = {},
): Promise<number> {
  let exitCode = FAILED; // unless a signal is the reason
  let isDraining = false;
  /** When the notice began. */
  let announcedAt: number | null = null;
  /** When Ctrl-C came first while it drained, or made it drain. */
  let pressedAt: number | null = null;
  const drain = () => {
    isDraining = true;
    reporter.stopping(server.busyCount);
    void server.close();
  };
  const onTerminate = () => {
    if (isDraining || (announcedAt !== null && now() - announcedAt < SAME_PRESS_MS)) return;
    exitCode = 0;
    if (announcedAt !== null || noticeMs === 0) drain();
    else {
      announcedAt = now();
      reporter.announced(noticeMs);
      void server.close({ noticeMs });
    }
  };
  const onInterrupt = () => {
    onTerminate();
    if (!isDraining) return;
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
  const begun = new Promise<void>((resolve) => {
    server.closing.addEventListener('abort', () => resolve(), { once: true });
  });
  for (const [signal, listener] of listeners) signals.on(signal, listener);
  await begun;
  if (announcedAt !== null && !isDraining) reporter.stopping(server.busyCount); // the notice is over
  isDraining = true;
  await server.close();
  for (const [signal, listener] of listeners) signals.off(signal, listener);
  return exitCode;
}
