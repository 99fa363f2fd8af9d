/**
 * A table of system calls that counts: each call by its name, and which descriptors are open.
 *
 * It passes everything on to another table, so a test can put it around the real kernel and say afterwards what an
 * action has cost, and that nothing was left open or closed twice.
 */

import { type Libc, libc as processLibc } from '../../simplenet/kernel/libc.ts';

/** The calls that answer a new descriptor. */
const OPENING = new Set<keyof Libc>(['socket', 'accept4', 'epoll_create1', 'open', 'eventfd', 'io_uring_setup']);

export class CountingLibc {
  readonly libc: Libc;
  readonly openFds = new Set<number>();
  readonly violations: string[] = [];
  readonly #calls = new Map<string, number>();

  constructor(inner: Libc = processLibc) {
    this.libc = { ...inner };
    for (const name of Object.keys(inner) as (keyof Libc)[]) this.#count(name, inner);
  }

  /** How often each call was made since the last time this was asked, without those never made. */
  take(): Record<string, number> {
    const calls = Object.fromEntries(this.#calls);
    this.#calls.clear();
    return calls;
  }

  #count<Name extends keyof Libc>(name: Name, inner: Libc): void {
    const call = inner[name] as (...args: number[]) => number;
    const counted = (...args: number[]): number => {
      this.#calls.set(name, (this.#calls.get(name) ?? 0) + 1);
      const result = call(...args);
      if (OPENING.has(name) && result >= 0) this.openFds.add(result);
      if (name === 'close' && !this.openFds.delete(args[0] as number)) this.violations.push(`close(${args[0]})`);
      return result;
    };
    this.libc[name] = counted as Libc[Name];
  }
}
