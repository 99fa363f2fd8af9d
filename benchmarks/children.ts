/**
 * Children: all processes that a benchmark starts, and its folder. None of them outlives it.
 *
 * They are ended only by process id. A search by name would also end a server of another user with the same name.
 *
 * Next: site.ts
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const running = new Set<ChildProcess>();

/** Starts a process. Its standard output can be read, and its standard error is passed on. */
export function startChild(command: readonly string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const [program = '', ...args] = command;
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, ...env } });
  running.add(child);
  child.once('close', () => running.delete(child));
  child.stdin?.on('error', () => {}); // it ended before it had read all input: its exit code is reported
  return child;
}

/** Returns the whole output of a process. Throws if it cannot be started or fails. */
export async function outputOf(command: readonly string[]): Promise<string> {
  const child = startChild(command);
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${signal ?? code}`);
  return output;
}

/** Returns the first line that the process writes. Throws if it ends before, or takes too long. */
export function firstLineOf(child: ChildProcess, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const deadline = setTimeout(() => reject(new Error(`it wrote no line within ${timeoutMs} ms`)), timeoutMs);
    child.stdout?.setEncoding('utf8').on('data', (more: string) => {
      text += more;
      if (!text.includes('\n')) return;
      clearTimeout(deadline);
      resolve(text.slice(0, text.indexOf('\n')));
    });
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(deadline);
      reject(new Error(`it ended with ${signal ?? code} before it was ready`));
    });
  });
}

export async function endChild(child: ChildProcess): Promise<void> {
  if (!running.has(child)) return;
  const closed = once(child, 'close');
  child.kill('SIGKILL');
  await closed;
}

/** When this process ends, also by a signal, all children end, and `cleanUp` runs. */
export function endChildrenAtExit(cleanUp: () => void): void {
  process.once('exit', () => {
    for (const child of running) child.kill('SIGKILL'); // no time is left to wait for them
    cleanUp();
  });
  process.once('SIGINT', () => process.exit(130));
  process.once('SIGTERM', () => process.exit(143));
}

/** Returns a new folder for the benchmark. It goes when the benchmark ends, and all children end with it. */
export function beginRun(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `simplenet-${name}-`));
  endChildrenAtExit(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
