/**
 * SimulatedWire: the distance between two sockets.
 *
 * A sender with something under way is a lane. Within a lane everything arrives in order; between lanes there is no order. Without the fault `delayedDelivery` things arrive within the call that sent them, as on a quiet loopback
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
  /** In any order, and where each of them is. */
  readonly #lanes: Lane[] = [];
  readonly #places = new Map<Lane, number>();

  constructor(random: Random, isDelayed: () => boolean) {
    this.#random = random;
    this.#isDelayed = isDelayed;
  }

  get canDeliver(): boolean {
    return this.#lanes.some((lane) => lane.canDeliver);
  }

  /** The lane has something new under way, or the room for it has grown. */
  carry(lane: Lane): void {
    if (!this.#places.has(lane)) this.#places.set(lane, this.#lanes.push(lane) - 1);
    if (!lane.canDeliver || this.#isDelayed()) return;
    while (lane.canDeliver) lane.deliver((most) => most);
    this.#forgetIfEmpty(lane);
  }

  /** An accept queue has room again, for which several lanes may be waiting. */
  carryAll(): void {
    for (const lane of [...this.#lanes]) this.carry(lane);
  }

  /** Lets a part of one lane arrive: the first that can, from a place that chance chooses. False: nothing could. */
  deliver(): boolean {
    let at = this.#random.below(this.#lanes.length);
    for (let left = this.#lanes.length; left > 0; left--) {
      const lane = this.#lanes[at % this.#lanes.length] as Lane;
      if (lane.canDeliver) {
        lane.deliver((most) => 1 + this.#random.below(most));
        this.#forgetIfEmpty(lane);
        return true;
      }
      if (lane.isEmpty)
        this.#forgetIfEmpty(lane); // another one takes its place
      else at++;
    }
    return false;
  }

  #forgetIfEmpty(lane: Lane): void {
    const place = this.#places.get(lane);
    if (place === undefined || !lane.isEmpty) return;
    this.#places.delete(lane);
    const last = this.#lanes.pop() as Lane;
    if (last === lane) return;
    this.#lanes[place] = last;
    this.#places.set(last, place);
  }
}
