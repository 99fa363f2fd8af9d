/**
 * UringLoad: load from c/uring-load.c, which saturates every server that we know, and can send at a fixed rate.
 *
 * Next: socket-load.ts
 */

import { spawnSync } from 'node:child_process';
import { MissingLoad, runLoad } from './c-load.ts';
import { compileC, NotCompiled } from './c-programs.ts';
import { pinned } from './cores.ts';
import type { LoadGenerator, LoadOrder, LoadResult, LoadWatch } from './load.ts';

/** The generator ends with this code if it has no arguments, and the kernel lets it make its ring. */
const RING_WORKS = 2;
const ATTEMPT_MS = 15_000;

/**
 * Compiles a generator that uses io_uring, and returns its path. Throws MissingLoad if it cannot run here: the kernel may be too old for it or forbid io_uring, which only an
 * attempt shows.
 */
export function prepareRingProgram(name: string, temporaryFolder: string): string {
  try {
    const program = compileC(name, temporaryFolder);
    const { status, stderr } = spawnSync(program, { encoding: 'utf8', timeout: ATTEMPT_MS });
    if (status === RING_WORKS) return program;
    throw new MissingLoad(`cannot run: this kernel is too old for it or forbids io_uring (${stderr.trim()})`);
  } catch (error) {
    throw error instanceof NotCompiled ? new MissingLoad(error.message) : error;
  }
}

export class UringLoad implements LoadGenerator {
  readonly title = 'C on io_uring (benchmarks/c/uring-load.c), 1 thread';
  readonly canPace = true;
  readonly #program: string;
  readonly #cpu: number | undefined;

  private constructor(program: string, cpu: number | undefined) {
    this.#program = program;
    this.#cpu = cpu;
  }

  /** Throws MissingLoad if it cannot run here. */
  static prepare(temporaryFolder: string, cpu: number | undefined): UringLoad {
    return new UringLoad(prepareRingProgram('uring-load', temporaryFolder), cpu);
  }

  run(order: LoadOrder, watch: LoadWatch): Promise<LoadResult> {
    const { port, requestFile, connections, pipeline, seconds, rate } = order;
    const args = [port, connections, pipeline, seconds].map(String).concat(requestFile);
    return runLoad(
      pinned([this.#program, ...args, ...(rate === null ? [] : [String(rate)])], this.#cpu),
      seconds,
      watch,
    );
  }
}
