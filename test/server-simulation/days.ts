/**
 * Days: many simulated days, and what has happened on all of them together.
 *
 * Next: simulate.ts
 */

import { type Day, type DayOptions, ServerWorld } from './server-world.ts';

export class Days {
  count = 0;
  simulatedMs = 0;
  readonly #tally = new Map<string, number>();

  /** Requests that were sent whole. */
  get requests(): number {
    return this.happened('requests sent');
  }

  happened(what: string): number {
    return this.#tally.get(what) ?? 0;
  }

  async live(options: DayOptions): Promise<Day> {
    let day: Day;
    try {
      day = await new ServerWorld(options).run();
    } catch (cause) {
      throw new Error(`the day fails with SEED=${options.seed}`, { cause });
    }
    this.count++;
    this.simulatedMs += day.simulatedMs;
    for (const [what, count] of day.tally) this.#tally.set(what, this.happened(what) + count);
    return day;
  }

  /** What has happened, one thing a line. */
  report(): string {
    const hours = (this.simulatedMs / 3_600_000).toFixed(1);
    const lines = [...this.#tally].sort(([a], [b]) => (a < b ? -1 : 1)).map(([what, count]) => `${count} ${what}`);
    return [`${this.count} days, ${hours} hours`, ...lines].join('\n');
  }
}
