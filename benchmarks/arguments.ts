/**
 * Arguments: parses the command line of the benchmark, or throws one sentence that says what is wrong.
 *
 * Next: bench.ts
 */

import { parseArgs } from 'node:util';
import type { LoadName } from './load.ts';

export interface BenchArguments {
  readonly peers: readonly string[];
  readonly workloads: readonly string[];
  readonly rounds: number;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  /** Null: wrk if it is installed, otherwise our own. */
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
}

export const DEFAULT_ROUNDS = 5;
export const DEFAULT_SECONDS = 2;

/** Fewer rounds do not show how much they differ. */
const LEAST_ROUNDS = 3;
const MAX_ROUNDS = 101;
const MAX_SECONDS = 600;
const WARM_UP_SECONDS = 1;

/** One short round: to see that everything works, not to measure. */
const QUICK = { rounds: 1, seconds: 0.5, warmUpSeconds: 0.2 };

/** Throws RangeError with one sentence. */
export function parseArguments(args: readonly string[], choices: Choices): BenchArguments {
  const { values } = parseOptions(args);
  const { rounds, seconds, load = null, output = null, quick, micro, help } = values;
  if (load !== null && load !== 'wrk' && load !== 'own') {
    throw new RangeError(`--load is wrk or own, not '${load}'`);
  }
  const defaults = quick ? QUICK : { rounds: DEFAULT_ROUNDS, seconds: DEFAULT_SECONDS, warmUpSeconds: WARM_UP_SECONDS };
  return {
    peers: namesIn('--peers', values.peers, choices.peers, choices.defaultPeers),
    workloads: namesIn('--workload', values.workload, choices.workloads, quick ? ['hello'] : choices.defaultWorkloads),
    rounds: numberIn('--rounds', rounds, LEAST_ROUNDS, MAX_ROUNDS, true) ?? defaults.rounds,
    seconds: numberIn('--seconds', seconds, 0.1, MAX_SECONDS, false) ?? defaults.seconds,
    warmUpSeconds: defaults.warmUpSeconds,
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
  --rounds NUMBER   how often, at least ${LEAST_ROUNDS} (${DEFAULT_ROUNDS})
  --seconds NUMBER  how long each round (${DEFAULT_SECONDS}); wrk takes whole seconds
  --load NAME       wrk, or own: the generator of this repository (wrk where it is installed)
  --output FOLDER   where latest.json, latest.md and latest.svg go (benchmarks/results)
  --quick           one short round, to see that it works
  --micro           parts of the server by themselves: parser, router, response head
  --help            show this`;
}
