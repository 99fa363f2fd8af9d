/**
 * What a listener of events costs: resident memory for each, and CPU time for each event that one of them gets, beside node:http.
 *
 *     npm run bench:events -- --listeners 10000 --events 30
 *
 * Memory is the growth of the server's resident memory, after a garbage collection, divided by the listeners. CPU time is that of the server from the first event to the
 * last; an event is sent when all listeners have the one before.
 *
 * Next: statistics.ts
 */

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { endAllChildren, endChild, firstLineOf, startChild } from './children.ts';
import { chooseCores, pinned } from './cores.ts';
import { cpuBetween, readCpu, residentBytes } from './cpu-time.ts';

const START_MS = 15_000;
const COLLECTION_MS = 500;
const WARM_UP_EVENTS = 5;

/** `data: `, the data and the empty line, as one chunk with its size in two digits. */
const CHUNK_BYTES = '6c\r\n'.length + 'data: '.length + 100 + '\n\n'.length + '\r\n'.length;

const { values } = parseArgs({
  options: { listeners: { type: 'string', default: '10000' }, events: { type: 'string', default: '30' } },
});
const listeners = Number(values.listeners);
const events = Number(values.events);
const cores = chooseCores();

interface Cost {
  readonly bytesPerListener: number;
  readonly microsecondsPerEvent: number;
}

async function settledBytes(server: ChildProcess): Promise<number> {
  server.kill('SIGUSR2');
  await sleep(COLLECTION_MS);
  return residentBytes(server.pid as number);
}

async function costOf(name: string): Promise<Cost> {
  const program = join(import.meta.dirname, 'servers/event-site.js');
  const server = startChild(pinned([process.execPath, '--expose-gc', program, name], cores?.server));
  const port = await firstLineOf(server, START_MS);
  const before = await settledBytes(server);
  const load = join(import.meta.dirname, 'load/event-listeners.js');
  const clients = startChild(
    pinned([process.execPath, load, port, String(listeners), String(CHUNK_BYTES)], cores?.load),
  );
  const lines = createInterface(clients.stdout as NodeJS.ReadableStream);
  const sendAll = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      server.stdin?.write('\n');
      await once(lines, 'line');
    }
  };
  try {
    await once(lines, 'line');
    const bytesPerListener = ((await settledBytes(server)) - before) / listeners;
    await sendAll(WARM_UP_EVENTS);
    const start = readCpu(server.pid as number);
    await sendAll(events);
    const microseconds = cpuBetween(start, readCpu(server.pid as number));
    return { bytesPerListener, microsecondsPerEvent: microseconds / events / listeners };
  } finally {
    await endChild(clients);
    await endChild(server);
  }
}

process.once('exit', endAllChildren);
const node = await costOf('node');
console.log(`${listeners} listeners, ${events} events`);
for (const name of ['node', 'simplenet', 'simplenet-uring']) {
  const { bytesPerListener, microsecondsPerEvent } = name === 'node' ? node : await costOf(name);
  const memory = `${bytesPerListener.toFixed(0)} bytes a listener (${(bytesPerListener / node.bytesPerListener).toFixed(2)})`;
  const time = `${microsecondsPerEvent.toFixed(2)} us an event (${(microsecondsPerEvent / node.microsecondsPerEvent).toFixed(2)})`;
  console.log(`${name}: ${memory}, ${time}`);
}
