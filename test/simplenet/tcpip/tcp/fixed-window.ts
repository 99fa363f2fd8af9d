/** Congestion control that does not control: a window that stays as it is, and a record of what it was told. */

import type { CongestionAck, CongestionControl } from '../../../../simplenet/tcpip/tcp/congestion.ts';

export class FixedWindow implements CongestionControl {
  windowBytes: number;
  readonly slowStartThreshold = Number.POSITIVE_INFINITY;
  readonly calls: string[] = [];
  lastAck: CongestionAck | null = null;
  segmentBytes: number;

  constructor(segmentBytes: number, windowBytes = 1_000_000) {
    this.segmentBytes = segmentBytes;
    this.windowBytes = windowBytes;
  }

  onAck(ack: CongestionAck): void {
    this.lastAck = ack;
  }

  onLoss(): void {
    this.calls.push('loss');
  }

  onRecovered(): void {
    this.calls.push('recovered');
  }

  onTimeout(_inFlightBytes: number, _remainingBytes: number, isFirst: boolean): void {
    this.calls.push(isFirst ? 'timeout' : 'timeout again');
  }

  onSent(): void {}

  onIdle(idleMs: number): void {
    this.calls.push(`idle ${idleMs}`);
  }

  setMaxSegmentBytes(bytes: number): void {
    this.segmentBytes = bytes;
  }
}
