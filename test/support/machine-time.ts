/**
 * Machine time: how long something took, without the time in which the machine had no core for it.
 *
 * Tests run beside each other, and on machines that are busy with other things. A bound on wall time would fail there, and would
 * say nothing about the server. Work that only computes is measured by `cpuMsOf`. Work that also waits, for a timer or for
 * another process, is measured by a Stopwatch.
 */

import { readFileSync } from 'node:fs';

/** How long the main thread of a process was ready to run while others ran: the second figure of /proc/PID/schedstat. */
export function waitedMs(pid: number): number {
  try {
    const [, nanoseconds] = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ');
    return Number(nanoseconds) / 1e6;
  } catch {
    return 0; // the kernel does not count it, or the process has ended
  }
}

/** The time that the processor spends for this process in the meantime. It does not grow while others have the core. */
export async function cpuMsOf(work: () => void | Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}

const LOOK_MS = 20;

export class Stopwatch {
  readonly #startedAt = performance.now();
  readonly #pids: readonly number[];
  readonly #before: readonly number[];
  #waited = 0;
  readonly #timer: NodeJS.Timeout | null;

  /** Of the test itself, and of the other processes that must run for what is measured. */
  constructor(...others: readonly (number | undefined)[]) {
    this.#pids = [process.pid, ...others.filter((pid) => pid !== undefined)];
    this.#before = this.#pids.map(waitedMs);
    // The figures of another process vanish when it ends.
    this.#timer = others.length === 0 ? null : setInterval(() => this.#look(), LOOK_MS).unref();
  }

  /** What a clock on the wall says, and how long it would have taken on a machine that is not busy, or less. */
  stop(): { readonly wallMs: number; readonly fairMs: number } {
    const wallMs = performance.now() - this.#startedAt;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#look();
    return { wallMs, fairMs: Math.max(wallMs - this.#waited, 0) };
  }

  #look(): void {
    const waits = this.#pids.map((pid, i) => waitedMs(pid) - (this.#before[i] as number));
    this.#waited = Math.max(
      this.#waited,
      waits.reduce((sum, wait) => sum + Math.max(wait, 0), 0),
    );
  }
}
