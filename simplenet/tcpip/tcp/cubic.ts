/**
 * Cubic: the congestion control of RFC 9438, which is the default.
 *
 * Next: initial-sequence.ts
 */

import type { CongestionControl } from './congestion.ts';

export function createCubic(_maxSegmentBytes: number): CongestionControl {
  throw new Error('to be written');
}
