/**
 * What a server does with twice as many requests as it can serve.
 *
 *     npm run bench:overload -- --seconds 5 --connections 2000
 *
 * First each server gets as many requests as it can answer: that is its capacity. Then requests come at twice that rate. What counts is how many
 * are served within a second of their arrival, and how long those wait that are served.
 *
 * Next: statistics.ts
 */

import type { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { beginRun, endChild, firstLineOf, outputOf, startChild } from './children.ts';
import { chooseCores, pinned } from './cores.ts';
import type { Arrived } from './load/arrivals.ts';
import type { LoadResult } from './load.ts';

const START_MS = 15_000;
const CAPACITY_CONNECTIONS = 64;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    connections: { type: 'string', default: '2000' },
    times: { type: 'string', default: '2' },
  },
});
const seconds = Number(values.seconds);
const times = Number(values.times);
const cores = chooseCores();

const folder = beginRun('overload');
const requestFile = join(folder, 'request');
writeFileSync(requestFile, 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');

function load(program: string, args: readonly string[]): Promise<string> {
  return outputOf(pinned([process.execPath, join(import.meta.dirname, `load/${program}.js`), ...args], cores?.load));
}

/** Requests a second that the server answers while it always has one more. */
async function capacityOf(port: string): Promise<number> {
  const order = { port: Number(port), connections: CAPACITY_CONNECTIONS, pipeline: 1, seconds, requestFile };
  const result = JSON.parse(await load('clients', [JSON.stringify(order)])) as LoadResult;
  return result.requests / result.seconds;
}

function lineOf(title: string, capacity: number, arrived: Arrived): string {
  const { sent, served, inTime, p50Ms, p99Ms, turnedAway } = arrived;
  const share = ((100 * inTime) / seconds / capacity).toFixed(0);
  return [
    `${title}: capacity ${capacity.toFixed(0)}/s; of ${(sent / seconds).toFixed(0)}/s`,
    `${(inTime / seconds).toFixed(0)} served within a second (${share} % of the capacity)`,
    `${(served / seconds).toFixed(0)} served at all, p50 ${p50Ms.toFixed(0)} ms, p99 ${p99Ms.toFixed(0)} ms`,
    `${(turnedAway / seconds).toFixed(0)} turned away`,
  ].join(', ');
}

const program = join(import.meta.dirname, 'servers/overload-site.js');
const titles = { node: 'node:http', simplenet: 'simplenet', 'simplenet-loop-delay': 'simplenet, loopDelayMs 100' };
console.log(`${times} times the capacity for ${seconds} s; load average ${loadavg()[0]?.toFixed(1)}`);
for (const [name, title] of Object.entries(titles)) {
  const server: ChildProcess = startChild(pinned([process.execPath, program, name], cores?.server));
  const port = await firstLineOf(server, START_MS);
  const capacity = await capacityOf(port);
  const rate = Math.round(times * capacity);
  const output = await load('arrivals', [port, rate, seconds, values.connections].map(String));
  console.log(lineOf(title, capacity, JSON.parse(output) as Arrived));
  await endChild(server);
}
