/**
 * bench: `npm run bench`, simplenet against others, side by side.
 *
 * For each workload the peers take turns, as schedule.ts says. README.md says what is measured, and how far to trust it.
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BenchArguments, type Choices, parseArguments, usageOf } from './arguments.ts';
import { MissingLoad } from './c-load.ts';
import { root } from './c-programs.ts';
import { chartOf } from './chart.ts';
import { beginRun } from './children.ts';
import { chooseLoad } from './choose-load.ts';
import { chooseCores } from './cores.ts';
import { describeCommit, describeMachine } from './machine.ts';
import { measureMicro, microTable } from './micro.ts';
import {
  DEFAULT_REFERENCE,
  defaultPeers,
  LIMIT,
  MissingPeer,
  type Peer,
  type PreparedPeer,
  peers,
  takesPart,
} from './peers.ts';
import { circumstancesOf, markdownReport, tableOf } from './report.ts';
import { type PeerResult, type Results, summarize, type WorkloadResult } from './results.ts';
import type { Laboratory } from './round.ts';
import { type Entrant, runSchedule } from './schedule.ts';
import { writeFiles } from './site.ts';
import { SocketLoad } from './socket-load.ts';
import { measureSyscalls } from './syscall-price.ts';
import { TlsLoad, writeCertificate } from './tls-load.ts';
import { defaultWorkloads, type Workload, workloads } from './workloads.ts';

const choices: Choices = {
  peers: peers.map(({ name }) => name),
  defaultPeers,
  workloads: workloads.map(({ name }) => name),
  defaultWorkloads,
  defaultReference: DEFAULT_REFERENCE,
};

/** Prints a progress line: on a terminal it replaces the last one, in a log it follows it. */
function progress(line: string): void {
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${line}` : `${line}\n`);
}

/** Prints a line that stays. */
function print(text: string): void {
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  console.log(text);
}

function workloadFor(peer: Peer, workload: Workload): Workload {
  return workloads.find(({ name }) => name === peer.serves) ?? workload;
}

function titleFor({ title }: Peer, { tls }: Workload): string {
  return tls === null ? title : title.replace('node:http', 'node:https');
}

/** Prepares a load generator. Returns why it cannot run here, if it cannot. */
function prepareLoad<T>(prepare: (folder: string, cpu?: number) => T, folder: string, cpu?: number): T | string {
  try {
    return prepare(folder, cpu);
  } catch (error) {
    if (!(error instanceof MissingLoad)) throw error;
    return error.message;
  }
}

/** Returns the peers that have something to do and can run here, and a line for each that cannot. */
function prepare(names: readonly string[], chosen: readonly Workload[], temporaryFolder: string) {
  const ready: { peer: Peer; prepared: PreparedPeer }[] = [];
  const skipped: string[] = [];
  for (const peer of peers) {
    if (!names.includes(peer.name) || !chosen.some((workload) => takesPart(peer, workload))) continue;
    try {
      ready.push({ peer, prepared: peer.prepare(temporaryFolder) });
    } catch (error) {
      if (!(error instanceof MissingPeer)) throw error;
      skipped.push(`${peer.title} ${error.message}`);
    }
  }
  return { ready, skipped };
}

function resultOf({ peer, prepared, rounds, remarks }: Entrant, references: readonly Entrant[]): PeerResult {
  const { name, title } = peer;
  const summary = summarize(rounds, Object.fromEntries(references.map((each) => [each.peer.name, each.rounds])));
  return { peer: name, title, version: prepared.version, rounds, summary, remarks };
}

async function runWorkload(
  workload: Workload,
  ready: readonly { peer: Peer; prepared: PreparedPeer }[],
  laboratory: Laboratory,
  options: BenchArguments,
): Promise<WorkloadResult> {
  const entrants: Entrant[] = ready
    .filter(({ peer }) => takesPart(peer, workload))
    .map((each) => ({ ...each, workload: workloadFor(each.peer, workload), rounds: [], remarks: [] }));
  await runSchedule(options, laboratory, workload, entrants, progress);
  const references = [...new Set(workload.references ?? [options.reference, LIMIT])].flatMap((name) =>
    entrants.filter(({ peer }) => peer.name === name),
  );
  const { name, title, figure } = workload;
  return {
    workload: name,
    title,
    unit: ({ cpu: 'us', memory: 'bytes', p99: 'p99' } as const)[figure],
    references: references.map(({ peer }) => ({ peer: peer.name, title: titleFor(peer, workload) })),
    peers: entrants.map((entrant) => ({ ...resultOf(entrant, references), title: titleFor(entrant.peer, workload) })),
  };
}

async function bench(options: BenchArguments, temporaryFolder: string): Promise<void> {
  const cores = chooseCores();
  const { load, reason } = chooseLoad(options.load, temporaryFolder, cores?.load);
  const { seconds, warmUpSeconds, rounds, isFresh, processes } = options;
  const chosen = workloads.filter(({ name }) => options.workloads.includes(name));
  const { ready, skipped } = prepare(options.peers, chosen, temporaryFolder);
  for (const { name } of load.canPace ? [] : chosen.filter(({ rate }) => rate !== null)) {
    skipped.push(`${name} needs the load generator on io_uring`);
  }
  const ofSockets = chosen.filter(({ socket }) => socket !== null);
  const socketLoad = ofSockets.length === 0 ? null : prepareLoad(SocketLoad.prepare, temporaryFolder, cores?.load);
  if (typeof socketLoad === 'string')
    for (const { name } of ofSockets)
      skipped.push(`${name} needs the load generator for WebSocket, which ${socketLoad}`);
  const withTls = chosen.filter(({ tls }) => tls !== null);
  const tlsLoad = withTls.length === 0 ? null : prepareLoad(TlsLoad.prepare, temporaryFolder, cores?.load);
  if (typeof tlsLoad === 'string')
    for (const { name } of withTls) skipped.push(`${name} needs the load generator for HTTPS, which ${tlsLoad}`);
  if (reason !== null) print(`${reason}\n`);
  for (const line of skipped) print(`left out: ${line}\n`);
  const filesFolder = writeFiles(temporaryFolder);
  const laboratory = {
    load,
    socketLoad: typeof socketLoad === 'string' ? null : socketLoad,
    tlsLoad: typeof tlsLoad === 'string' ? null : tlsLoad,
    cores,
    temporaryFolder,
    filesFolder,
    tlsFile: writeCertificate(temporaryFolder),
    seconds,
    warmUpSeconds,
  };
  const machine = { ...describeMachine(cores), syscalls: await measureSyscalls(temporaryFolder, cores?.server) };
  const commit = describeCommit();
  const found: WorkloadResult[] = [];
  for (const workload of chosen.filter(({ rate }) => rate === null || load.canPace)) {
    if (workload.tls !== null && laboratory.tlsLoad === null) continue;
    if (workload.socket !== null && laboratory.socketLoad === null) continue;
    found.push(await runWorkload(workload, ready, laboratory, options));
    print(`${tableOf(found.at(-1) as WorkloadResult)}\n`);
  }
  const plainTitle = reason === null ? load.title : `${load.title} (${reason})`;
  const isPlain = ({ socket, tls }: Workload): boolean => socket === null && tls === null;
  const titles = [
    chosen.some(isPlain) ? plainTitle : null,
    laboratory.socketLoad && `WebSocket: ${laboratory.socketLoad.title}`,
    laboratory.tlsLoad && `HTTPS: ${laboratory.tlsLoad.title}`,
  ];
  const results: Results = {
    date: new Date().toISOString(),
    command: ['npm run bench', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' '),
    commit,
    machine,
    load: titles.filter((title) => title !== null).join('; '),
    isFresh,
    processes,
    rounds,
    seconds,
    warmUpSeconds,
    workloads: found,
    skipped,
  };
  const folder = options.output ?? join(root, 'benchmarks/results');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'latest.json'), `${JSON.stringify(results, null, 2)}\n`);
  writeFileSync(join(folder, 'latest.md'), markdownReport(results));
  writeFileSync(join(folder, 'latest.svg'), chartOf(results));
  print([...circumstancesOf(results), `Written: latest.json, latest.md and latest.svg in ${folder}`].join('\n'));
}

async function main(): Promise<void> {
  const options = parseArguments(process.argv.slice(2), choices);
  if (options.help) {
    console.log(usageOf(choices));
    return;
  }
  if (options.micro) {
    print(measureMicro(progress).map(microTable).join('\n\n'));
    return;
  }
  const temporaryFolder = beginRun('bench');
  await bench(options, temporaryFolder);
}

try {
  await main();
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
