/**
 * Phase: what a connection is doing, and which phases may follow. CLOSED may follow every phase.
 *
 *     HEAD      a request is to begin, or its head is incomplete               WORK, YIELD, FLUSH, LINGER
 *     YIELD     more requests have come, but other connections go first        HEAD
 *     WORK      a handler is at work (exchange.ts)                             HEAD, DISCARD, FLUSH, LINGER, CUT, UPGRADED
 *     DISCARD   the response is complete; the rest of its body is dropped      HEAD, FLUSH, LINGER
 *     FLUSH     responses are queued, and the client reads slowly              HEAD, FLUSH, LINGER
 *     CUT       a response broke off; those before it are still to leave       LINGER
 *     LINGER    FIN is sent; what still comes is read and dropped              -
 *     UPGRADED  another protocol has the stream                                -
 *     CLOSED    the stream is closed                                           -
 *
 * LINGER exists because close(2) with unread bytes sends RST, which destroys a response on its way (RFC 9112 section 9.6). A malformed
 * request gets one response that says so, and then LINGER follows: the place of the next request is unknown.
 *
 * Next: connection-context.ts
 */

export type Phase = number;
export const HEAD: Phase = 0;
export const YIELD: Phase = 1;
export const WORK: Phase = 2;
export const DISCARD: Phase = 3;
export const FLUSH: Phase = 4;
export const CUT: Phase = 5;
export const LINGER: Phase = 6;
export const UPGRADED: Phase = 7;
export const CLOSED: Phase = 8;

const names = ['HEAD', 'YIELD', 'WORK', 'DISCARD', 'FLUSH', 'CUT', 'LINGER', 'UPGRADED', 'CLOSED'];

function setOf(...phases: Phase[]): number {
  return phases.reduce((set, phase) => set | (1 << phase), 1 << CLOSED);
}

/** For each phase the set of phases that may follow, as bits. */
const mayFollow: readonly number[] = [
  setOf(WORK, YIELD, FLUSH, LINGER),
  setOf(HEAD),
  setOf(HEAD, DISCARD, FLUSH, LINGER, CUT, UPGRADED),
  setOf(HEAD, FLUSH, LINGER),
  setOf(HEAD, FLUSH, LINGER),
  setOf(LINGER),
  setOf(),
  setOf(),
  0,
];

/** Returns the phase `to`. Throws if the table does not allow the step: that is a bug in this server. */
export function step(from: Phase, to: Phase): Phase {
  if (((mayFollow[from] as number) & (1 << to)) !== 0) return to;
  throw new Error(`a connection must not go from ${names[from]} to ${names[to]}`);
}
