/**
 * The reset that answers a segment which belongs to no connection, or which a connection cannot have caused (RFC 9293 sections
 * 3.5.2 and 3.10.7.1). It takes its numbers from the segment, so that the peer finds them right.
 *
 * Next: ack-policy.ts
 */

import { ACK, RST, sequenceLength, type TcpSegment } from './segment.ts';
import { add } from './sequence.ts';

export interface ResetReply {
  readonly sequence: number;
  readonly acknowledgment: number;
  readonly flags: number;
}

/** Returns null for a reset: two closed ports would answer each other without end. */
export function resetFor(segment: TcpSegment): ResetReply | null {
  if ((segment.flags & RST) !== 0) return null;
  if ((segment.flags & ACK) !== 0) return { sequence: segment.acknowledgment, acknowledgment: 0, flags: RST };
  return { sequence: 0, acknowledgment: add(segment.sequence, sequenceLength(segment)), flags: RST | ACK };
}
