/** The thread in which the fuzzer works, until it finds something or is told to end. See fuzz.ts. */

import { parentPort, workerData } from 'node:worker_threads';
import { type Checks, type Find, Fuzzer } from './fuzzer.ts';
import { Heartbeat } from './heartbeat.ts';
import { lineOf } from './regressions.ts';

export interface ToWorker {
  readonly seed: number;
  /** The URL of a module with `checks`. */
  readonly checks: string;
  readonly memory: SharedArrayBuffer;
}

export interface FromWorker {
  readonly what: string;
  /** The input, as a line of the regressions. */
  readonly line: string;
}

const { seed, checks: url, memory } = workerData as ToWorker;
const { checks } = (await import(url)) as { checks: Checks };
const heartbeat = new Heartbeat(memory);
const fuzzer = new Fuzzer(checks, seed);

let find: Find | null = null;
while (find === null) find = await fuzzer.step((input) => heartbeat.beat(input, fuzzer.executions, false));
const { what, input } = await fuzzer.shrink(find, (smaller) => heartbeat.beat(smaller, fuzzer.executions, true));
parentPort?.postMessage({ what, line: lineOf(input) } satisfies FromWorker);
