/**
 * soak: hours of everything at once, and a judgement: does the server still weigh what it weighed at the beginning?
 *
 *     npm run soak -- --minutes 60 --output soak.svg
 *
 * The server is a process of its own. Once a second its resident memory, its heap, the memory of its buffers and its open
 * descriptors are noted. The first part of the time is warm-up, in which V8's heap finds its size. After that all lines must
 * be flat (flatness.ts), all clients
 * must have been answered as they should, and when they have left, as many descriptors must be open as before they came.
 * Otherwise the exit code is 1.
 */

import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { Backend } from '../../simplenet/index.ts';
import { certificateFor } from '../support/certificates.ts';
import { ServerProcess } from '../support/server-process.ts';
import { type Bounds, flatnessOf, floorOf, LEAST_SAMPLES, type Sample } from './flatness.ts';
import { Load } from './load.ts';
import { csvOf, type Line, plotOf, svgOf } from './plot.ts';

const usage = `Usage: npm run soak -- [options]
  --minutes NUMBER  how long, 10 unless given
  --tls             over HTTPS
  --backend NAME    epoll or io_uring, what SIMPLENET_BACKEND says unless given
  --output FILE     write the measurements to a file that ends in .svg or .csv
  --help            show this`;

const MINUTE_MS = 60_000;
const SAMPLE_MS = 1_000;

/** Idle clients wait for their end (load.ts), and none has so much patience as the default. */
const IDLE_MS = 10_000;

/** A client that has closed looks like one that has ended its side and waits: its handler may go on for 10 s. */
const PATIENCE_MS = 20_000;
const MAX_MINUTES = 7 * 24 * 60;
const MEGABYTE = 1024 * 1024;

/** So much of the time is warm-up, but not more than a few minutes. */
const WARM_UP_SHARE = 0.3;
const MAX_WARM_UP_MS = 5 * MINUTE_MS;

/** V8 needs about a minute to settle: of less time, memory says nothing. */
const LEAST_MINUTES_FOR_MEMORY = 2;

/** A garbage collection more or less is some megabytes. */
const memoryBounds: Bounds = { share: 0.08, amount: 6 * MEGABYTE };
/** What lives in the heap of a server is a few megabytes. Code that V8 optimizes late is some hundred kilobytes. */
const heapBounds: Bounds = { share: 0.08, amount: 0.5 * MEGABYTE };
/** At any moment some clients are at a large answer or body, and others are not. */
const bufferBounds: Bounds = { share: 0.08, amount: 2 * MEGABYTE };
/** Clients come and go. */
const descriptorBounds: Bounds = { share: 0.08, amount: 8 };

interface Settings {
  readonly minutes: number;
  readonly backend: Backend | undefined;
  readonly output: string | null;
  readonly isSecure: boolean;
}

function settings(): Settings | null {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '10' },
      tls: { type: 'boolean', default: false },
      backend: { type: 'string' },
      output: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const minutes = Number(values.minutes);
  if (!(minutes > 0) || minutes > MAX_MINUTES) {
    throw new RangeError(`--minutes must be a number above 0 and up to ${MAX_MINUTES}, not '${values.minutes}'`);
  }
  const { output = null } = values;
  if (output !== null && !/\.(svg|csv)$/.test(output)) {
    throw new RangeError(`--output must end in .svg or .csv, not '${output}'`);
  }
  return { minutes, backend: values.backend as Backend | undefined, output, isSecure: values.tls };
}

interface Measurements {
  readonly memory: Sample[];
  readonly heap: Sample[];
  readonly buffers: Sample[];
  readonly descriptors: Sample[];
}

/** One of each a second, for that long. */
async function measure(server: ServerProcess, durationMs: number): Promise<Measurements> {
  const memory: Sample[] = [];
  const heap: Sample[] = [];
  const buffers: Sample[] = [];
  const descriptors: Sample[] = [];
  const startedAt = performance.now();
  for (let next = SAMPLE_MS; next <= durationMs; next += SAMPLE_MS) {
    await new Promise((resolve) => setTimeout(resolve, startedAt + next - performance.now()));
    const atMs = performance.now() - startedAt;
    memory.push({ atMs, value: server.rssBytes });
    descriptors.push({ atMs, value: server.descriptors.all });
    const { heapBytes, bufferBytes } = await server.state();
    heap.push({ atMs, value: heapBytes });
    buffers.push({ atMs, value: bufferBytes });
  }
  return { memory, heap, buffers, descriptors };
}

/** A sentence, and whether it is a good one. */
interface Finding {
  readonly isGood: boolean;
  readonly text: string;
}

function findingOf(what: string, samples: readonly Sample[], bounds: Bounds, unit: number, name: string): Finding {
  if (samples.length < LEAST_SAMPLES) return { isGood: true, text: `${what}: too short to judge` };
  const { isFlat, level, slopeRise, thirdsRise, bound, risesPerMinute } = flatnessOf(samples, bounds);
  const show = (value: number, digits = 2) => (value / unit).toFixed(digits);
  const rises = `its line rises by ${show(slopeRise)}, its last third is ${show(thirdsRise)} above the first`;
  const [first, second] = risesPerMinute.map((rise) => show(rise, 4));
  const halves = `in a minute it rises by ${first} in the first half and by ${second} in the second`;
  const text = `${what}: ${show(level)} ${name}; ${rises}; ${show(bound)} are allowed; ${halves}`;
  return { isGood: isFlat, text };
}

async function soak({ minutes, backend, output, isSecure }: Settings): Promise<boolean> {
  const durationMs = minutes * MINUTE_MS;
  const warmUpMs = Math.min(durationMs * WARM_UP_SHARE, MAX_WARM_UP_MS);
  // As a server that nobody looks into: no garbage is collected because it is asked how it is.
  const tls = isSecure ? { tls: certificateFor('localhost') } : {};
  const server = await ServerProcess.start(
    { timeouts: { idleMs: IDLE_MS }, ...tls, ...(backend === undefined ? {} : { backend }) },
    { nodeOptions: [] },
  );
  try {
    const before = server.descriptors.all;
    const load = new Load(server.port, isSecure);
    const { memory, heap, buffers, descriptors } = await measure(server, durationMs);
    await load.stop();
    const state = await server.quiet(PATIENCE_MS);
    const after = server.descriptors.all;
    const inMegabytes = (samples: readonly Sample[]) =>
      samples.map(({ atMs, value }) => ({ atMs, value: value / MEGABYTE }));
    const lines: Line[] = [
      { title: 'resident memory', unit: 'MB', samples: inMegabytes(memory), judgedFromMs: warmUpMs },
      { title: 'used heap', unit: 'MB', samples: inMegabytes(heap), judgedFromMs: warmUpMs },
      { title: 'buffers outside the heap', unit: 'MB', samples: inMegabytes(buffers), judgedFromMs: warmUpMs },
      { title: 'open descriptors', unit: 'of the server', samples: descriptors, judgedFromMs: warmUpMs },
    ];
    const judged = (samples: readonly Sample[]) => samples.filter(({ atMs }) => atMs >= warmUpMs);
    const isLongEnough = minutes >= LEAST_MINUTES_FOR_MEMORY;
    const judgedMemory = isLongEnough ? judged(memory) : [];
    const judgedHeap = judged(floorOf(heap, MINUTE_MS));
    const judgedBuffers = judged(floorOf(buffers, MINUTE_MS));
    const findings: Finding[] = [
      findingOf('resident memory', judgedMemory, memoryBounds, MEGABYTE, 'MB'),
      findingOf('heap, the least of each minute', judgedHeap, heapBounds, MEGABYTE, 'MB'),
      findingOf('buffers outside the heap, the least of each minute', judgedBuffers, bufferBounds, MEGABYTE, 'MB'),
      findingOf('open descriptors', judged(descriptors), descriptorBounds, 1, 'of them'),
      {
        isGood: before === after,
        text: `descriptors before the clients came: ${before}, when they had left: ${after}`,
      },
      { isGood: state.connections === 0, text: `connections left: ${state.connections}` },
      { isGood: state.atWork === 0, text: `handlers left: ${state.atWork}` },
      { isGood: state.sslObjects === 0, text: `SSL objects left: ${state.sslObjects}` },
      ...[...load.failures, ...state.errors].map((text) => ({ isGood: false, text })),
    ];
    const deeds = Object.entries(load.done).map(([name, count]) => `${count} x ${name}`);
    console.log(`\n${lines.map((line) => plotOf(line)).join('\n\n')}\n\n${deeds.join(', ')}\n`);
    for (const { isGood, text } of findings) console.log(`${isGood ? 'good' : 'BAD '}  ${text}`);
    if (output !== null) writeFileSync(output, output.endsWith('.svg') ? svgOf(lines) : csvOf(lines));
    await server.stop();
    return findings.every(({ isGood }) => isGood);
  } finally {
    server.kill();
  }
}

try {
  const chosen = settings();
  if (chosen === null) console.log(usage);
  else if (!(await soak(chosen))) process.exitCode = 1;
} catch (error) {
  console.error((error as Error).message.split('. ')[0]);
  process.exitCode = 1;
}
