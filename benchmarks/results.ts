/**
 * Results: what a run of the benchmark found, in the form that latest.json keeps and the reports are made from.
 *
 * Next: round.ts
 */

import { ratios, type Spread, spreadOf } from './statistics.ts';

/** One round of one peer. */
export interface Round {
  /** What is compared: CPU microseconds for each request, or bytes for each idle connection. */
  readonly figure: number;
  readonly requestsPerSecond: number | null;
  readonly p50Us: number | null;
  readonly p99Us: number | null;
  readonly residentBytes: number;
  readonly errors: number;
  readonly refused: number;
}

/** What the rounds of a peer say together. Null where no round counted, or where there is nothing of the kind. */
export interface Summary {
  readonly figure: Spread | null;
  /** To node:http. Null also where that did not take part. */
  readonly ratio: Spread | null;
  readonly requestsPerSecond: Spread | null;
  readonly p50Us: Spread | null;
  readonly p99Us: Spread | null;
  readonly residentBytes: Spread | null;
  readonly errors: number;
  readonly refused: number;
}

export interface PeerResult {
  readonly peer: string;
  readonly title: string;
  readonly version: string;
  /** In their order; null for one that could not be completed. */
  readonly rounds: readonly (Round | null)[];
  readonly summary: Summary;
  /** Why rounds are missing. */
  readonly remarks: readonly string[];
}

export interface WorkloadResult {
  readonly workload: string;
  readonly title: string;
  readonly unit: 'us' | 'bytes';
  readonly peers: readonly PeerResult[];
}

export interface Results {
  readonly date: string;
  readonly command: string;
  readonly commit: string;
  readonly machine: Machine;
  readonly load: string;
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly workloads: readonly WorkloadResult[];
  /** Peers that did not take part, and how to get them. */
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
}

/** A round with errors does not count: a server that drops requests saves their cost. */
export function counts(round: Round | null): round is Round {
  return round !== null && round.errors === 0 && round.refused === 0;
}

function figuresOf(rounds: readonly (Round | null)[]): (number | null)[] {
  return rounds.map((round) => (counts(round) ? round.figure : null));
}

export function summarize(rounds: readonly (Round | null)[], reference: readonly (Round | null)[] | null): Summary {
  const counted = rounds.filter(counts);
  const spread = (value: (round: Round) => number | null) =>
    spreadOrNull(counted.map(value).filter((each) => each !== null));
  const all = rounds.filter((round) => round !== null);
  return {
    figure: spread((round) => round.figure),
    ratio: reference === null ? null : spreadOrNull(ratios(figuresOf(rounds), figuresOf(reference))),
    requestsPerSecond: spread((round) => round.requestsPerSecond),
    p50Us: spread((round) => round.p50Us),
    p99Us: spread((round) => round.p99Us),
    residentBytes: spread((round) => round.residentBytes),
    errors: all.reduce((sum, round) => sum + round.errors, 0),
    refused: all.reduce((sum, round) => sum + round.refused, 0),
  };
}

function spreadOrNull(values: readonly number[]): Spread | null {
  return values.length === 0 ? null : spreadOf(values);
}
