/**
 * SimulatedWire: the distance between two sockets.
 *
 * Whoever has something under way is a lane, and within a lane everything arrives in order; between lanes there is no
 * order. Without the fault `delayedDelivery` things arrive within the call that sent them, as on a quiet loopback
 * interface. With it they stay under way until `deliver`, which lets a part of one lane arrive. Nothing gets lost here.
 *
 * Next: simulated-network.ts
 */

import type { Random } from './random.ts';

export interface Lane {
  /** Nothing is under way. */
  readonly isEmpty: boolean;
  /** Something could arrive now; a full receive buffer, for example, holds up the rest. */
  readonly canDeliver: boolean;
  /** Lets the next thing arrive. Of `most` bytes that could, `portion` chooses how many do, at least one. */
  deliver(portion: (most: number) => number): void;
}

export class SimulatedWire {
  readonly #random: Random;
  readonly #isDelayed: () => boolean;
  readonly #lanes = new Set<Lane>();

  constructor(random: Random, isDelayed: () => boolean) {
    this.#random = random;
    this.#isDelayed = isDelayed;
  }

  get canDeliver(): boolean {
    for (const lane of this.#lanes) if (lane.canDeliver) return true;
    return false;
  }

  /** The lane has something new under way, or the room for it has grown. */
  carry(lane: Lane): void {
    this.#lanes.add(lane);
    if (!lane.canDeliver || this.#isDelayed()) return;
    while (lane.canDeliver) lane.deliver((most) => most);
    this.#forgetIfEmpty(lane);
  }

  /** An accept queue has room again, for which several lanes may be waiting. */
  carryAll(): void {
    for (const lane of [...this.#lanes]) this.carry(lane);
  }

  /** Lets a part of one lane arrive. False: nothing could. */
  deliver(): boolean {
    const ready: Lane[] = [];
    for (const lane of this.#lanes) {
      if (lane.canDeliver) ready.push(lane);
      else this.#forgetIfEmpty(lane);
    }
    if (ready.length === 0) return false;
    const lane = this.#random.pick(ready);
    lane.deliver((most) => 1 + this.#random.below(most));
    this.#forgetIfEmpty(lane);
    return true;
  }

  #forgetIfEmpty(lane: Lane): void {
    if (lane.isEmpty) this.#lanes.delete(lane);
  }
}
