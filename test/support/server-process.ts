/**
 * ServerProcess: target-site.ts as a child: what it has open and how much memory it takes, as the kernel tells it.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { ServeOptions } from '../../http/index.ts';
import { buildFolder, plainEnvironment, withoutTap } from './programs.ts';
import type { TargetState } from './target-site.ts';

/** How many descriptors a process has open, and how many of them are sockets. */
export interface Descriptors {
  readonly all: number;
  readonly sockets: number;
}

export function descriptorsOf(pid: number): Descriptors {
  let all = 0;
  let sockets = 0;
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      if (readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:')) sockets++;
      all++;
    } catch {
      // closed since the folder was read
    }
  }
  return { all, sockets };
}

/** Resident memory. */
export function rssBytesOf(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kilobytes) * 1024;
}

export interface ServerProcessSetup {
  /** What `ulimit -n` says before it starts, if anything. */
  readonly openFiles?: number;
  readonly nodeOptions?: readonly string[];
  /** Which program of this folder it is: `target-site` unless given. */
  readonly site?: string;
}

export class ServerProcess {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly port: number;
  readonly #stderr: string[];

  private constructor(child: ChildProcess, port: number, stderr: string[]) {
    this.child = child;
    this.pid = child.pid as number;
    this.port = port;
    this.#stderr = stderr;
  }

  static async start(options: ServeOptions = {}, setup: ServerProcessSetup = {}): Promise<ServerProcess> {
    const { openFiles, nodeOptions = ['--expose-gc'], site = 'target-site' } = setup;
    const args = [...nodeOptions, join(buildFolder, `test/support/${site}.js`), JSON.stringify(options)];
    const limiting = ['-c', `ulimit -n ${openFiles} && exec "$0" "$@"`, process.execPath, ...args];
    const [command, all] = openFiles === undefined ? [process.execPath, args] : ['sh', limiting];
    const child = spawn(...withoutTap(command, all), {
      env: plainEnvironment(),
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    const stderr: string[] = [];
    child.stderr?.setEncoding('utf8').on('data', (text: string) => stderr.push(text));
    const ended = once(child, 'close').then(() => {
      throw new Error(`the server has ended: ${stderr.join('')}`);
    });
    ended.catch(() => {});
    const [port] = (await Promise.race([once(child, 'message'), ended])) as [number];
    return new ServerProcess(child, port, stderr);
  }

  get descriptors(): Descriptors {
    return descriptorsOf(this.pid);
  }

  get rssBytes(): number {
    return rssBytesOf(this.pid);
  }

  /** What it wrote to standard error. */
  get stderr(): string {
    return this.#stderr.join('');
  }

  async state(): Promise<TargetState> {
    this.child.send('state');
    const [state] = (await once(this.child, 'message')) as [TargetState];
    return state;
  }

  /** Until nobody is connected and no handler at work, for a while at most; answers the last state. */
  async quiet(patienceMs = 30_000): Promise<TargetState> {
    const giveUpAt = performance.now() + patienceMs;
    for (;;) {
      const state = await this.state();
      if ((state.connections === 0 && state.atWork === 0) || performance.now() > giveUpAt) return state;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** With grace; answers its exit code. */
  async stop(): Promise<number | null> {
    if (this.child.exitCode !== null) return this.child.exitCode;
    const closed = once(this.child, 'close');
    if (this.child.connected) this.child.send('stop');
    const [code] = (await closed) as [number | null];
    return code;
  }

  /** At once: for the end of a test, whatever has happened in it. */
  kill(): void {
    this.child.kill('SIGKILL');
  }
}
