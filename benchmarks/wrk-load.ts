/**
 * WrkLoad: load from wrk, the program behind most published figures.
 *
 * It runs one thread, because it gets one core, and takes whole seconds only. Its script (load/wrk.lua) sends our bytes and writes the
 * result in one line. The table of rounded figures that wrk itself writes is not read.
 *
 * Next: own-load.ts
 */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from './c-programs.ts';
import { outputOf } from './children.ts';
import { pinned } from './cores.ts';
import type { LoadGenerator, LoadOrder, LoadResult, LoadWatch } from './load.ts';

function wrkVersion(): string | null {
  const { stdout, error } = spawnSync('wrk', ['-v'], { encoding: 'utf8' });
  return error === undefined ? (/\d+\.\d+\.\d+/.exec(stdout)?.[0] ?? 'of unknown version') : null;
}

export function isWrkInstalled(): boolean {
  return wrkVersion() !== null;
}

/**
 * Parses the line that load/wrk.lua writes. wrk has no latencies of single pipelined requests: it measures the batch, and corrects
 * that with the interval between single responses.
 */
export function parseWrkOutput(output: string, pipeline = 1): LoadResult {
  const line = /^result requests=(\d+) us=(\d+) p50=(\d+) p99=(\d+) p999=(\d+) errors=(\d+) refused=(\d+)$/m.exec(
    output,
  );
  if (line === null) throw new Error(`wrk wrote no result line: ${output.trim()}`);
  const figures = line.slice(1).map(Number) as [number, number, number, number, number, number, number];
  const [requests, us, p50Us, p99Us, p999Us, errors, refused] = figures;
  const latencies = pipeline > 1 ? { p50Us: null, p99Us: null, p999Us: null } : { p50Us, p99Us, p999Us };
  return { requests, seconds: us / 1e6, ...latencies, errors, refused };
}

export class WrkLoad implements LoadGenerator {
  readonly title = `wrk ${wrkVersion()}, 1 thread`;
  readonly canPace = false;
  readonly #cpu: number | undefined;

  constructor(cpu: number | undefined) {
    this.#cpu = cpu;
  }

  async run(order: LoadOrder, watch: LoadWatch): Promise<LoadResult> {
    const { port, requestFile, connections, pipeline } = order;
    const duration = `${Math.max(1, Math.round(order.seconds))}s`;
    const script = join(root, 'benchmarks/load/wrk.lua');
    const options = ['-t', '1', '-c', String(connections), '-d', duration, '-s', script];
    const command = ['wrk', ...options, `http://127.0.0.1:${port}`, '--', requestFile, String(pipeline)];
    watch.begin();
    const output = await outputOf(pinned(command, this.#cpu));
    watch.end();
    return parseWrkOutput(output, pipeline);
  }
}
