/**
 * NewReno: the congestion control of RFC 5681 and RFC 6582.
 *
 * Next: cubic.ts
 */

import type { CongestionControl } from './congestion.ts';

export function createNewReno(_maxSegmentBytes: number): CongestionControl {
  throw new Error('to be written');
}
