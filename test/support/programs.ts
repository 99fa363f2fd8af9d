/**
 * Programs that tests start: our own in a Node process of their own, and tools of the system that may be missing.
 */

import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

/** The compiled tree: build/. */
export const buildFolder = join(import.meta.dirname, '../..');

/**
 * What a child needs of our environment: nothing of what tap gives its children, which costs descriptors, memory and time, but
 * the event loop that this run of the tests is about.
 */
export function plainEnvironment(): Record<string, string> {
  const { PATH = '', SIMPLENET_BACKEND } = process.env;
  return SIMPLENET_BACKEND === undefined ? { PATH } : { PATH, SIMPLENET_BACKEND };
}

/**
 * Such a program as the command and the arguments of spawn(2). tap loads its hooks and counts coverage in every Node process that a test
 * starts, whatever environment the test gives it, and each takes a second longer to start. So `env` takes them out.
 */
export function withoutTap(command: string, args: readonly string[]): [command: string, args: string[]] {
  return ['env', ['-u', 'NODE_OPTIONS', command, ...args]];
}

export function hasProgram(name: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${name}`]).status === 0;
}

/** For a test's `skip`: why it cannot be run here, or false. */
export function missing(name: string): string | false {
  return hasProgram(name) ? false : `${name} is not installed`;
}

export interface Outcome {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProgramOptions extends SpawnOptions {
  /** What it runs counts as covered. For what only a process of its own can run: how it ends, and its workers. */
  readonly isCounted?: boolean;
  /** Descriptors of this process that it inherits, as 3, 4, and so on. */
  readonly passes?: readonly number[];
}

/** A process whose output is gathered, and which is certainly gone when the test is. */
export class Program {
  readonly child: ChildProcess;
  readonly #outcome: Promise<Outcome>;
  #stdout = '';
  #stderr = '';

  constructor(command: string, args: readonly string[], options: ProgramOptions = {}) {
    const { isCounted = false, passes = [] } = options;
    this.child = spawn(...(isCounted ? ([command, args] as const) : withoutTap(command, args)), {
      ...options,
      stdio: ['pipe', 'pipe', 'pipe', ...passes],
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    this.#outcome = once(this.child, 'close').then(([code, signal]) => ({
      code: code as number | null,
      signal: signal as string | null,
      stdout: this.#stdout,
      stderr: this.#stderr,
    }));
  }

  /** A module given as text; `build` in it stands for the URL of the compiled tree. */
  static script(text: string, options: ProgramOptions & { readonly nodeOptions?: readonly string[] } = {}): Program {
    const source = `const build = ${JSON.stringify(`file://${buildFolder}`)};\n${text}`;
    const { nodeOptions = [], ...others } = options;
    return new Program(process.execPath, [...nodeOptions, '--input-type=module', '-e', source], others);
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Waits until it has written something that matches. */
  async prints(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.#stdout);
      if (match !== null) return match;
      const ended = await Promise.race([once(this.child.stdout as NodeJS.ReadableStream, 'data'), this.#outcome]);
      if (!Array.isArray(ended) && pattern.exec(this.#stdout) === null) {
        throw new Error(`it ended without ${pattern}: ${JSON.stringify(ended)}`);
      }
    }
  }

  ends(): Promise<Outcome> {
    return this.#outcome;
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    this.child.kill(signal);
  }
}
