/**
 * Bystander: a client that behaves, while others do not. It asks again and again, on a connection that it keeps and on new
 * ones, and knows how long each answer took.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { CoreWaits } from './core-waits.ts';
import { RawClient } from './raw-client.ts';
import type { ServerProcess } from './server-process.ts';

const REQUEST = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
const ANSWER_END = '\r\n\r\nhello\n';

/** Every so many requests, the connection is a new one. */
const REQUESTS_PER_CONNECTION = 5;
const PAUSE_MS = 10;

/** The longest that an answer may take, and half of them, beside the time in which the machine had no core for us. */
const MOST_MS = 3_000;
const MOST_TYPICAL_MS = 250;

/** Of fewer, none is typical. */
const LEAST_FOR_TYPICAL = 10;

export class Bystander {
  readonly latencies: number[] = [];
  readonly failures: string[] = [];
  readonly #server: ServerProcess;
  /** Both processes take part in each answer. */
  readonly #waits: CoreWaits;
  readonly #waitedBefore: number;
  readonly #over: Promise<void>;
  #isStopping = false;

  constructor(server: ServerProcess) {
    this.#server = server;
    this.#waits = new CoreWaits(server.pid, process.pid);
    this.#waitedBefore = this.#waits.totalMs;
    this.#over = this.#run();
  }

  /** What was wrong with how it was served: null if nothing was. */
  async verdict(): Promise<string | null> {
    this.#isStopping = true;
    await this.#over;
    const sorted = this.latencies.toSorted((a, b) => a - b);
    const typical = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
    const worst = sorted.at(-1) ?? Number.NaN;
    if (this.failures.length > 0) return this.failures.slice(0, 3).join('; ');
    if (sorted.length === 0) return 'it was never served';
    // Tests run on machines that are busy with other things. What the server can do nothing about is not counted.
    const waited = this.#waits.totalMs - this.#waitedBefore;
    const mostTypical = MOST_TYPICAL_MS + waited / sorted.length;
    const isSlow = sorted.length >= LEAST_FOR_TYPICAL && typical > mostTypical;
    if (isSlow || worst > MOST_MS + waited) {
      const times = `${typical.toFixed(0)} ms, the slowest ${worst.toFixed(0)} ms`;
      return `answers took ${times}; ${waited.toFixed(0)} ms of it all were waits for a core`;
    }
    return null;
  }

  async #run(): Promise<void> {
    do {
      const client = new RawClient(this.#server.port);
      for (let i = 0; i < REQUESTS_PER_CONNECTION; i++) {
        const startedAt = performance.now();
        client.text = '';
        client.write(REQUEST);
        try {
          await client.until(() => client.text.endsWith(ANSWER_END) || client.isOver, 'an answer');
        } catch (error) {
          this.failures.push((error as Error).message);
        }
        if (!client.text.startsWith('HTTP/1.1 200 ')) this.failures.push(`answered '${client.text.slice(0, 40)}'`);
        this.latencies.push(performance.now() - startedAt);
        if (this.#isStopping || client.isOver) break;
        await sleep(PAUSE_MS);
      }
      client.destroy();
    } while (!this.#isStopping);
  }
}
