/**
 * Results: the figures of a benchmark run, in the format of latest.json. The reports are made from them.
 *
 * Next: round.ts
 */

import { ratios, type Spread, spreadOf } from './statistics.ts';

/** The figures of one round of one peer. */
export interface Round {
  /** What is compared, in the unit of the workload. */
  readonly figure: number;
  /** CPU microseconds for each request. Null for idle connections. */
  readonly cpuUs: number | null;
  readonly requestsPerSecond: number | null;
  readonly p50Us: number | null;
  readonly p99Us: number | null;
  readonly p999Us: number | null;
  readonly residentBytes: number;
  readonly errors: number;
  readonly refused: number;
}

/** The rounds of a peer together. A figure is null if no round counts, or if the workload does not have it. */
export interface Summary {
  readonly figure: Spread | null;
  /** The ratio to each peer that all are compared with, by its name. */
  readonly ratios: Readonly<Record<string, Spread | null>>;
  readonly cpuUs: Spread | null;
  readonly requestsPerSecond: Spread | null;
  readonly p50Us: Spread | null;
  readonly p99Us: Spread | null;
  readonly p999Us: Spread | null;
  readonly residentBytes: Spread | null;
  readonly errors: number;
  readonly refused: number;
}

export interface PeerResult {
  readonly peer: string;
  readonly title: string;
  readonly version: string;
  /** In order; null for a round that could not be completed. */
  readonly rounds: readonly (Round | null)[];
  readonly summary: Summary;
  /** Why rounds are missing. */
  readonly remarks: readonly string[];
}

/** What the figure of a workload is: CPU microseconds for each request, bytes for each idle connection, or microseconds of latency. */
export type Unit = 'us' | 'bytes' | 'p99';

export interface Reference {
  readonly peer: string;
  readonly title: string;
}

export interface WorkloadResult {
  readonly workload: string;
  readonly title: string;
  readonly unit: Unit;
  /** The peers with which all are compared, the chosen one first. Only those that took part. */
  readonly references: readonly Reference[];
  readonly peers: readonly PeerResult[];
}

export interface Results {
  readonly date: string;
  readonly command: string;
  readonly commit: string;
  readonly machine: Machine;
  readonly load: string;
  /** Whether each round had a fresh process, or all servers took turns. */
  readonly isFresh: boolean;
  /** Processes of each peer, if they took turns. */
  readonly processes: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly workloads: readonly WorkloadResult[];
  /** The peers that did not take part, and how to get them. */
  readonly skipped: readonly string[];
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly kernel: string;
  readonly node: string;
  /** Load average of one minute before the run: above 0.5, something else was running. */
  readonly loadAverage: number;
  readonly pinning: string;
  /** What system calls cost, in nanoseconds, or why that was not measured. */
  readonly syscalls: Readonly<Record<string, number>> | string;
}

/** A round with errors does not count, because a server that drops requests saves their cost. */
export function counts(round: Round | null): round is Round {
  return round !== null && round.errors === 0 && round.refused === 0;
}

function figuresOf(rounds: readonly (Round | null)[]): (number | null)[] {
  return rounds.map((round) => (counts(round) ? round.figure : null));
}

export function summarize(
  rounds: readonly (Round | null)[],
  references: Readonly<Record<string, readonly (Round | null)[]>>,
): Summary {
  const counted = rounds.filter(counts);
  const spread = (value: (round: Round) => number | null) =>
    spreadOrNull(counted.map(value).filter((each) => each !== null));
  const all = rounds.filter((round) => round !== null);
  return {
    figure: spread((round) => round.figure),
    ratios: Object.fromEntries(
      Object.entries(references).map(([peer, base]) => [
        peer,
        spreadOrNull(ratios(figuresOf(rounds), figuresOf(base))),
      ]),
    ),
    cpuUs: spread((round) => round.cpuUs),
    requestsPerSecond: spread((round) => round.requestsPerSecond),
    p50Us: spread((round) => round.p50Us),
    p99Us: spread((round) => round.p99Us),
    p999Us: spread((round) => round.p999Us),
    residentBytes: spread((round) => round.residentBytes),
    errors: all.reduce((sum, round) => sum + round.errors, 0),
    refused: all.reduce((sum, round) => sum + round.refused, 0),
  };
}

function spreadOrNull(values: readonly number[]): Spread | null {
  return values.length === 0 ? null : spreadOf(values);
}
