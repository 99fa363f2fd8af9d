/**
 * Machine: the machine and the commit of a result. A result without them cannot be checked.
 *
 * Next: report.ts
 */

import { spawnSync } from 'node:child_process';
import { cpus, loadavg, release } from 'node:os';
import { root } from './c-programs.ts';
import type { Cores } from './cores.ts';
import type { Machine } from './results.ts';

export function describeMachine(cores: Cores | null): Omit<Machine, 'syscalls'> {
  const all = cpus();
  return {
    cpu: (all[0]?.model ?? 'unknown').replaceAll(/\s+/g, ' ').trim(),
    cores: all.length,
    kernel: `Linux ${release()}`,
    node: process.version,
    loadAverage: Number((loadavg()[0] as number).toFixed(2)),
    pinning: cores === null ? 'none' : `server on core ${cores.server}, load on core ${cores.load}`,
  };
}

/** Returns the commit, and whether the working tree has other changes. */
export function describeCommit(): string {
  const git = (...args: string[]) => spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  const commit = git('rev-parse', '--short=12', 'HEAD');
  if (commit.status !== 0) return 'unknown';
  // Results of earlier runs do not change the program.
  const changes = git('status', '--porcelain', '--untracked-files=no', '--', '.', ':!benchmarks/results').stdout;
  return commit.stdout.trim() + (changes.trim() === '' ? '' : ', with uncommitted changes');
}
