/**
 * Neighbour: what the ARP cache knows about one address of the own network, and the packets that wait for it.
 *
 *     INCOMPLETE  asked by broadcast; packets wait                  REACHABLE, FAILED
 *     REACHABLE   it has answered lately                            STALE
 *     STALE       its hardware address is old, or only claimed      STALE, PROBING
 *     PROBING     used while stale: asked at that address           REACHABLE, INCOMPLETE
 *     FAILED      it has not answered; sending to it fails          STALE
 *
 * STALE may follow itself, when a claim replaces another one. A neighbour that has been FAILED for long enough is forgotten.
 *
 * Next: ip-limits.ts
 */

export type NeighbourState = number;
export const INCOMPLETE: NeighbourState = 0;
export const REACHABLE: NeighbourState = 1;
export const STALE: NeighbourState = 2;
export const PROBING: NeighbourState = 3;
export const FAILED: NeighbourState = 4;

const names = ['INCOMPLETE', 'REACHABLE', 'STALE', 'PROBING', 'FAILED'];

function setOf(...states: NeighbourState[]): number {
  return states.reduce((set, state) => set | (1 << state), 0);
}

/** For each state the set of states that may follow, as bits. */
const mayFollow: readonly number[] = [
  setOf(REACHABLE, FAILED),
  setOf(STALE),
  setOf(STALE, PROBING),
  setOf(REACHABLE, INCOMPLETE),
  setOf(STALE),
];

export class Neighbour {
  readonly address: number;
  #state: NeighbourState;
  /** Not known while INCOMPLETE or FAILED. */
  hardwareAddress = 0;
  /** When the state ends: the next request is due, REACHABLE is too old, FAILED is forgotten. STALE does not end by itself. */
  endsAt = Number.POSITIVE_INFINITY;
  /** How many requests have been sent since INCOMPLETE or PROBING began. */
  requests = 0;
  /** Whether it has ever answered a request of ours. */
  hasAnswered = false;
  /** Frames without the hardware address of their destination. */
  waiting: Buffer[] = [];

  /** A neighbour begins as INCOMPLETE, or as STALE if it has announced itself. */
  constructor(address: number, state: NeighbourState) {
    this.address = address;
    this.#state = state;
  }

  get state(): NeighbourState {
    return this.#state;
  }

  /** Throws if the table does not allow the step: that is a bug in this stack. */
  enter(state: NeighbourState, endsAt: number): void {
    if (((mayFollow[this.#state] as number) & (1 << state)) === 0) {
      throw new Error(`a neighbour must not go from ${names[this.#state]} to ${names[state]}`);
    }
    this.#state = state;
    this.endsAt = endsAt;
    this.requests = 0;
  }
}
