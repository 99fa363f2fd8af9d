/**
 * What a listener of events costs: resident memory for each, and CPU time for each event that one of them gets, beside node:http.
 *
 *     npm run bench:events -- --listeners 10000 --events 5 --cycles 10
 *
 * Memory is the growth of the server's resident memory, after a garbage collection, divided by the listeners. It is read when all listeners have got a few events, because
 * a broadcast may leave something behind. It has what the process needs once, such as a larger young generation, and nothing of the kernel's. CPU time is that of the server from the first event of a
 * slice to the last; an event is sent when all listeners have the one before. All servers are alive at once and take turns, as in schedule.ts.
 *
 * All servers send the same bytes: a chunk of 114 bytes. None has a heartbeat, because node:http has none.
 *
 * A program in C that sends and does nothing else takes part where there is a compiler: what it costs is the kernel's, and no server that calls send(2) for each
 * listener can go below.
 *
 * Next: statistics.ts
 */

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { compileC, NotCompiled } from './c-programs.ts';
import { beginRun, endChild, firstLineOf, startChild } from './children.ts';
import { chooseCores, pinned } from './cores.ts';
import { cpuBetween, readCpu, residentBytes } from './cpu-time.ts';
import { orderOf } from './schedule.ts';
import { ratios, spreadOf } from './statistics.ts';

const START_MS = 15_000;
const COLLECTION_MS = 500;
const WARM_UP_EVENTS = 5;

/** `data: `, the data and the empty line, as one chunk with its size in two digits. */
const CHUNK_BYTES = '6c\r\n'.length + 'data: '.length + 100 + '\n\n'.length + '\r\n'.length;

const { values } = parseArgs({
  options: {
    listeners: { type: 'string', default: '10000' },
    events: { type: 'string', default: '5' },
    cycles: { type: 'string', default: '10' },
  },
});
const listeners = Number(values.listeners);
const events = Number(values.events);
const cycles = Number(values.cycles);
const cores = chooseCores();

/** A server with all its listeners. */
interface Broadcaster {
  readonly name: string;
  readonly server: ChildProcess;
  readonly clients: ChildProcess;
  readonly lines: Interface;
  readonly canCollect: boolean;
  /** Resident memory before the first listener. */
  readonly bytesBefore: number;
  bytesPerListener: number;
  /** Microseconds for an event of a listener, one for each slice. */
  readonly slices: number[];
}

async function settledBytes({ server, canCollect }: Pick<Broadcaster, 'server' | 'canCollect'>): Promise<number> {
  if (canCollect) server.kill('SIGUSR2');
  await sleep(COLLECTION_MS);
  return residentBytes(server.pid as number);
}

async function start(name: string, command: readonly string[], canCollect: boolean): Promise<Broadcaster> {
  const server = startChild(pinned(command, cores?.server));
  const port = await firstLineOf(server, START_MS);
  const bytesBefore = await settledBytes({ server, canCollect });
  const load = join(import.meta.dirname, 'load/event-listeners.js');
  const clients = startChild(
    pinned([process.execPath, load, port, String(listeners), String(CHUNK_BYTES)], cores?.load),
  );
  const lines = createInterface(clients.stdout as NodeJS.ReadableStream);
  await once(lines, 'line');
  return { name, server, clients, lines, canCollect, bytesBefore, bytesPerListener: 0, slices: [] };
}

async function sendAll({ server, lines }: Broadcaster, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    server.stdin?.write('\n');
    await once(lines, 'line');
  }
}

async function runSlice(broadcaster: Broadcaster): Promise<void> {
  const pid = broadcaster.server.pid as number;
  const before = readCpu(pid);
  await sendAll(broadcaster, events);
  broadcaster.slices.push(cpuBetween(before, readCpu(pid)) / events / listeners);
}

function lineOf(broadcaster: Broadcaster, reference: Broadcaster): string {
  const { name, bytesPerListener, slices } = broadcaster;
  const memory = `${bytesPerListener.toFixed(0)} bytes a listener (${(bytesPerListener / reference.bytesPerListener).toFixed(2)})`;
  const { median, q1, q3 } = spreadOf(ratios(slices, reference.slices));
  const ratio = `${median.toFixed(2)}, ${q1.toFixed(2)} to ${q3.toFixed(2)}`;
  return `${name}: ${memory}, ${spreadOf(slices).median.toFixed(2)} us an event (${ratio})`;
}

/** Returns null without a compiler. */
function sendOnlyCommand(folder: string): readonly string[] | null {
  try {
    return [compileC('event-server', folder)];
  } catch (error) {
    if (!(error instanceof NotCompiled)) throw error;
    console.log(`left out: C, send(2) alone, ${error.message}`);
    return null;
  }
}

const folder = beginRun('events');

const program = join(import.meta.dirname, 'servers/event-site.js');
const running: Broadcaster[] = [];
for (const name of ['node', 'simplenet', 'simplenet-uring']) {
  running.push(await start(name, [process.execPath, '--expose-gc', program, name], true));
}
const sendOnly = sendOnlyCommand(folder);
if (sendOnly !== null) running.push(await start('C, send(2) alone', sendOnly, false));
for (const each of running) {
  await sendAll(each, WARM_UP_EVENTS);
  each.bytesPerListener = ((await settledBytes(each)) - each.bytesBefore) / listeners;
}
for (let cycle = 0; cycle < cycles; cycle++) {
  for (const each of orderOf(running, cycle)) await runSlice(each);
}
console.log(
  `${listeners} listeners, ${cycles} slices of ${events} events; load average ${loadavg()[0]?.toFixed(1)}; ratios to node:http`,
);
for (const each of running) console.log(lineOf(each, running[0] as Broadcaster));
for (const { server, clients } of running) {
  await endChild(clients);
  await endChild(server);
}
