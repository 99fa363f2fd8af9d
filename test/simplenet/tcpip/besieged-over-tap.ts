/**
 * BesiegedOverTap: a siege (siege.ts) in real time, over TAP devices that a bridge of Linux joins.
 *
 *     server 10.9.0.2, a process of its own ---- tap0 \
 *                                                      bridge ---- Linux 10.9.0.3: another friend
 *     friend 10.9.0.1 and attacker, this process - tap1 /
 *
 * The attacker writes its frames into tap1 as they are. Linux knows nothing of the attack: it asks the server again and again meanwhile, by its own TCP.
 * The memory that counts is that of the process of the server.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Timeouts } from '../../../http/index.ts';
import { nodeHost } from '../../../simplenet/loop/node-host.ts';
import { openTap } from '../../../simplenet/tcpip/link/tap-link.ts';
import type { StackOptions, StackStatistics } from '../../../simplenet/tcpip/stack.ts';
import { plainEnvironment, withoutTap } from '../../support/programs.ts';
import { SERVER_MAC, Siege } from './siege.ts';

const SOURCE_MAC_AT = 6;
/** How long the server may read nothing before the rest of a flood counts as lost. */
const LOST_AFTER_MS = 2_000;
/** Less of a flood proves nothing. */
const LEAST_SHARE = 0.99;
const PAUSE_MS = 20;
/** With two lost handshake segments a client is served after three seconds. */
const PATIENCE_MS = 10_000;
/** For what comes at once, unless the test has failed. */
const MAX_WAIT_MS = 30_000;

export type Question = 'statistics' | 'memory' | 'close';

/** Linux's own TCP: asks on a new connection each time. */
class LinuxFriend {
  readonly problems: string[] = [];
  served = 0;
  slowestMs = 0;
  #isStopping = false;
  readonly #over = this.#run();

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#over;
  }

  async #run(): Promise<void> {
    while (!this.#isStopping) {
      const startedAt = performance.now();
      const body = await get('/small').catch(String);
      this.slowestMs = Math.max(this.slowestMs, performance.now() - startedAt);
      if (body === 'hello') this.served++;
      else if (this.served > 0) this.problems.push(`Linux got ${JSON.stringify(body)}`);
      await sleep(PAUSE_MS);
    }
  }
}

async function get(path: string): Promise<string> {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const asked = request({ host: '10.9.0.2', port: 80, path, agent: false, signal }).end();
  const [response] = await once(asked, 'response', { signal });
  let body = '';
  for await (const piece of response) body += piece;
  return body;
}

export class BesiegedOverTap extends Siege {
  override readonly isSimulated = false;
  override readonly promptMs = PATIENCE_MS;
  protected override readonly framesAtOnce = 1_000;
  readonly #server: ChildProcess;
  readonly #answers: ((answer: unknown) => void)[] = [];
  readonly #linux: LinuxFriend;

  static async begin(options: Partial<StackOptions> = {}, timeouts: Partial<Timeouts> = {}): Promise<BesiegedOverTap> {
    const program = join(import.meta.dirname, 'besieged-process.js');
    const args = ['--enable-source-maps', program, JSON.stringify(options), JSON.stringify(timeouts)];
    const server = spawn(...withoutTap(process.execPath, args), {
      env: plainEnvironment(),
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    await once(server, 'message');
    try {
      const siege = new BesiegedOverTap(server);
      await siege.until(() => siege.#linux.served > 0); // a bridge drops frames until it has noticed that both devices are open
      siege.claimAddresses();
      return siege;
    } catch (error) {
      server.kill('SIGKILL');
      throw error;
    }
  }

  private constructor(server: ChildProcess) {
    super(nodeHost, openTap('tap1'));
    this.#server = server;
    server.on('message', (answer) => this.#answers.shift()?.(answer));
    this.#linux = new LinuxFriend();
  }

  /** The bridge brings all that the server sends to the addresses of this end, and what Linux sends to everybody. */
  protected override received(frame: Buffer): void {
    if (frame.readUIntBE(SOURCE_MAC_AT, 6) === SERVER_MAC) this.hear(frame);
  }

  override async statistics(): Promise<StackStatistics> {
    return (await this.#ask('statistics')) as StackStatistics;
  }

  override async memoryBytes(): Promise<number> {
    return (await this.#ask('memory')) as number;
  }

  override pass(ms: number): Promise<void> {
    return sleep(ms);
  }

  override async until(condition: () => boolean): Promise<void> {
    const startedAt = performance.now();
    while (!condition()) {
      if (performance.now() - startedAt > MAX_WAIT_MS) throw new Error(`waited in vain: ${condition}`);
      await sleep(1);
    }
  }

  /** The server has read as many frames as were sent from here. Its device may drop some, so a pause ends the wait. */
  protected override async delivered(): Promise<void> {
    let before = -1;
    let progressAt = performance.now();
    for (;;) {
      const { receivedFrames = 0 } = await this.statistics();
      if (receivedFrames >= this.forgedFrames) return;
      if (receivedFrames > before) progressAt = performance.now();
      else if (performance.now() - progressAt > LOST_AFTER_MS) return;
      before = receivedFrames;
      await sleep(1);
    }
  }

  override async close(): Promise<string[]> {
    await this.#linux.stop(); // it must have been served until the end
    const { receivedFrames = 0 } = await this.statistics();
    const problems = [...this.#linux.problems];
    if (receivedFrames < this.forgedFrames * LEAST_SHARE)
      problems.push(`only ${receivedFrames} of ${this.forgedFrames} frames have reached the server`);
    await this.#ask('close');
    this.#server.disconnect();
    const [code] = await once(this.#server, 'exit');
    if (code !== 0) problems.push(`the server ended with ${code}`);
    await this.end();
    return problems;
  }

  /** Leaves nothing behind, also where the attack has failed. */
  async end(): Promise<void> {
    this.#server.kill('SIGKILL');
    await this.#linux.stop();
    this.friend.close();
    await this.until(() => this.friend.openCount === 0);
  }

  /** How the friend behind the bridge has fared. */
  get report(): string {
    return `Linux was served ${this.#linux.served} times meanwhile, in ${this.#linux.slowestMs.toFixed(0)} ms at most`;
  }

  #ask(question: Question): Promise<unknown> {
    this.#server.send(question);
    return new Promise((resolve) => this.#answers.push(resolve));
  }
}
