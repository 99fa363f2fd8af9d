/**
 * Unfairness: what polite clients, and the server's own timers, notice of a crowd that is served beside them.
 *
 * Server, crowd and polite clients are processes of their own, so none of them is late because of what another computes. They
 * still share the machine's cores, with each other and with all else that runs: waits for a core are subtracted, and told.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AttackOptions } from '../attacks/attack.ts';
import { CoreWaits } from './core-waits.ts';
import type { CrowdPlan } from './crowd.ts';
import type { FairFigures } from './fair-site.ts';
import { buildFolder, plainEnvironment, withoutTap } from './programs.ts';
import { RawClient } from './raw-client.ts';
import { ServerProcess } from './server-process.ts';

export interface Politeness {
  readonly connections: number;
  readonly path: string;
}

export interface Outcome extends FairFigures {
  /** Of the answers to polite clients, without waits for a core, and with them. */
  readonly p99Ms: number;
  readonly wallP99Ms: number;
  /** How long the crowd was served. */
  readonly tookMs: number;
}

/** A lone polite client leaves the processor to others now and then; of many, some always wait for their answers anyway. */
const PAUSE_MS = 1;

const ANSWER_END = '\r\n\r\nhello\n';

/** Each asks, waits for the answer, and asks again. */
class PoliteClients {
  readonly latencies: number[] = [];
  readonly wallLatencies: number[] = [];
  readonly #waits: CoreWaits;
  readonly #port: number;
  readonly #request: string;
  readonly #pauseMs: number;
  readonly #over: Promise<unknown>;
  #isStopping = false;

  constructor(server: ServerProcess, { connections, path }: Politeness) {
    this.#waits = new CoreWaits(server.pid, process.pid);
    this.#port = server.port;
    this.#request = `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
    this.#pauseMs = connections === 1 ? PAUSE_MS : 0;
    this.#over = Promise.all(Array.from({ length: connections }, () => this.#run()));
  }

  async end(): Promise<void> {
    this.#isStopping = true;
    await this.#over;
  }

  async #run(): Promise<void> {
    const client = new RawClient(this.#port);
    await client.connected();
    while (!this.#isStopping) {
      const startedAt = performance.now();
      const waitedBefore = this.#waits.totalMs;
      client.text = '';
      client.write(this.#request);
      await client.until(() => client.text.endsWith(ANSWER_END), 'an answer');
      const tookMs = performance.now() - startedAt;
      this.wallLatencies.push(tookMs);
      this.latencies.push(Math.max(0, tookMs - (this.#waits.totalMs - waitedBefore)));
      if (this.#pauseMs > 0) await sleep(this.#pauseMs);
    }
    client.destroy();
  }
}

function p99Of(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return rounded(sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN);
}

function rounded(ms: number): number {
  return Math.round(ms * 10) / 10;
}

async function messageOf(child: ChildProcess): Promise<unknown> {
  const ended = once(child, 'close').then(() => Promise.reject(new Error('the crowd has ended early')));
  const [message] = (await Promise.race([once(child, 'message'), ended])) as unknown[];
  ended.catch(() => {});
  return message;
}

async function figuresOf(server: ServerProcess): Promise<FairFigures> {
  server.child.send('figures');
  const [figures] = (await once(server.child, 'message')) as [FairFigures];
  return figures;
}

/** Serves the crowd until it has had enough, or for `durationMs`, beside polite clients. */
export async function besiege(
  backend: AttackOptions['backend'],
  plan: Omit<CrowdPlan, 'port'>,
  politeness: Politeness,
  durationMs = 0,
): Promise<Outcome> {
  const server = await ServerProcess.start({ backend }, { site: 'fair-site', nodeOptions: [] });
  const crowdPlan: CrowdPlan = { ...plan, port: server.port };
  const args = [join(buildFolder, 'test/support/crowd.js'), JSON.stringify(crowdPlan)];
  const crowd = spawn(...withoutTap(process.execPath, args), {
    env: plainEnvironment(),
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  try {
    await messageOf(crowd); // all are connected
    const polite = new PoliteClients(server, politeness);
    await figuresOf(server); // what connecting took is no part of it
    const startedAt = performance.now();
    crowd.send('go');
    if (durationMs > 0) await sleep(durationMs);
    else await messageOf(crowd);
    const tookMs = performance.now() - startedAt;
    const { stallMs, wallStallMs } = await figuresOf(server);
    crowd.kill('SIGKILL');
    await polite.end();
    return {
      stallMs: rounded(stallMs),
      wallStallMs: rounded(wallStallMs),
      p99Ms: p99Of(polite.latencies),
      wallP99Ms: p99Of(polite.wallLatencies),
      tookMs: Math.round(tookMs),
    };
  } finally {
    crowd.kill('SIGKILL');
    server.kill();
  }
}
