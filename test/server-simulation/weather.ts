/**
 * Weather: what the kernel does to the server, and when. It changes in the middle of things.
 *
 * Storms make one fault common for a while. In a famine there is no descriptor left: that is no chance of a single call, but
 * lasts, and ends by itself or when a descriptor is closed, as on Linux.
 *
 * Next: server-world.ts
 */

import type { Random } from '../simulation/random.ts';
import type { SimulatedFaults } from '../simulation/simulated-faults.ts';
import type { SimulatedKernel } from '../simulation/simulated-kernel.ts';

const storms: readonly Partial<SimulatedFaults>[] = [
  { shortWrite: 1 },
  { shortRead: 1 },
  { interrupt: 0.6 },
  { spuriousAgain: 0.6 },
  { noBuffers: 0.6 },
  { tooManyFiles: 0.5 },
  { connectionAborted: 0.5 },
  { reset: 0.01 },
  { delayedDelivery: 1 },
];

const MAX_FAMINE_MS = 400;

export class Weather {
  readonly #kernel: SimulatedKernel;
  readonly #random: Random;
  readonly #usual: SimulatedFaults;
  readonly #mostFiles: number;
  #isFamine = false;

  constructor(kernel: SimulatedKernel, random: Random, usual: SimulatedFaults) {
    this.#kernel = kernel;
    this.#random = random;
    this.#usual = usual;
    this.#mostFiles = kernel.limit.current;
  }

  /** `after` calls back in simulated time. */
  change(after: (ms: number, callback: () => void) => void, count: (what: string) => void): void {
    if (this.#random.chance(0.5)) this.#kernel.faults = this.#usual;
    else if (this.#isFamine || this.#random.chance(0.6)) {
      this.#kernel.faults = { ...this.#usual, ...this.#random.pick(storms) };
      count('storms');
    } else {
      this.#isFamine = true;
      this.#kernel.limit.current = this.#kernel.openCount + 3;
      count('famines');
      after(1 + this.#random.below(MAX_FAMINE_MS), () => {
        this.#isFamine = false;
        this.#kernel.limit.current = this.#mostFiles;
      });
    }
  }
}
