/**
 * NewReno: the congestion control of RFC 5681. A loss halves the window, and each round trip without one adds a segment.
 *
 * It is the one to read first, and a yardstick for Cubic in tests.
 *
 * Next: cubic.ts
 */

import { type CongestionControl, WindowControl } from './congestion.ts';

class NewReno extends WindowControl {
  protected override lowerThreshold(_windowBytes: number, inFlightBytes: number): number {
    return inFlightBytes / 2;
  }

  protected override growWindow(windowBytes: number, ackedBytes: number): number {
    return windowBytes + (this.maxSegmentBytes * ackedBytes) / windowBytes;
  }

  protected override holdWindow(): void {
    // It grows with what is acknowledged, and time does not count.
  }
}

export function createNewReno(maxSegmentBytes: number): CongestionControl {
  return new NewReno(maxSegmentBytes);
}
