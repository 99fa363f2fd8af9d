/**
 * CoreWaits: for how long processes could have run and had no core, because others had it: proc_pid_schedstat(5).
 *
 * Tests run on machines that are busy with other things. A delay that a process could do nothing about is no fault of it, so
 * whoever measures delays subtracts this.
 */

import { readFileSync } from 'node:fs';

/** A figure is read again once it is older. To read it costs some twenty microseconds. */
const FRESH_MS = 1;

export class CoreWaits {
  readonly #files: readonly string[];
  #readAt = Number.NEGATIVE_INFINITY;
  #waitedMs = 0;

  constructor(...pids: readonly number[]) {
    this.#files = pids.map((pid) => `/proc/${pid}/schedstat`);
  }

  /** Of all of them together, since they began; 0 where the kernel does not count it. */
  get totalMs(): number {
    const now = performance.now();
    if (now - this.#readAt > FRESH_MS) {
      this.#readAt = now;
      this.#waitedMs = this.#files.reduce((sum, file) => sum + waitedMs(file), 0);
    }
    return this.#waitedMs;
  }
}

function waitedMs(file: string): number {
  try {
    const [, nanoseconds] = readFileSync(file, 'utf8').split(' ');
    return Number(nanoseconds) / 1e6;
  } catch {
    return 0;
  }
}
