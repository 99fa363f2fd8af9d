/**
 * VirtualHost: a host whose clock stands still while something runs, and then jumps to the next alarm.
 *
 * On it an hour of waiting costs nothing, and each run is like the one before: two stacks on a simulated wire exchange the same frames
 * at the same times. The experiments of docs/tcpip/ run on it, and so can the tests of a program.
 *
 * It has no descriptors, so a loop of Linux cannot live on it. Promises of the program run before the clock moves; what waits for
 * something real (a file, a timer of Node) is not waited for.
 *
 * Next: active-clock.ts
 */

import type { Alarm, Host, Watch } from './host.ts';

/** What `wallNow` returns at the start: the day of RFC 9293. */
const WALL_START_MS = Date.UTC(2022, 7, 18);

interface Pending {
  readonly dueMs: number;
  readonly callback: () => void;
}

/**
 * A host with a clock of its own, for experiments and tests that must not depend on time.
 *
 * ```ts
 * import { createStack, createWire, VirtualHost } from 'simplenet';
 *
 * const host = new VirtualHost();
 * const [link] = createWire();
 * const stack = createStack({ link, host, address: '10.0.0.1/24', seed: 1 });
 * stack.after(3_600_000, () => console.log('an hour later'));
 * await host.run(); // returns at once
 * stack.close();
 * ```
 */
export class VirtualHost implements Host {
  #nowMs = 0;
  /** What is to run before the clock moves. */
  #ready: (() => void)[] = [];
  readonly #alarms = new Set<Pending>();
  readonly #errors: unknown[] = [];

  /** Milliseconds since this host was made. */
  now(): number {
    return this.#nowMs;
  }

  /** The same clock, from 18 August 2022 on. */
  wallNow(): number {
    return WALL_START_MS + this.#nowMs;
  }

  /** `fd` is null: there are no descriptors here. */
  watch(fd: number | null, onReadable: () => boolean): Watch {
    if (fd !== null) throw new TypeError('a virtual host cannot watch a descriptor');
    let isOpen = true;
    let isWanted = false;
    const turnSoon = () => {
      if (isWanted) return;
      isWanted = true;
      this.soon(() => {
        isWanted = false;
        if (isOpen && onReadable()) turnSoon();
      });
    };
    const close = () => {
      isOpen = false;
    };
    return { ref: () => {}, unref: () => {}, turnSoon, close };
  }

  /** Calls back when the clock has come to that time. */
  alarm(delayMs: number, callback: () => void): Alarm {
    const pending: Pending = { dueMs: this.#nowMs + delayMs, callback };
    if (delayMs < Number.POSITIVE_INFINITY) this.#alarms.add(pending);
    return { cancel: () => void this.#alarms.delete(pending) };
  }

  /** Calls back before the clock moves. */
  soon(callback: () => void): void {
    this.#ready.push(callback);
  }

  /** Makes `run` throw the error. */
  raise(error: unknown): void {
    this.#errors.push(error);
  }

  /** Lets time pass until nothing waits any more, or until the clock shows `untilMs`. */
  async run(untilMs = Number.POSITIVE_INFINITY): Promise<void> {
    for (;;) {
      const ready = this.#ready;
      this.#ready = [];
      for (const callback of ready) callback();
      await new Promise((resolve) => setImmediate(resolve)); // the promises of the program run meanwhile
      if (this.#errors.length > 0) throw this.#errors.shift();
      if (this.#ready.length > 0) continue;
      const next = this.#earliest();
      if (next === null || next.dueMs > untilMs) break;
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      this.#alarms.delete(next);
      next.callback();
    }
    if (untilMs < Number.POSITIVE_INFINITY) this.#nowMs = Math.max(this.#nowMs, untilMs);
  }

  #earliest(): Pending | null {
    let earliest: Pending | null = null;
    for (const pending of this.#alarms) if (earliest === null || pending.dueMs < earliest.dueMs) earliest = pending;
    return earliest;
  }
}
