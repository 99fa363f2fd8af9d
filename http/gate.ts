/**
 * Gate: lets few jobs run at a time. node:zlib works in the thread pool of Node, which has four threads for all files, all names and all compression of a process.
 *
 * Next: web-socket-counts.ts
 */

/** Lets at most so many in. The others wait in line. */
export class Gate {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(max: number) {
    this.#free = max;
  }

  enter(job: () => void): void {
    if (this.#free === 0) {
      this.#waiting.push(job);
      return;
    }
    this.#free--;
    job();
  }

  leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}
