/**
 * The limits of an event loop. Their defaults suit a server.
 *
 * Next: slow-start.ts
 */

/**
 * How much and how long: the limits of an event loop. `createEventLoop` gets those that differ from the defaults.
 *
 * ```ts
 * import { createEventLoop, type LoopLimits } from 'simplenet';
 *
 * const limits: Partial<LoopLimits> = { maxQueuedBytes: 1024 * 1024, tickMs: 20 };
 * const loop = createEventLoop(limits);
 * ```
 */
export interface LoopLimits {
  /** How many events are delivered in one turn. node-host.ts says when Node's own loop goes on. */
  readonly maxEventsPerTurn: number;
  /** How many connections one listener accepts in a turn. */
  readonly acceptsPerTurn: number;
  /** How many datagrams one UDP port receives in a turn. */
  readonly datagramsPerTurn: number;
  /**
   * How long one part of a turn (turn-budget.ts) may take. The rest of the work waits for the next turn. A callback that takes longer is not
   * interrupted.
   */
  readonly turnMs: number;
  /** How much all streams together send in one part of a turn: the kernel copies as much in some 5 ms. Small writes are sent even above it. */
  readonly sentBytesPerTurn: number;
  /**
   * The share of one stream in that. A stream with more to send goes on in the next turn, after the shares of others. Each share wakes a
   * fast reader once more: on loopback, a response of a megabyte costs 40 % more with 256 KiB, and with 1 MiB as much as in one send. A rest of up to 1/64 of a share goes
   * with it.
   */
  readonly sentBytesPerStream: number;
  /**
   * The size of the receive buffer. A UDP datagram has less than 64 KiB, so the default cuts none. Streams on io_uring receive into
   * other buffers (RingSizes).
   */
  readonly receiveBufferBytes: number;
  /** A write while more than this is queued ends the stream with ENOBUFS: the program does not wait for `onDrain`. */
  readonly maxQueuedBytes: number;
  /** How late `onTimeout` may come. */
  readonly tickMs: number;
  /** How long a listener rests: without descriptors, or after too many failed calls of accept4(2). */
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
