/**
 * TcpSetup and OutgoingSegment: what a connection is made of, and what it sends.
 *
 * Next: initial-sequence.ts
 */

import type { CongestionFactory } from './congestion.ts';
import type { BufferBudget, BufferSizes } from './growing-buffer.ts';
import type { TcpOptions } from './segment.ts';
import type { TcpLimits } from './tcp-limits.ts';

export interface TcpSetup extends BufferSizes {
  /** True: `open` sends a SYN. False: `open` waits for one. */
  readonly isActive: boolean;
  /** Our initial sequence number (initial-sequence.ts). */
  readonly initialSequence: number;
  /** The largest payload of a segment that our way to the peer carries, without options: path MTU - 40. It is offered in our SYN. */
  readonly maxSegmentBytes: number;
  /** What the buffers of all connections grow out of. */
  readonly bufferBudget: BufferBudget;
  readonly limits: TcpLimits;
  /** Makes the congestion control when the handshake has told how large a segment may be. */
  readonly congestion: CongestionFactory;
  /** Added to the time in our timestamps, so that they do not tell how long this machine has been up (RFC 7323 section 5.4). */
  readonly timestampOffset: number;
}

/** What a SYN cookie (syn-cookies.ts) says about a handshake of which nothing was kept. */
export interface CookieHandshake {
  /** The initial sequence number of the peer. */
  readonly peerSequence: number;
  readonly peerWindow: number;
  /** The options of the peer's SYN, as far as the cookie has kept them. */
  readonly options: TcpOptions;
}

/** One segment on its way out. The object is used again for the next: read it, and do not keep it. */
export interface OutgoingSegment {
  readonly sequence: number;
  readonly acknowledgment: number;
  readonly flags: number;
  /** As it stands in the header: 16 bits, already scaled. */
  readonly window: number;
  readonly urgent: number;
  readonly options: TcpOptions;
  /** The length of the payload. */
  readonly length: number;
  /** Copies the payload. False: the program has taken back memory that it had given away. `emit` then returns -EFAULT. */
  copyPayload(into: Buffer, at: number): boolean;
}

/** Sends a segment. Returns 0 or -errno. */
export type Emit = (segment: OutgoingSegment) => number;

/** An ICMP error about a segment that we sent. */
export interface TcpIcmpError {
  readonly errno: number;
  /** The largest packet, header of IP included, if the error says that a segment was too large; null for other errors. */
  readonly mtu: number | null;
  /** Whether the error says that the peer will never answer, as "port unreachable" does (RFC 1122 section 4.2.3.9). */
  readonly isHard: boolean;
  /** The sequence number of the segment that the error quotes. */
  readonly sequence: number;
}
