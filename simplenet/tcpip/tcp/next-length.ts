/**
 * How long the next segment may be: Nagle's rule, and the sender's part against silly windows. Pure.
 *
 * A segment that is not full costs the network as much as a full one. It goes out
 * - if it is the last one that is written, and no other small segment is unacknowledged (Nagle in the variant of Minshall, RFC 9293 section 3.7.4),
 *   or the program wants no delay, or FIN follows;
 * - if the window cuts it, only if it is half of the largest window that we have seen, or the persist timer has
 *   expired (RFC 9293 section 3.8.6.2.1: the silly window syndrome).
 *
 * Next: tcp-sender.ts
 */

export interface Sendable {
  /** How many bytes were never sent. */
  readonly unsent: number;
  /** How many the peer's window has room for; below 0 if the peer has shrunk it. */
  readonly usable: number;
  /** What a full segment carries. */
  readonly limit: number;
  readonly maxWindow: number;
  /** Our FIN follows the last byte, and was not sent yet. */
  readonly isFinWaiting: boolean;
  /** The persist timer has expired. */
  readonly isForced: boolean;
  /** No other small segment is unacknowledged, or the program wants no delay. */
  readonly maySendSmall: boolean;
}

/** How many sequence numbers the next segment takes, FIN included; 0 if it has to wait. */
export function nextLength({
  unsent,
  usable,
  limit,
  maxWindow,
  isFinWaiting,
  isForced,
  maySendSmall,
}: Sendable): number {
  const length = Math.min(unsent, limit, usable);
  const isLast = length === unsent;
  if (isFinWaiting && isLast && usable > length) return length + 1;
  if (length <= 0) return 0;
  if (length === limit) return length;
  if (isLast) return isFinWaiting || maySendSmall ? length : 0;
  return isForced || length * 2 >= maxWindow ? length : 0;
}
