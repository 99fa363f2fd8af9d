/**
 * UringLoad: load from c/uring-load.c, which saturates every server that we know, and can send at a fixed rate.
 *
 * The generator opens its connections first, and keeps them until it is ended. So the CPU time of the server is read when all connections
 * stand and no request is under way, before and after.
 *
 * Next: wrk-load.ts
 */

import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { compileC, NotCompiled } from './c-programs.ts';
import { endChild, startChild } from './children.ts';
import { pinned } from './cores.ts';
import type { LoadGenerator, LoadOrder, LoadResult, LoadWatch } from './load.ts';

/** The generator ends with this code if it has no arguments, and the kernel lets it make its ring. */
const RING_WORKS = 2;
const ATTEMPT_MS = 15_000;
/** The generator bounds its own waiting; this bounds ours, if it hangs. */
const SPARE_MS = 30_000;

/** The message continues the name of the generator. */
export class MissingLoad extends Error {}

export class UringLoad implements LoadGenerator {
  readonly title = 'C on io_uring (benchmarks/c/uring-load.c), 1 thread';
  readonly canPace = true;
  readonly #program: string;
  readonly #cpu: number | undefined;

  private constructor(program: string, cpu: number | undefined) {
    this.#program = program;
    this.#cpu = cpu;
  }

  /** Throws MissingLoad if it cannot run here. The kernel may be too old for it or forbid io_uring: only an attempt shows that. */
  static prepare(temporaryFolder: string, cpu: number | undefined): UringLoad {
    try {
      const program = compileC('uring-load', temporaryFolder);
      const { status, stderr } = spawnSync(program, { encoding: 'utf8', timeout: ATTEMPT_MS });
      if (status === RING_WORKS) return new UringLoad(program, cpu);
      throw new MissingLoad(`cannot run: this kernel is too old for it or forbids io_uring (${stderr.trim()})`);
    } catch (error) {
      throw error instanceof NotCompiled ? new MissingLoad(error.message) : error;
    }
  }

  async run(order: LoadOrder, watch: LoadWatch): Promise<LoadResult> {
    const { port, requestFile, connections, pipeline, seconds, rate } = order;
    const args = [port, connections, pipeline, seconds].map(String).concat(requestFile);
    const child = startChild(pinned([this.#program, ...args, ...(rate === null ? [] : [String(rate)])], this.#cpu));
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
    const deadline = setTimeout(() => child.kill('SIGKILL'), seconds * 1_000 + SPARE_MS);
    try {
      const ready = await Promise.race([lines.next(), failureOf(child)]);
      if (ready.value !== 'ready') throw new Error('the load generator ended before it was ready');
      watch.begin();
      child.stdin?.write('\n');
      const { value } = await lines.next();
      watch.end();
      if (value === undefined) throw new Error(`the load generator ended with ${child.signalCode ?? child.exitCode}`);
      return JSON.parse(value) as LoadResult;
    } finally {
      clearTimeout(deadline);
      await endChild(child);
    }
  }
}

async function failureOf(child: ReturnType<typeof startChild>): Promise<never> {
  const [error] = await once(child, 'error');
  throw error;
}
