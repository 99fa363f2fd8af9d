/**
 * Arguments: parses the command line of the benchmark, or throws one sentence that says what is wrong.
 *
 * Next: bench.ts
 */

import { parseArgs } from 'node:util';
import { type LoadName, loadNames } from './load.ts';

export interface BenchArguments {
  readonly peers: readonly string[];
  readonly workloads: readonly string[];
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  /** The peer with which all are compared. Null if the default one does not take part. */
  readonly reference: string | null;
  /** Each round in a fresh process, instead of all servers alive at once. */
  readonly isFresh: boolean;
  /** Processes of each peer that are alive at once. */
  readonly processes: number;
  /** Null: the best one that can run here. */
  readonly load: LoadName | null;
  readonly output: string | null;
  readonly micro: boolean;
  readonly help: boolean;
}

export interface Choices {
  readonly peers: readonly string[];
  readonly defaultPeers: readonly string[];
  readonly workloads: readonly string[];
  readonly defaultWorkloads: readonly string[];
  readonly defaultReference: string;
}

/** In slices, an even number: then both orders are measured equally often. */
const SLICES = { rounds: 10, seconds: 1, warmUpSeconds: 2 };
const FRESH = { rounds: 5, seconds: 2, warmUpSeconds: 1 };

/** Fewer rounds do not show how much they differ. */
const LEAST_ROUNDS = 3;
const MAX_ROUNDS = 101;
const MAX_SECONDS = 600;
const MAX_PROCESSES = 16;

/** One short round: to see that everything works, not to measure. */
const QUICK = { rounds: 1, seconds: 0.5, warmUpSeconds: 0.2 };

/** Throws RangeError with one sentence. */
export function parseArguments(args: readonly string[], choices: Choices): BenchArguments {
  const { values } = parseOptions(args);
  const { rounds, seconds, processes, load = null, output = null, fresh, quick, micro, help } = values;
  if (load !== null && !isLoadName(load)) throw new RangeError(`--load is uring, wrk or own, not '${load}'`);
  if (fresh && processes !== undefined)
    throw new RangeError('--fresh has one process at a time, so --processes has no meaning');
  const usual = fresh ? FRESH : SLICES;
  const defaults = quick ? QUICK : usual;
  const peers = namesIn('--peers', values.peers, choices.peers, choices.defaultPeers);
  return {
    peers,
    reference: referenceIn(values.reference, peers, choices.defaultReference),
    isFresh: fresh,
    processes: numberIn('--processes', processes, 1, MAX_PROCESSES, true) ?? 1,
    workloads: namesIn('--workload', values.workload, choices.workloads, quick ? ['hello'] : choices.defaultWorkloads),
    rounds: numberIn('--rounds', rounds, LEAST_ROUNDS, MAX_ROUNDS, true) ?? defaults.rounds,
    seconds: numberIn('--seconds', seconds, 0.1, MAX_SECONDS, false) ?? defaults.seconds,
    warmUpSeconds: numberIn('--warm-up', values['warm-up'], 0.1, MAX_SECONDS, false) ?? defaults.warmUpSeconds,
    load,
    output,
    micro,
    help,
  };
}

function parseOptions(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        peers: { type: 'string' },
        workload: { type: 'string' },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        'warm-up': { type: 'string' },
        fresh: { type: 'boolean', default: false },
        processes: { type: 'string' },
        reference: { type: 'string' },
        load: { type: 'string' },
        output: { type: 'string' },
        quick: { type: 'boolean', default: false },
        micro: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    // Only the first sentence: parseArgs adds advice about positional arguments, and this program has none.
    throw new RangeError((error as Error).message.split('. ')[0] ?? '');
  }
}

function namesIn(
  option: string,
  given: string | undefined,
  known: readonly string[],
  defaults: readonly string[],
): readonly string[] {
  if (given === undefined) return defaults;
  if (given === 'all') return known;
  const names = [...new Set(given.split(',').map((name) => name.trim()))];
  for (const name of names) {
    if (!known.includes(name)) throw new RangeError(`${option} knows all, ${known.join(', ')}, but not '${name}'`);
  }
  return names;
}

function isLoadName(name: string): name is LoadName {
  return (loadNames as readonly string[]).includes(name);
}

function referenceIn(given: string | undefined, peers: readonly string[], usual: string): string | null {
  if (given === undefined) return peers.includes(usual) ? usual : null;
  if (!peers.includes(given))
    throw new RangeError(`--reference is one of --peers, ${peers.join(', ')}, not '${given}'`);
  return given;
}

function numberIn(option: string, given: string | undefined, least: number, most: number, isWhole: boolean) {
  if (given === undefined) return undefined;
  const value = given.trim() === '' ? Number.NaN : Number(given);
  if (!(value >= least && value <= most) || (isWhole && !Number.isInteger(value))) {
    throw new RangeError(`${option} is a ${isWhole ? 'whole ' : ''}number from ${least} to ${most}, not '${given}'`);
  }
  return value;
}

export function usageOf(choices: Choices): string {
  return `Usage: npm run bench -- [options]
  --peers LIST      who takes part, or all (${choices.defaultPeers.join(',')})
                    ${choices.peers.join(', ')}
  --workload LIST   what is asked of them, or all (${choices.defaultWorkloads.join(',')})
                    ${choices.workloads.join(', ')}
  --reference NAME  the peer with which all are compared (${choices.defaultReference})
  --rounds NUMBER   how often, at least ${LEAST_ROUNDS} (${SLICES.rounds}; ${FRESH.rounds} with --fresh)
  --seconds NUMBER  how long each time (${SLICES.seconds}; ${FRESH.seconds} with --fresh); wrk takes whole seconds
  --warm-up NUMBER  how many seconds each server is warmed up (${SLICES.warmUpSeconds}; ${FRESH.warmUpSeconds} with --fresh); more on a busy machine
  --processes N     how many processes of each peer are alive at once (1)
  --fresh           each round in a fresh process, instead of all servers alive at once
  --load NAME       uring: C on io_uring; wrk; own: in TypeScript (the first of them that can run here)
  --output FOLDER   where latest.json, latest.md and latest.svg go (benchmarks/results)
  --quick           one short round, to see that it works
  --micro           parts of the server by themselves: parser, router, response head
  --help            show this`;
}
