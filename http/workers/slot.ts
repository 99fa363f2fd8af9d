/**
 * Slot: the place of one worker: who serves there, who is to replace it, and how long to wait before the next one.
 *
 * Next: supervisor.ts
 */

import { type Alarm, nodeHost } from '../../simplenet/index.ts';
import type { AcceptShare } from './accept-share.ts';
import type { WorkerProcess } from './worker-process.ts';

/** A worker that has served for so long is replaced at once when it ends. */
const STABLE_MS = 10_000;
const FIRST_PAUSE_MS = 100;
export const MAX_PAUSE_MS = 10_000;

/** How long to wait after so many ends in a row: not at all, then 0.1 s, 0.2 s, ... 10 s. */
export function pauseAfter(endings: number): number {
  return endings <= 1 ? 0 : Math.min(FIRST_PAUSE_MS * 2 ** (endings - 2), MAX_PAUSE_MS);
}

export class Slot {
  readonly index: number;
  readonly share: AcceptShare;
  /** It serves, or is the first to start. */
  worker: WorkerProcess | null = null;
  /** It is to replace the worker. */
  successor: WorkerProcess | null = null;
  /** Called when a successor serves, or has failed. */
  whenReplaced: ((failure: string | null) => void) | null = null;
  /** Ends in a row, none of them after STABLE_MS. */
  #endings = 0;
  #pause: Alarm | null = null;

  constructor(index: number, share: AcceptShare) {
    this.index = index;
    this.share = share;
  }

  /** A worker has ended, or must be replaced. Returns how long to wait before another one starts. */
  countEnding({ startedAt }: WorkerProcess): number {
    this.#endings = nodeHost.now() - startedAt >= STABLE_MS ? 1 : this.#endings + 1;
    return pauseAfter(this.#endings);
  }

  get isPausing(): boolean {
    return this.#pause !== null;
  }

  /** Calls back after the pause that the last `countEnding` has returned. The process stays alive for that: it may have no worker left, and nothing else to wait for. */
  afterPause(start: () => void): void {
    this.cancelPause();
    const ring = () => {
      this.#pause = null;
      start();
    };
    this.#pause = nodeHost.alarm(pauseAfter(this.#endings), ring, true);
  }

  cancelPause(): void {
    this.#pause?.cancel();
    this.#pause = null;
  }
}
