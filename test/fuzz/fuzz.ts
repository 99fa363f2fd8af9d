/**
 * npm run fuzz: feeds the server's protocol core with damaged requests, or TLS with damaged hellos and records, until something breaks or the time is over.
 *
 * The work is done in a thread of its own, and this one watches it: an input that never comes to an end is a find, too, and only
 * somebody else can notice. A find is shrunk, printed, and appended to the regressions, which every `npm test` replays.
 * Then the run ends, with exit code 1.
 */

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import type { FromWorker, ToWorker } from './fuzz-worker.ts';
import { Heartbeat } from './heartbeat.ts';
import { appendRegression, inputOf, lineOf, REGRESSIONS, TLS_REGRESSIONS } from './regressions.ts';

const USAGE = `Usage: npm run fuzz -- [options]
  --target NAME        http, or tls: ClientHellos and records (http)
  --minutes NUMBER     how long (1)
  --executions NUMBER  how many inputs, if that is reached before (no limit)
  --seed NUMBER        which inputs; the same seed makes the same (chosen by the clock)
  --patience SECONDS   how long one input may take (10)
  --checks FILE        the module whose \`checks\` are run (our own)
  --regressions FILE   where finds are written down (test/fuzz/regressions.txt, or tls-regressions.txt)
  --help               show this`;

const PROGRESS_MS = 5_000;
const LOOK_MS = 100;
const MINUTE_MS = 60_000;
const SECOND_MS = 1_000;
const MEGABYTE = 1024 * 1024;

const targets: Readonly<Record<string, { readonly checks: string; readonly regressions: string }>> = {
  http: { checks: join(import.meta.dirname, 'checks.js'), regressions: REGRESSIONS },
  tls: { checks: join(import.meta.dirname, 'tls-checks.js'), regressions: TLS_REGRESSIONS },
};

interface Options {
  readonly runMs: number;
  readonly executions: number;
  readonly seed: number;
  readonly patienceMs: number;
  readonly checks: string;
  readonly regressions: string;
}

/** Throws RangeError with one sentence about what is wrong; null for --help. */
function optionsFrom(args: readonly string[]): Options | null {
  const { values } = parseArgs({
    args: [...args],
    options: {
      target: { type: 'string', default: 'http' },
      minutes: { type: 'string', default: '1' },
      executions: { type: 'string' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      patience: { type: 'string', default: '10' },
      checks: { type: 'string' },
      regressions: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const target = targets[values.target];
  if (target === undefined)
    throw new RangeError(`--target is ${Object.keys(targets).join(' or ')}, not '${values.target}'`);
  const { executions } = values;
  return {
    executions: executions === undefined ? Number.POSITIVE_INFINITY : numberIn('--executions', executions),
    runMs: numberIn('--minutes', values.minutes) * MINUTE_MS,
    seed: numberIn('--seed', values.seed),
    patienceMs: numberIn('--patience', values.patience) * SECOND_MS,
    checks: pathToFileURL(values.checks ?? target.checks).href,
    regressions: values.regressions ?? target.regressions,
  };
}

function numberIn(option: string, text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0) || !Number.isFinite(value)) {
    throw new RangeError(`${option} is a number, not '${text}'`);
  }
  return value;
}

/** How a run ended: a find, as a line of the regressions, or the number of executions. */
interface Outcome {
  readonly executions: number;
  readonly find: { readonly what: string; readonly line: string } | null;
}

function run(options: Options, say: (line: string) => void): Promise<Outcome> {
  const heartbeat = new Heartbeat();
  const startedAt = performance.now();
  const data: ToWorker = { seed: options.seed, checks: options.checks, memory: heartbeat.memory };
  const worker = new Worker(new URL('fuzz-worker.js', import.meta.url), { workerData: data });
  let lastBeat = heartbeat.count;
  let lastBeatAt = startedAt;
  let lastSaidAt = startedAt;
  return new Promise((resolve, reject) => {
    const watch = setInterval(() => {
      const now = performance.now();
      if (heartbeat.count !== lastBeat) {
        lastBeat = heartbeat.count;
        lastBeatAt = now;
      } else if (heartbeat.count > 0 && now - lastBeatAt > options.patienceMs) {
        end({ what: `no end after ${options.patienceMs} ms`, line: heartbeat.line });
      }
      if (now - lastSaidAt > PROGRESS_MS) {
        lastSaidAt = now;
        say(progressLine(now - startedAt, heartbeat.executions));
      }
      const isEnough = now - startedAt > options.runMs || heartbeat.executions >= options.executions;
      if (isEnough && !heartbeat.isShrinking) end(null);
    }, LOOK_MS);
    const end = (find: Outcome['find']) => {
      clearInterval(watch);
      const { executions } = heartbeat;
      say(progressLine(performance.now() - startedAt, executions));
      void worker.terminate().then(() => resolve({ executions, find }));
    };
    worker.once('message', ({ what, line }: FromWorker) => end({ what, line }));
    worker.once('error', (error) => {
      clearInterval(watch);
      reject(error);
    });
  });
}

function progressLine(elapsedMs: number, executions: number): string {
  const seconds = elapsedMs / SECOND_MS;
  const rate = Math.round(executions / seconds);
  const megabytes = Math.round(process.memoryUsage.rss() / MEGABYTE);
  return `${seconds.toFixed(0).padStart(6)} s  ${executions.toLocaleString('en')} executions  ${rate.toLocaleString('en')}/s  ${megabytes} MB`;
}

async function main(): Promise<void> {
  const options = optionsFrom(process.argv.slice(2));
  if (options === null) {
    console.log(USAGE);
    return;
  }
  const { seed, regressions } = options;
  console.log(`seed ${seed}`);
  const { executions, find } = await run(options, console.log);
  if (find === null) {
    console.log(`nothing found in ${executions.toLocaleString('en')} executions`);
    return;
  }
  const input = inputOf(find.line);
  appendRegression(`seed ${seed}: ${find.what}`, input, regressions);
  console.log(`\nFOUND: ${find.what}\n`);
  console.log(`  ${lineOf(input)}\n`);
  console.log(`Written to ${regressions}. The whole run again: npm run fuzz -- --seed ${seed}`);
  process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  // One sentence for a mistake on the command line, all there is for anything else.
  const isMistake = error instanceof RangeError || (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS');
  console.error(isMistake ? `${(error as Error).message}\n${USAGE}` : error);
  process.exitCode = 2;
}
