/**
 * The limits of TCP: how long a connection waits, and for what. Their defaults suit a server.
 *
 * Next: growing-buffer.ts
 */

import { defaultRoundTripLimits, type RoundTripLimits } from './round-trip.ts';

export interface TcpLimits extends RoundTripLimits {
  /** How long a segment may live in the network. TIME_WAIT takes two of these (RFC 9293 section 3.4.2 has 2 minutes, Linux 30 s). */
  readonly maxSegmentLifetimeMs: number;
  /** How long an ACK may wait for a segment that carries it. RFC 9293 section 3.8.6.3 allows 500 ms. */
  readonly delayedAckMs: number;
  /** How long an attempt to connect may take. RFC 9293 section 3.8.3 wants at least 3 minutes for a SYN; a program has its own limit. */
  readonly connectMs: number;
  /** How long a client may take for the ACK that completes its handshake. Until then it takes a place in the backlog. */
  readonly acceptMs: number;
  /**
   * The connection ends with ETIMEDOUT if the peer leaves everything unanswered for this long: R2 of RFC 9293 section 3.8.3, at least
   * 100 s.
   */
  readonly unansweredMs: number;
  /**
   * The connection ends with ETIMEDOUT if bytes wait for this long without that the peer acknowledges any of them, even if it answers (RFC 5482).
   * Infinity: a peer that answers may keep its window closed without end.
   */
  readonly userTimeoutMs: number;
  /**
   * After a silence of this long the first keep-alive probe is sent. Infinity: none is. RFC 9293 section 3.8.4 asks for at least two
   * hours, and for "off" unless the program wants it.
   */
  readonly keepAliveIdleMs: number;
  readonly keepAliveIntervalMs: number;
  /** The connection ends with ETIMEDOUT if so many probes in a row got no answer. */
  readonly keepAliveProbes: number;
  /**
   * How long a connection without a program waits for the FIN of the peer after its own is acknowledged. The RFC has no limit; every
   * system has one.
   */
  readonly finWait2Ms: number;
  /** How often one connection answers segments with wrong sequence numbers: a second's worth of challenge ACKs (RFC 5961 section 7). */
  readonly challengeAcksPerSecond: number;
  /** How many resets per second all of the stack sends for segments without a connection. */
  readonly resetsPerSecond: number;
  /** How many connections wait in TIME_WAIT. The oldest makes room. */
  readonly timeWaits: number;
  /** How many connections live on without a program, because their bytes are not acknowledged yet. The oldest is reset to make room. */
  readonly orphans: number;
  /** How long the bytes of such a connection may stay unacknowledged. */
  readonly orphanMs: number;
  /** The ports from which `connect` takes one, RFC 6335 section 6. */
  readonly firstEphemeralPort: number;
  readonly lastEphemeralPort: number;
}

export const defaultTcpLimits: TcpLimits = {
  ...defaultRoundTripLimits,
  maxSegmentLifetimeMs: 30_000,
  delayedAckMs: 40,
  connectMs: 180_000,
  acceptMs: 60_000,
  unansweredMs: 120_000,
  userTimeoutMs: Number.POSITIVE_INFINITY,
  keepAliveIdleMs: Number.POSITIVE_INFINITY,
  keepAliveIntervalMs: 75_000,
  keepAliveProbes: 9,
  finWait2Ms: 60_000,
  challengeAcksPerSecond: 10,
  resetsPerSecond: 1000,
  timeWaits: 16_384,
  orphans: 4096,
  orphanMs: 30_000,
  firstEphemeralPort: 49_152,
  lastEphemeralPort: 65_535,
};
