/**
 * SocketLoad: load from c/socket-load.c, for the workloads of WebSocket. It has no substitute.
 *
 * Next: tls-load.ts
 */

import { runLoad } from './c-load.ts';
import { pinned } from './cores.ts';
import type { LoadGenerator, LoadOrder, LoadResult, LoadWatch } from './load.ts';
import { prepareRingProgram } from './uring-load.ts';

export class SocketLoad implements LoadGenerator {
  readonly title = 'C on io_uring (benchmarks/c/socket-load.c), 1 thread';
  readonly canPace = false;
  readonly #program: string;
  readonly #cpu: number | undefined;

  private constructor(program: string, cpu: number | undefined) {
    this.#program = program;
    this.#cpu = cpu;
  }

  /** Throws MissingLoad if it cannot run here. */
  static prepare(temporaryFolder: string, cpu: number | undefined): SocketLoad {
    return new SocketLoad(prepareRingProgram('socket-load', temporaryFolder), cpu);
  }

  run(order: LoadOrder, watch: LoadWatch): Promise<LoadResult> {
    return runLoad(this.command(order), order.seconds, watch);
  }

  /** It writes `ready` when all WebSockets are open, and then waits for a line: so it also holds idle ones. */
  command({ port, requestFile, connections, seconds, socket }: LoadOrder): readonly string[] {
    if (socket === null) throw new Error('this load generator speaks nothing but WebSocket');
    const { frameFile, answerFile, isToAll } = socket;
    const numbers = [port, connections, 1, seconds].map(String);
    const files = [requestFile, frameFile, answerFile];
    return pinned([this.#program, ...numbers, ...files, isToAll ? 'all' : 'echo'], this.#cpu);
  }
}
