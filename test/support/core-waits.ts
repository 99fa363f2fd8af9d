/**
 * CoreWaits: for how long processes could have run and had no core, because others had it: proc_pid_schedstat(5).
 *
 * Tests run on machines that are busy with other things. A delay that a process could do nothing about is no fault of it, so
 * whoever measures delays subtracts this.
 */

import { waitedMs } from './machine-time.ts';

/** A figure is read again once it is older. To read it costs some twenty microseconds. */
const FRESH_MS = 1;

export class CoreWaits {
  readonly #pids: readonly number[];
  #readAt = Number.NEGATIVE_INFINITY;
  #waitedMs = 0;

  constructor(...pids: readonly number[]) {
    this.#pids = pids;
  }

  /** Of all of them together, since they began; 0 where the kernel does not count it. */
  get totalMs(): number {
    const now = performance.now();
    if (now - this.#readAt > FRESH_MS) {
      this.#readAt = now;
      this.#waitedMs = this.#pids.reduce((sum, pid) => sum + waitedMs(pid), 0);
    }
    return this.#waitedMs;
  }
}
