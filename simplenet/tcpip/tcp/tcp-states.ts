/**
 * TCP states: the eleven states of a connection, and which may follow which. CLOSED may follow every state.
 *
 *                          CLOSED
 *          open passively |      | open actively: send SYN
 *                         v      v
 *                    LISTEN      SYN_SENT -------------------------+
 *   SYN: send SYN, ACK    |      | SYN: send SYN, ACK              | SYN, ACK: send ACK
 *                         v      v (both sides have opened)        |
 *                       SYN_RECEIVED                               |
 *                            | ACK of our SYN                      |
 *                            v                                     |
 *                       ESTABLISHED <------------------------------+
 *         close: send FIN |      | FIN: send ACK
 *                         v      v
 *   +------------ FIN_WAIT_1     CLOSE_WAIT
 *   | ACK of our FIN      |      | close: send FIN
 *   v                     |      v
 *   FIN_WAIT_2            |      LAST_ACK
 *   | FIN: send ACK       |      | ACK of our FIN
 *   |                     |      v
 *   |                     |      CLOSED
 *   |                     | FIN: send ACK (both sides have closed)
 *   |                     v
 *   |                  CLOSING
 *   |                     | ACK of our FIN
 *   |                     v
 *   +---------------> TIME_WAIT ------------------> CLOSED
 *                                after two lifetimes of a segment
 *
 * This is figure 5 of RFC 9293 without three of its arrows. A listener is an object of the layer, and each SYN makes a connection of
 * its own, so a reset in SYN_RECEIVED leads to CLOSED and never back to LISTEN. A close before ESTABLISHED waits until then.
 * FIN_WAIT_1 may be followed by TIME_WAIT at once, because one segment may bring both the ACK of our FIN and the FIN of the peer.
 *
 * Next: tcp-limits.ts
 */

export type TcpState = number;
export const CLOSED: TcpState = 0;
export const LISTEN: TcpState = 1;
export const SYN_SENT: TcpState = 2;
export const SYN_RECEIVED: TcpState = 3;
export const ESTABLISHED: TcpState = 4;
export const FIN_WAIT_1: TcpState = 5;
export const FIN_WAIT_2: TcpState = 6;
export const CLOSE_WAIT: TcpState = 7;
export const CLOSING: TcpState = 8;
export const LAST_ACK: TcpState = 9;
export const TIME_WAIT: TcpState = 10;

const names = [
  'CLOSED',
  'LISTEN',
  'SYN_SENT',
  'SYN_RECEIVED',
  'ESTABLISHED',
  'FIN_WAIT_1',
  'FIN_WAIT_2',
  'CLOSE_WAIT',
  'CLOSING',
  'LAST_ACK',
  'TIME_WAIT',
];

export function nameOfState(state: TcpState): string {
  return names[state] as string;
}

function setOf(...states: TcpState[]): number {
  return states.reduce((set, state) => set | (1 << state), 0);
}

/** For each state the set of states that may follow, as bits. */
const mayFollow: readonly number[] = [
  setOf(LISTEN, SYN_SENT, SYN_RECEIVED),
  setOf(CLOSED, SYN_RECEIVED),
  setOf(CLOSED, SYN_RECEIVED, ESTABLISHED),
  setOf(CLOSED, ESTABLISHED),
  setOf(CLOSED, FIN_WAIT_1, CLOSE_WAIT),
  setOf(CLOSED, FIN_WAIT_2, CLOSING, TIME_WAIT),
  setOf(CLOSED, TIME_WAIT),
  setOf(CLOSED, LAST_ACK),
  setOf(CLOSED, TIME_WAIT),
  setOf(CLOSED),
  setOf(CLOSED),
];

/** Returns the state `to`. Throws if the table does not allow the way: that is a bug in this stack. */
export function enter(from: TcpState, to: TcpState): TcpState {
  if (((mayFollow[from] as number) & (1 << to)) !== 0) return to;
  throw new Error(`a TCP connection must not go from ${names[from]} to ${names[to]}`);
}

/** The states in which the peer's sequence numbers are known, so that a segment is judged by our receive window. */
export function isSynchronized(state: TcpState): boolean {
  return state >= SYN_RECEIVED;
}

/** The states in which our program may send: our FIN is not sent yet. */
export function canSend(state: TcpState): boolean {
  return state === ESTABLISHED || state === CLOSE_WAIT;
}

/** The states in which the peer may send: its FIN has not come yet. */
export function canReceive(state: TcpState): boolean {
  return state === ESTABLISHED || state === FIN_WAIT_1 || state === FIN_WAIT_2;
}
