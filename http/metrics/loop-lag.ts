/**
 * LoopLag: how late the timers of this process are: how long a callback of anybody, ours or the program's, keeps the thread to itself.
 *
 * Next: usage-metrics.ts
 */

import type { Alarm, EventLoop } from '../../simplenet/index.ts';
import { bucketOf, type MetricFamily } from './metric-families.ts';

const EVERY_MS = 100;
const MS = 1_000;

/** Seconds. */
const BOUNDS: readonly number[] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1];

/** What it needs of the event loop. */
export type LagClock = Pick<EventLoop, 'exactNow' | 'after'>;

export class LoopLag {
  readonly #clock: LagClock;
  readonly #counts = new Float64Array(BOUNDS.length + 1);
  #sum = 0;
  #alarm: Alarm;
  #dueAt = 0;

  constructor(clock: LagClock) {
    this.#clock = clock;
    this.#alarm = this.#next();
  }

  #next(): Alarm {
    this.#dueAt = this.#clock.exactNow() + EVERY_MS;
    return this.#clock.after(EVERY_MS, () => this.#ring());
  }

  #ring(): void {
    const seconds = (this.#clock.exactNow() - this.#dueAt) / MS;
    this.#alarm = this.#next();
    this.#counts[bucketOf(BOUNDS, seconds)]! += 1;
    this.#sum += seconds;
  }

  family(): MetricFamily {
    return {
      name: 'nodejs_eventloop_lag_seconds',
      help: `How late a timer was that is set every ${EVERY_MS} ms.`,
      type: 'histogram',
      bounds: BOUNDS,
      samples: [{ labels: {}, counts: [...this.#counts], sum: this.#sum }],
    };
  }

  close(): void {
    this.#alarm.cancel();
  }
}
