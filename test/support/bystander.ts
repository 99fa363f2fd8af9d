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
const MAX_MS = 3_000;
const MAX_TYPICAL_MS = 250;

/** Of fewer, none is typical. */
const LEAST_FOR_TYPICAL = 10;

/**
 * The shortest time after which a server of these tests ends a connection on which it waits for a request. Where this client had
 * no core for that long, the server may have closed the connection without a response. It then asks once more, as HTTP clients
 * do (RFC 9112 section 9.3.1), and the time of both attempts counts.
 */
const SHORTEST_IDLE_MS = 400;
const MAX_ATTEMPTS = 5;

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
    const mostTypical = MAX_TYPICAL_MS + waited / sorted.length;
    const isSlow = sorted.length >= LEAST_FOR_TYPICAL && typical > mostTypical;
    if (isSlow || worst > MAX_MS + waited) {
      const times = `${typical.toFixed(0)} ms, the slowest ${worst.toFixed(0)} ms`;
      return `answers took ${times}; ${waited.toFixed(0)} ms of it all were waits for a core`;
    }
    return null;
  }

  async #run(): Promise<void> {
    let client = new RawClient(this.#server.port);
    let openedAt = performance.now();
    do {
      for (let i = 0; i < REQUESTS_PER_CONNECTION && !client.isOver; i++) {
        const startedAt = performance.now();
        let answer = await this.#ask(client);
        let waitsSince = openedAt;
        for (let attempt = 1; answer === '' && attempt < MAX_ATTEMPTS; attempt++) {
          if (performance.now() - waitsSince < SHORTEST_IDLE_MS) break;
          client.destroy();
          client = new RawClient(this.#server.port);
          waitsSince = performance.now();
          answer = await this.#ask(client);
        }
        openedAt = startedAt;
        if (!answer.startsWith('HTTP/1.1 200 ')) this.failures.push(`answered '${answer.slice(0, 40)}'`);
        this.latencies.push(performance.now() - startedAt);
        if (this.#isStopping) break;
        await sleep(PAUSE_MS);
      }
      client.destroy();
      if (!this.#isStopping) {
        client = new RawClient(this.#server.port);
        openedAt = performance.now();
      }
    } while (!this.#isStopping);
    client.destroy();
  }

  async #ask(client: RawClient): Promise<string> {
    client.text = '';
    client.write(REQUEST);
    try {
      await client.until(() => client.text.endsWith(ANSWER_END) || client.isOver, 'an answer');
    } catch (error) {
      this.failures.push((error as Error).message);
    }
    return client.text;
  }
}
