/**
 * The examples as programs of their own, and what the kernel says they are waiting for.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { buildFolder, Program, plainEnvironment } from './programs.ts';

const runner = join(buildFolder, 'examples/run.js');

/**
 * What `npm run example -- NAME ARGS` runs. `env -i` takes out what tap slips into the environment of every child, whatever
 * environment one asks for: it listens for SIGINT, and a listener keeps the signal from ending a call that waits.
 */
export function commandOf(...args: readonly string[]): readonly string[] {
  return ['env', ...withVariables({}, args)];
}

function withVariables(variables: Readonly<Record<string, string>>, args: readonly string[]): string[] {
  const all = { ...plainEnvironment(), ...variables };
  return ['-i', ...Object.entries(all).map(([name, value]) => `${name}=${value}`), process.execPath, runner, ...args];
}

export function runExample(...args: readonly string[]): Program {
  return new Program('env', withVariables({}, args));
}

/** With these variables in its environment. */
export function runExampleWith(variables: Readonly<Record<string, string>>, ...args: readonly string[]): Program {
  return new Program('env', withVariables(variables, args));
}

/** One that is certainly gone when the test is. */
export function startExample(t: Test, ...args: readonly string[]): Program {
  const example = runExample(...args);
  t.teardown(() => example.kill());
  return example;
}

/** A foreign program with something on its standard input. */
export function pipeInto(command: string, args: readonly string[], input = ''): Program {
  const program = new Program(command, args);
  program.child.stdin?.on('error', () => {}); // it may end without having read
  program.child.stdin?.end(input);
  return program;
}

const callNumbers = {
  x64: { accept4: 288, recvfrom: 45, io_uring_enter: 426 }, // recv(2) of the C library is recvfrom(2) of the kernel
  arm64: { accept4: 242, recvfrom: 207, io_uring_enter: 426 },
};

const PATIENCE_MS = 60_000;

/** Until the main thread of that process waits in the call, as proc_pid_syscall(5) tells. False where it is not told. */
export async function waitsIn(pid: number, call: keyof typeof callNumbers.x64): Promise<boolean> {
  const number = callNumbers[process.arch as keyof typeof callNumbers][call];
  const giveUpAt = performance.now() + PATIENCE_MS;
  for (;;) {
    let state: string;
    try {
      state = readFileSync(`/proc/${pid}/syscall`, 'utf8');
    } catch {
      return false;
    }
    if (state.startsWith(`${number} `)) return true;
    if (performance.now() > giveUpAt) throw new Error(`it never waits in ${call}: ${state}`);
    await sleep(5);
  }
}
