/**
 * Heartbeat: memory that the fuzzing thread shares with the one that watches it.
 *
 * Before each input the worker writes it down here. When it then says nothing any more, the watcher can read which input it
 * was: a thread in an endless loop answers no message.
 */

import type { Input } from './properties.ts';
import { lineOf } from './regressions.ts';

/** Four thousand bytes, each of them escaped, and a comma for each cut. */
const MAX_LINE_BYTES = 65_536;

const COUNT = 0;
const EXECUTIONS = 1;
const IS_SHRINKING = 2;
const LENGTH = 3;
const HEADER_BYTES = 16;

export class Heartbeat {
  readonly memory: SharedArrayBuffer;
  readonly #numbers: Int32Array;
  readonly #line: Buffer;

  constructor(memory = new SharedArrayBuffer(HEADER_BYTES + MAX_LINE_BYTES)) {
    this.memory = memory;
    this.#numbers = new Int32Array(memory, 0, HEADER_BYTES / Int32Array.BYTES_PER_ELEMENT);
    this.#line = Buffer.from(memory, HEADER_BYTES);
  }

  // For the worker.

  beat(input: Input, executions: number, isShrinking: boolean): void {
    this.#numbers[LENGTH] = this.#line.write(lineOf(input), 'latin1');
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
    return this.#line.toString('latin1', 0, Atomics.load(this.#numbers, LENGTH));
  }
}
