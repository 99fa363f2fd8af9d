/**
 * Machine: where and of what a result was made, without which it is a rumour.
 *
 * Next: report.ts
 */

import { spawnSync } from 'node:child_process';
import { cpus, loadavg, release } from 'node:os';
import type { Cores } from './cores.ts';
import { root } from './peers.ts';
import type { Machine } from './results.ts';

export function describeMachine(cores: Cores | null): Machine {
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

/** The commit, and whether what ran was more than that. */
export function describeCommit(): string {
  const git = (...args: string[]) => spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  const commit = git('rev-parse', '--short=12', 'HEAD');
  if (commit.status !== 0) return 'unknown';
  // The results of earlier runs are no change of what runs.
  const changes = git('status', '--porcelain', '--untracked-files=no', '--', '.', ':!benchmarks/results').stdout;
  return commit.stdout.trim() + (changes.trim() === '' ? '' : ', with uncommitted changes');
}
