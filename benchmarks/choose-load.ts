/**
 * Which load generator a run uses: wrk where it is installed, otherwise our own.
 *
 * Next: load/latencies.ts
 */

import type { LoadGenerator, LoadName } from './load.ts';
import { OwnLoad } from './own-load.ts';
import { isWrkInstalled, WrkLoad } from './wrk-load.ts';

export function chooseLoad(wanted: LoadName | null, cpu: number | undefined): LoadGenerator {
  if (wanted === 'wrk' && !isWrkInstalled()) throw new Error('wrk is not installed: apt-get install wrk');
  return wanted !== 'own' && isWrkInstalled() ? new WrkLoad(cpu) : new OwnLoad(cpu);
}
