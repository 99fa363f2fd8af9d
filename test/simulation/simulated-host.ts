/**
 * SimulatedHost: the world of an event loop, with a clock that only runs when nothing else happens.
 *
 * Each `step` does one thing that a real world could do next, chosen by the seed: something arrives, a readable descriptor
 * is reported, a due alarm rings. A program must work in every order. Callbacks of `soon` run
 * before anything else, as they do in Node. When nothing else is left, time jumps to the next alarm, so hours cost
 * nothing; with `stepMs` each step takes some time as well, and alarms go off in the middle of things.
 *
 * An exception in a callback ends up in `raised`, as it would in uncaughtException.
 *
 * Next: simulated-kernel.test.ts
 */

import type { Alarm, Host, Watch } from '../../simplenet/loop/host.ts';
import { Random } from './random.ts';
import type { SimulatedFile } from './simulated-file.ts';
import type { SimulatedKernel } from './simulated-kernel.ts';

/** Somebody else who lives in this world: the other ends of the connections, say. */
export interface Bystander {
  readonly canAct: boolean;
  act(): void;
}

export interface SimulatedHostOptions {
  readonly seed?: number;
  /** A step takes from 0 to that many milliseconds; none unless said otherwise. */
  readonly stepMs?: number;
}

/** What the clock on the wall shows at the beginning: the day of RFC 9112. */
const WALL_START_MS = Date.UTC(2022, 5, 6);

interface Watched {
  /** Null if nothing but `turnSoon` leads to a call. */
  readonly open: { readonly fd: number; readonly file: SimulatedFile } | null;
  readonly onReadable: () => boolean;
  /** It asked to be called again, readable or not. */
  wantsAgain: boolean;
  isReferenced: boolean;
}

interface Pending {
  readonly dueMs: number;
  readonly callback: () => void;
  readonly keepsAlive: boolean;
}

export class SimulatedHost implements Host {
  /** What nobody caught. */
  readonly raised: unknown[] = [];
  /** Has a part in what can happen next. */
  bystander: Bystander | null = null;
  /** How often the program was called. After each, whoever wants its promises to be settled has to let Node do that. */
  calls = 0;
  readonly #kernel: SimulatedKernel;
  readonly #random: Random;
  readonly #stepMs: number;
  readonly #watches = new Set<Watched>();
  readonly #alarms = new Set<Pending>();
  /** No alarm is due before; most steps need not look through all of them. */
  #earliestMs = Number.POSITIVE_INFINITY;
  readonly #soon: (() => void)[] = [];
  #steps = 0;

  constructor(kernel: SimulatedKernel, options: SimulatedHostOptions = {}) {
    this.#kernel = kernel;
    this.#random = new Random(~(options.seed ?? 1));
    this.#stepMs = options.stepMs ?? 0;
  }

  now(): number {
    return this.#kernel.nowMs;
  }

  wallNow(): number {
    return WALL_START_MS + this.#kernel.nowMs;
  }

  watch(fd: number | null, onReadable: () => boolean): Watch {
    const open = fd === null ? null : this.#openFile(fd);
    const watched: Watched = { open, onReadable, wantsAgain: false, isReferenced: true };
    this.#watches.add(watched);
    return {
      ref: () => {
        watched.isReferenced = true;
      },
      unref: () => {
        watched.isReferenced = false;
      },
      turnSoon: () => {
        watched.wantsAgain = true;
      },
      close: () => {
        this.#dropClosedWatches();
        this.#watches.delete(watched);
      },
    };
  }

  #openFile(fd: number): Watched['open'] {
    const file = this.#kernel.fileOf(fd);
    if (file === undefined) throw new Error(`watch: fd ${fd} is not open`);
    for (const other of this.#watches) {
      if (other.open?.file === file)
        throw new Error(`watch: fd ${fd} is watched already, for which libuv aborts the process`);
    }
    return { fd, file };
  }

  alarm(delayMs: number, callback: () => void, keepsAlive = false): Alarm {
    if (!(delayMs >= 0)) throw new RangeError(`an alarm in ${String(delayMs)} ms`);
    const pending: Pending = { dueMs: this.now() + delayMs, callback, keepsAlive };
    if (delayMs < Number.POSITIVE_INFINITY) this.#alarms.add(pending);
    this.#earliestMs = Math.min(this.#earliestMs, pending.dueMs);
    return {
      cancel: () => {
        this.#alarms.delete(pending);
      },
    };
  }

  soon(callback: () => void): void {
    this.#soon.push(callback);
  }

  raise(error: unknown): void {
    this.raised.push(error);
  }

  /** Alarms that are set. */
  get alarmCount(): number {
    return this.#alarms.size;
  }

  /** Whether Node would keep the process running for this host. */
  isAlive(): boolean {
    for (const watched of this.#watches) if (watched.isReferenced) return true;
    for (const alarm of this.#alarms) if (alarm.keepsAlive) return true;
    return false;
  }

  /** Lets time pass. What is due by then happens in the steps that follow. */
  advance(ms: number): void {
    if (!(ms >= 0)) throw new RangeError(`time does not go by ${String(ms)} ms`);
    this.#kernel.nowMs += ms;
  }

  /** Does one thing. False: nothing can happen any more, now or later. */
  step(): boolean {
    this.#dropClosedWatches();
    const callback = this.#soon.shift();
    if (callback !== undefined) {
      this.#call(callback);
      return true;
    }
    if (this.#stepMs > 0) this.advance(this.#random.below(this.#stepMs + 1));
    const possible = this.#possibilities();
    if (possible.length > 0) {
      this.#random.pick(possible)();
      return true;
    }
    if (this.#alarms.size === 0) return false;
    this.#kernel.nowMs = Math.min(...[...this.#alarms].map((alarm) => alarm.dueMs));
    this.#random.pick(this.#dueAlarms())();
    return true;
  }

  /** Steps until the condition holds, and throws where it never will. */
  run(until: () => boolean, maxSteps = 100_000): void {
    for (let steps = 0; !until(); steps++) {
      if (steps === maxSteps) throw new Error(this.#describe(`the condition does not hold after ${maxSteps} steps`));
      if (!this.step()) throw new Error(this.#describe('nothing can happen any more, and the condition does not hold'));
      this.#steps++;
    }
  }

  #possibilities(): (() => void)[] {
    const possible = this.#dueAlarms();
    if (this.bystander?.canAct === true) possible.push(() => this.bystander?.act());
    if (this.#kernel.canDeliver) possible.push(() => this.#kernel.deliver());
    for (const watched of this.#watches) {
      const isReadable = watched.open !== null && this.#kernel.isReadable(watched.open.fd);
      if (!watched.wantsAgain && !isReadable) continue;
      possible.push(() =>
        this.#call(() => {
          watched.wantsAgain = false;
          if (watched.onReadable()) watched.wantsAgain = true;
        }),
      );
    }
    return possible;
  }

  #dueAlarms(): (() => void)[] {
    const due: (() => void)[] = [];
    const now = this.now();
    if (this.#earliestMs > now) return due;
    this.#earliestMs = Number.POSITIVE_INFINITY;
    for (const alarm of this.#alarms) {
      this.#earliestMs = Math.min(this.#earliestMs, alarm.dueMs);
      if (alarm.dueMs > now) continue;
      due.push(() => {
        this.#alarms.delete(alarm);
        this.#call(alarm.callback);
      });
    }
    return due;
  }

  /** uv_poll_t must be stopped before its fd is closed: libuv would watch the next file of that number instead. */
  #dropClosedWatches(): void {
    for (const watched of this.#watches) {
      const { open } = watched;
      if (open === null || this.#kernel.fileOf(open.fd) === open.file) continue;
      this.#watches.delete(watched);
      this.#kernel.violate(`fd ${open.fd} was closed while it was watched`);
    }
  }

  #call(callback: () => void): void {
    this.calls++;
    try {
      callback();
    } catch (error) {
      this.raise(error);
    }
  }

  #describe(what: string): string {
    const lines = [
      what,
      `at ${this.now()} ms, after ${this.#steps} steps in all, with ${this.#alarms.size} alarms and ` +
        `${this.#watches.size} watches (${this.isAlive() ? 'alive' : 'nothing keeps it alive'})`,
      ...this.#kernel.openFds(),
      ...this.#kernel.violations.map((violation) => `violation: ${violation}`),
      ...this.raised.map(
        (error) => `raised: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
      ),
    ];
    return lines.join('\n  ');
  }
}
