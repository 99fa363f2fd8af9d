/**
 * Which load generator a run uses: the one on io_uring where it can run, otherwise wrk where it is installed, otherwise our own.
 *
 * Next: load/latencies.ts
 */

import { MissingLoad } from './c-load.ts';
import type { LoadGenerator, LoadName } from './load.ts';
import { OwnLoad } from './own-load.ts';
import { UringLoad } from './uring-load.ts';
import { isWrkInstalled, WrkLoad } from './wrk-load.ts';

export interface ChosenLoad {
  readonly load: LoadGenerator;
  /** Why it is not the first choice, or null. */
  readonly reason: string | null;
}

/** Throws one sentence if the wanted generator cannot run here. */
export function chooseLoad(wanted: LoadName | null, temporaryFolder: string, cpu: number | undefined): ChosenLoad {
  let reason: string | null = null;
  if (wanted === 'uring' || wanted === null) {
    try {
      return { load: UringLoad.prepare(temporaryFolder, cpu), reason };
    } catch (error) {
      if (!(error instanceof MissingLoad)) throw error;
      reason = `the load generator on io_uring ${error.message}`;
      if (wanted === 'uring') throw new Error(reason);
    }
  }
  if (wanted === 'wrk' && !isWrkInstalled()) throw new Error('wrk is not installed: apt-get install wrk');
  return { load: wanted !== 'own' && isWrkInstalled() ? new WrkLoad(cpu) : new OwnLoad(cpu), reason };
}
