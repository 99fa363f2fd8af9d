/**
 * The limits of an event loop, and their defaults, which suit a server.
 *
 * Next: slow-start.ts
 */

export interface LoopLimits {
  /** What is delivered in one turn, before Node's own loop gets its turn again. */
  readonly maxEventsPerTurn: number;
  /** How many connections one listener accepts in a turn. */
  readonly acceptsPerTurn: number;
  /** How many datagrams one UDP port takes in a turn. */
  readonly datagramsPerTurn: number;
  /**
   * How long one part of a turn (turn-budget.ts) may take. What is left then waits until Node's loop has gone round. One callback that
   * takes longer is not interrupted.
   */
  readonly turnMs: number;
  /** How much all streams together send in one part of a turn: what the kernel copies in some 5 ms. Small writes are sent even above it: they would only wait. */
  readonly sentBytesPerTurn: number;
  /**
   * The share of one stream in that. It goes on in the next turn, when others have had theirs. Each share wakes a fast reader once more:
   * with 256 KiB an answer of a megabyte costs 40 % more on loopback, with 1 MiB as much as in one piece.
   */
  readonly sentBytesPerStream: number;
  /**
   * How much one recv(2) can bring. No datagram is larger than 64 KiB, so none is cut. Streams on io_uring receive into other
   * buffers (RingSizes).
   */
  readonly receiveBufferBytes: number;
  /** A stream whose program writes on while more than this is queued ends with ENOBUFS: such a queue has no end. */
  readonly maxQueuedBytes: number;
  /** How late a deadline may fire. */
  readonly tickMs: number;
  /** How long a listener rests when descriptors run out. */
  readonly acceptRestMs: number;
  readonly connectTimeoutMs: number;
}

export const defaultLoopLimits: LoopLimits = {
  maxEventsPerTurn: 256,
  acceptsPerTurn: 256,
  datagramsPerTurn: 64,
  turnMs: 5,
  sentBytesPerTurn: 16 * 1024 * 1024,
  sentBytesPerStream: 1024 * 1024,
  receiveBufferBytes: 65_536,
  maxQueuedBytes: 16 * 1024 * 1024,
  tickMs: 100,
  acceptRestMs: 100,
  connectTimeoutMs: 30_000,
};
