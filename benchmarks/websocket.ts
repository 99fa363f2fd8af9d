/**
 * What a WebSocket costs beside `ws` on node:http, Bun and uWebSockets.js: CPU time of the server for each message, and memory of each idle connection.
 *
 *     npm run bench:websocket -- --rounds 5 --seconds 2
 *
 * ws-echo: 64 connections, each of which sends 64 bytes and waits for them. ws-broadcast: one message of 64 bytes to 1,000 connections; the figure is for each that gets it.
 * All servers run at the same time, and are asked in turn, round by round; a ratio is the median of those of the rounds. ws-idle: the growth of resident memory after a garbage collection,
 * divided by 10,000 connections.
 *
 * Next: statistics.ts
 */

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { root } from './c-programs.ts';
import { endAllChildren, endChild, firstLineOf, startChild } from './children.ts';
import { chooseCores, pinned } from './cores.ts';
import { cpuBetween, readCpu, residentBytes } from './cpu-time.ts';
import { MissingPeer, peers } from './peers.ts';
import { ratios, spreadOf } from './statistics.ts';

const START_MS = 30_000;
const COLLECTION_MS = 500;
const WARM_UP_MS = 2_000;
const REFERENCE = 'ws';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    idle: { type: 'string', default: '10000' },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const idleConnections = Number(values.idle);
const cores = chooseCores();
const env = { SITE: join(import.meta.dirname, 'site.js') };
const peersFolder = join(root, 'benchmarks/peers');

/** The command of a peer of `npm run bench`, with another program; null if it cannot run here. */
function commandOf(name: string, program: string): readonly string[] | null {
  try {
    const { command } = (peers.find((peer) => peer.name === name) as (typeof peers)[number]).prepare('');
    return command.map((part) => (part.endsWith(`${name}.mjs`) ? join(peersFolder, program) : part));
  } catch (error) {
    if (!(error instanceof MissingPeer)) throw error;
    console.log(`left out: ${name} ${error.message}`);
    return null;
  }
}

const node = [process.execPath, '--expose-gc'];
const ownSite = join(import.meta.dirname, 'servers/socket-site.js');
const commands: Readonly<Record<string, readonly string[] | null>> = {
  [REFERENCE]: [...node, join(peersFolder, 'ws-sockets.mjs')],
  simplenet: [...node, ownSite, 'epoll'],
  'simplenet-uring': [...node, ownSite, 'io_uring'],
  bun: commandOf('bun', 'bun-sockets.mjs'),
  uws: commandOf('uws', 'uws-sockets.mjs'),
};

interface Entrant {
  readonly name: string;
  readonly server: ChildProcess;
  readonly clients: ChildProcess;
  readonly lines: Interface;
  readonly figures: number[];
}

async function settledBytes(server: ChildProcess): Promise<number> {
  server.kill('SIGUSR2');
  await sleep(COLLECTION_MS);
  return residentBytes(server.pid as number);
}

async function startServer(command: readonly string[]): Promise<{ server: ChildProcess; port: string }> {
  const server = startChild(pinned(command, cores?.server), env);
  return { server, port: await firstLineOf(server, START_MS) };
}

async function startClients(port: string, mode: string, connections: number) {
  const program = join(import.meta.dirname, 'load/socket-clients.js');
  const clients = startChild(pinned([process.execPath, program, port, mode, String(connections)], cores?.load));
  const lines = createInterface(clients.stdout as NodeJS.ReadableStream);
  await once(lines, 'line');
  return { clients, lines };
}

/** Returns microseconds for each message. */
async function work({ server, clients, lines }: Entrant, milliseconds: number): Promise<number> {
  const before = readCpu(server.pid as number);
  clients.stdin?.write('\n');
  await sleep(milliseconds);
  const counted = once(lines, 'line');
  clients.stdin?.write('\n');
  const [messages] = (await counted) as [string];
  return cpuBetween(before, readCpu(server.pid as number)) / Number(messages);
}

function print(name: string, figure: string, found: readonly number[]): void {
  console.log(`  ${name.padEnd(16)} ${figure.padStart(10)}   ${spreadOf(found).median.toFixed(2)}`);
}

async function compareWork(title: string, mode: string, connections: number): Promise<void> {
  const entrants: Entrant[] = [];
  for (const [name, command] of Object.entries(commands)) {
    if (command === null) continue;
    const { server, port } = await startServer(command);
    entrants.push({ name, server, ...(await startClients(port, mode, connections)), figures: [] });
  }
  for (const entrant of entrants) await work(entrant, WARM_UP_MS);
  for (let round = 0; round < rounds; round++) {
    for (const entrant of entrants) entrant.figures.push(await work(entrant, seconds * 1_000));
  }
  console.log(`${title}: microseconds for each message, and beside ${REFERENCE}`);
  const reference = entrants[0] as Entrant;
  for (const { name, figures, server, clients } of entrants) {
    print(name, spreadOf(figures).median.toFixed(2), ratios(figures, reference.figures));
    await endChild(clients);
    await endChild(server);
  }
}

async function compareMemory(): Promise<void> {
  console.log(`ws-idle, ${idleConnections} connections: bytes of each, and beside ${REFERENCE}`);
  let reference = 0;
  for (const [name, command] of Object.entries(commands)) {
    if (command === null) continue;
    const { server, port } = await startServer(command);
    const before = await settledBytes(server);
    const { clients } = await startClients(port, 'echo', idleConnections);
    const bytes = ((await settledBytes(server)) - before) / idleConnections;
    if (name === REFERENCE) reference = bytes;
    print(name, bytes.toFixed(0), [bytes / reference]);
    await endChild(clients);
    await endChild(server);
  }
}

process.once('exit', endAllChildren);
await compareWork('ws-echo, 64 connections', 'echo', 64);
await compareWork('ws-broadcast, 1,000 connections', 'all', 1_000);
await compareMemory();
