/**
 * TimeWaitTable: the connections in TIME_WAIT, in the order in which they end. All wait for the same time, so the next one to end is
 * the first in the list, and no timer is needed for each.
 *
 * Next: timer-list.ts
 */

import type { Peer } from './connection-table.ts';
import type { TimeWait } from './time-wait.ts';

/** A connection in TIME_WAIT, as the layer keeps it. */
export class WaitingPeer implements Peer {
  readonly localPort: number;
  readonly remoteAddress: number;
  readonly remotePort: number;
  readonly timeWait: TimeWait;

  constructor(peer: Peer, timeWait: TimeWait) {
    this.localPort = peer.localPort;
    this.remoteAddress = peer.remoteAddress;
    this.remotePort = peer.remotePort;
    this.timeWait = timeWait;
  }
}

export class TimeWaitTable {
  readonly #max: number;
  readonly #onEnd: (peer: WaitingPeer) => void;
  readonly #peers = new Set<WaitingPeer>();

  constructor(max: number, onEnd: (peer: WaitingPeer) => void) {
    this.#max = max;
    this.#onEnd = onEnd;
  }

  get size(): number {
    return this.#peers.size;
  }

  get deadlineAt(): number {
    for (const peer of this.#peers) return peer.timeWait.endsAt;
    return Number.POSITIVE_INFINITY;
  }

  /** The oldest makes room. */
  add(peer: WaitingPeer): void {
    this.#peers.add(peer);
    if (this.#peers.size > this.#max) this.end(this.#peers.values().next().value as WaitingPeer);
  }

  /** Its time has begun again: it ends last. */
  restart(peer: WaitingPeer): void {
    this.#peers.delete(peer);
    this.#peers.add(peer);
  }

  end(peer: WaitingPeer): void {
    this.#peers.delete(peer);
    this.#onEnd(peer);
  }

  expire(now: number): void {
    for (const peer of this.#peers) {
      if (peer.timeWait.endsAt > now) return;
      this.end(peer);
    }
  }
}
