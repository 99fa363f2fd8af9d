/** Results as a run would make them, for the tests of everything that shows results. */

import {
  type PeerResult,
  type Results,
  type Round,
  summarize,
  type Unit,
  type WorkloadResult,
} from '../../benchmarks/results.ts';

export function round(figure: number, differences: Partial<Round> = {}): Round {
  return {
    figure,
    cpuUs: figure,
    requestsPerSecond: 1e6 / figure,
    p50Us: 640,
    p99Us: 1_280,
    p999Us: 2_560,
    residentBytes: 64 * 1024 ** 2,
    errors: 0,
    refused: 0,
    ...differences,
  };
}

interface Series {
  readonly peer: string;
  readonly title: string;
  readonly rounds: readonly (Round | null)[];
  readonly remarks?: readonly string[];
}

export function workloadResult(series: readonly Series[], unit: Unit = 'us'): WorkloadResult {
  const references = ['node', 'c'].flatMap((name) => series.filter(({ peer }) => peer === name));
  const bases = Object.fromEntries(references.map(({ peer, rounds }) => [peer, rounds]));
  const peers: PeerResult[] = series.map(({ peer, title, rounds, remarks = [] }) => {
    return { peer, title, version: '1.2.3', rounds, summary: summarize(rounds, bases), remarks };
  });
  return {
    workload: 'hello',
    title: 'GET <14> & bytes',
    unit,
    references: references.map(({ peer, title }) => ({ peer, title })),
    peers,
  };
}

export const sampleWorkload = workloadResult([
  { peer: 'simplenet', title: 'simplenet', rounds: [round(8), round(8.4), round(9)] },
  { peer: 'node', title: 'node:http', rounds: [round(32), round(30), round(33)] },
  { peer: 'express', title: 'Express', rounds: [round(200), round(210), round(190)] },
  { peer: 'bun', title: 'Bun.serve', rounds: [null], remarks: ['does not do the same work: Date is missing'] },
]);

export function resultsOf(...workloads: readonly WorkloadResult[]): Results {
  const machine = {
    cpu: 'A CPU',
    cores: 2,
    kernel: 'Linux 6',
    node: 'v20',
    loadAverage: 0.1,
    pinning: 'none',
    syscalls: { getppid: 70, recv: 1_270 },
  };
  return {
    date: '2026-11-21T10:00:00.000Z',
    command: 'npm run bench',
    commit: '0123456789ab',
    machine,
    load: 'wrk 4.1.0, 1 thread',
    isFresh: false,
    processes: 1,
    rounds: 3,
    seconds: 2,
    warmUpSeconds: 1,
    workloads,
    skipped: ['Hono is not installed; get it with: npm --prefix benchmarks/peers ci'],
  };
}
