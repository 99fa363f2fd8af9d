/**
 * Heartbeat: memory that the fuzzing thread shares with the one that watches it.
 *
 * Before each input the worker writes it down here. When it then says nothing any more, the watcher can read which input it
 * was: a thread in an endless loop answers no message.
 */

import type { Input } from './properties.ts';
import { lineOf } from './regressions.ts';

/** More than an input can have (mutator.ts). */
const MAX_BYTES = 8_192;

const COUNT = 0;
const EXECUTIONS = 1;
const IS_SHRINKING = 2;
const CUTS = 3;
const HEADER_BYTES = 16;
const CUTS_BYTES = MAX_BYTES * Int32Array.BYTES_PER_ELEMENT;

export class Heartbeat {
  readonly memory: SharedArrayBuffer;
  readonly #numbers: Int32Array;
  /** The last one is the number of bytes. */
  readonly #cuts: Int32Array;
  readonly #bytes: Buffer;

  constructor(memory = new SharedArrayBuffer(HEADER_BYTES + CUTS_BYTES + MAX_BYTES)) {
    this.memory = memory;
    this.#numbers = new Int32Array(memory, 0, HEADER_BYTES / Int32Array.BYTES_PER_ELEMENT);
    this.#cuts = new Int32Array(memory, HEADER_BYTES, MAX_BYTES);
    this.#bytes = Buffer.from(memory, HEADER_BYTES + CUTS_BYTES);
  }

  // For the worker.

  beat({ bytes, cuts }: Input, executions: number, isShrinking: boolean): void {
    bytes.copy(this.#bytes);
    this.#cuts.set(cuts);
    this.#numbers[CUTS] = cuts.length;
    this.#numbers[EXECUTIONS] = executions;
    this.#numbers[IS_SHRINKING] = isShrinking ? 1 : 0;
    Atomics.add(this.#numbers, COUNT, 1);
  }

  // For the watcher.

  /** It changes as long as the worker gets on. */
  get count(): number {
    return Atomics.load(this.#numbers, COUNT);
  }

  get executions(): number {
    return Atomics.load(this.#numbers, EXECUTIONS);
  }

  get isShrinking(): boolean {
    return Atomics.load(this.#numbers, IS_SHRINKING) === 1;
  }

  /** The input that the worker is at, as a line of the regressions. */
  get line(): string {
    const cuts = [...this.#cuts.subarray(0, Atomics.load(this.#numbers, CUTS))];
    return lineOf({ bytes: Buffer.from(this.#bytes.subarray(0, cuts.at(-1))), cuts });
  }
}
