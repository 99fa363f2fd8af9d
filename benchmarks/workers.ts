/**
 * What a request costs in one process, with one worker, with two, and with metrics.
 *
 *     npm run bench:workers -- --cycles 16 --seconds 0.5 --connections 64
 *
 * All servers are alive at once and take turns. No process has a core of its own, and two generators ask at once: with a single one, two workers on two cores would wait
 * more often than one, and each wake-up is then paid for fewer requests.
 *
 * Next: statistics.ts
 */

import { writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { beginRun } from './children.ts';
import { chooseLoad } from './choose-load.ts';
import { type CpuReading, cpuBetween } from './cpu-time.ts';
import { orderOf } from './schedule.ts';
import { ServerProcess } from './server-process.ts';
import { ratios, spreadOf } from './statistics.ts';

const GENERATORS = 2;
const WARM_UP_SECONDS = 4;

const { values } = parseArgs({
  options: {
    cycles: { type: 'string', default: '16' },
    seconds: { type: 'string', default: '0.5' },
    connections: { type: 'string', default: '64' },
    backend: { type: 'string', default: 'epoll' },
  },
});
const cycles = Number(values.cycles);
const connectionsEach = Math.max(1, Math.round(Number(values.connections) / GENERATORS));

const folder = beginRun('workers');
const requestFile = join(folder, 'request');
writeFileSync(requestFile, 'GET /hello HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');

/** How the site is served. */
interface Way {
  readonly title: string;
  /** Options of `serve`. */
  readonly options: object;
  /** The title of the way with which it is compared. */
  readonly against: string | null;
}

/** `figures` are microseconds of CPU for each request, of all processes of the server. */
interface Measured extends Way {
  readonly server: ServerProcess;
  readonly figures: number[];
}

const { load, reason } = chooseLoad(null, folder, undefined);
if (reason !== null) console.log(reason);

async function usPerRequest(server: ServerProcess, seconds: number): Promise<number> {
  const order = { port: server.port, requestFile, socket: null, pipeline: 1, rate: null, tls: null, seconds };
  const runs = Array.from({ length: GENERATORS }, async () => {
    const readings: CpuReading[] = [];
    const read = () => void readings.push(server.readCpu());
    const result = await load.run({ ...order, connections: connectionsEach }, { begin: read, end: read });
    if (result.errors + result.refused > 0) throw new Error(`${result.errors} errors, ${result.refused} refused`);
    const [before, after] = readings as [CpuReading, CpuReading];
    return { requests: result.requests, us: cpuBetween(before, after) };
  });
  const found = await Promise.all(runs);
  const sum = (key: 'requests' | 'us') => found.reduce((total, each) => total + each[key], 0);
  return sum('us') / GENERATORS / sum('requests'); // each generator has seen the CPU time of all requests
}

const program = join(import.meta.dirname, 'servers/workers-server.js');
const ways: readonly Way[] = [
  { title: 'one process', options: {}, against: null },
  { title: 'one worker', options: { workers: 1 }, against: 'one process' },
  { title: 'two workers', options: { workers: 2 }, against: 'one worker' },
  { title: 'with metrics', options: { metrics: {} }, against: 'one process' },
];

const measured: Measured[] = [];
for (const way of ways) {
  const command = [process.execPath, program, JSON.stringify({ backend: values.backend, ...way.options })];
  const server = await ServerProcess.start({ ...way, collectsOnRequest: false }, command, folder, null, undefined);
  await usPerRequest(server, WARM_UP_SECONDS);
  measured.push({ ...way, server, figures: [] });
}
console.log(
  `${values.backend}, ${GENERATORS * connectionsEach} connections, ${cycles} cycles; load average ${loadavg()[0]?.toFixed(1)}`,
);
for (let cycle = 0; cycle < cycles; cycle++) {
  for (const { server, figures } of orderOf(measured, cycle)) {
    figures.push(await usPerRequest(server, Number(values.seconds)));
  }
}
for (const { title, against, server, figures } of measured) {
  const reference = measured.find((each) => each.title === against);
  const compared = reference === undefined ? null : spreadOf(ratios(figures, reference.figures));
  const times =
    compared && `${compared.median.toFixed(3)} (${compared.q1.toFixed(3)} to ${compared.q3.toFixed(3)}) of ${against}`;
  console.log(`${title}: ${spreadOf(figures).median.toFixed(2)} us${times === null ? '' : `, ${times}`}`);
  await server.stop();
}
