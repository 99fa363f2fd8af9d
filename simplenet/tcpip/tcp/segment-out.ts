/**
 * The segment that a connection is sending. There is one for all connections, filled in for each segment and read before the next:
 * sending makes no objects.
 *
 * Next: tcp-connection.ts
 */

import { noOptions, type TcpOptions } from './segment.ts';
import type { SendBuffer } from './send-buffer.ts';
import type { OutgoingSegment } from './tcp-setup.ts';

class SegmentOut implements OutgoingSegment {
  sequence = 0;
  acknowledgment = 0;
  flags = 0;
  window = 0;
  readonly urgent = 0;
  options: TcpOptions = noOptions;
  length = 0;
  buffer: SendBuffer | null = null;
  offset = 0;

  copyPayload(into: Buffer, at: number): boolean {
    return this.buffer?.copyTo(into, at, this.offset, this.length) ?? true;
  }
}

export const segmentOut = new SegmentOut();
