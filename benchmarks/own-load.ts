/**
 * OwnLoad: load from a program of this repository, for machines without io_uring and wrk.
 *
 * The program (load/clients.ts) uses our own event loop: clients on node:net would take three times the CPU time of the server under
 * load. It runs in a process of its own, on the core for the load.
 *
 * Next: choose-load.ts
 */

import { join } from 'node:path';
import { outputOf } from './children.ts';
import { pinned } from './cores.ts';
import type { LoadGenerator, LoadOrder, LoadResult, LoadWatch } from './load.ts';

export class OwnLoad implements LoadGenerator {
  readonly title = 'our own generator (benchmarks/load), 1 thread';
  readonly canPace = false;
  readonly #cpu: number | undefined;

  constructor(cpu: number | undefined) {
    this.#cpu = cpu;
  }

  async run(order: LoadOrder, watch: LoadWatch): Promise<LoadResult> {
    const program = join(import.meta.dirname, 'load/clients.js');
    watch.begin();
    const output = await outputOf(pinned([process.execPath, program, JSON.stringify(order)], this.#cpu));
    watch.end();
    return JSON.parse(output) as LoadResult;
  }
}
