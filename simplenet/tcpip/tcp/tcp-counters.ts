/**
 * What a TCP layer counts, beside what its connections know themselves.
 *
 * Next: segment-writer.ts
 */

export interface TcpCounters {
  segmentsReceived: number;
  segmentsSent: number;
  /** Wrong checksum, or a header that cannot be decoded. */
  malformedSegments: number;
  /** Resets to segments without a connection, and those that the limit kept back. */
  resetsSent: number;
  resetsSuppressed: number;
  cookiesSent: number;
  cookiesAccepted: number;
  /** Orphans that were reset to make room. */
  orphansReset: number;
}

export function newTcpCounters(): TcpCounters {
  return {
    segmentsReceived: 0,
    segmentsSent: 0,
    malformedSegments: 0,
    resetsSent: 0,
    resetsSuppressed: 0,
    cookiesSent: 0,
    cookiesAccepted: 0,
    orphansReset: 0,
  };
}
