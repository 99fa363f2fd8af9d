/**
 * Round: one peer, one workload, once: load it, and divide its CPU time by its requests. Before the first round of a process, start it,
 * check it and warm it up.
 *
 * Next: schedule.ts
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Cores } from './cores.ts';
import { type CpuReading, cpuBetween } from './cpu-time.ts';
import { idleBytes } from './idle-memory.ts';
import { type LoadGenerator, type LoadOrder, noWatch } from './load.ts';
import type { Peer, PreparedPeer } from './peers.ts';
import type { Round } from './results.ts';
import { checkWork } from './same-work.ts';
import { ServerProcess } from './server-process.ts';
import type { SocketLoad } from './socket-load.ts';
import type { TlsLoad } from './tls-load.ts';
import type { Workload } from './workloads.ts';

export interface Laboratory {
  readonly load: LoadGenerator;
  /** For workloads of WebSocket; null if it cannot run here. */
  readonly socketLoad: SocketLoad | null;
  /** For workloads of HTTPS; null if it cannot run here. */
  readonly tlsLoad: TlsLoad | null;
  readonly cores: Cores | null;
  readonly temporaryFolder: string;
  /** The files that all servers have. */
  readonly filesFolder: string;
  /** The certificate and the key of all servers. */
  readonly tlsFile: string;
  readonly seconds: number;
  readonly warmUpSeconds: number;
}

/** Many requests warm up the server before it is timed. The idle workload is warmed up with the requests of hello. */
const WARM_UP_CONNECTIONS = 64;

/** Throws DifferentWork if the responses of the server are wrong: then its figures could not be compared. */
export class DifferentWork extends Error {}

function orderFor(laboratory: Laboratory, server: ServerProcess, workload: Workload, request: Buffer): LoadOrder {
  const { connections, pipeline, rate, tls } = workload;
  const file = (kind: string, bytes: Buffer) => {
    const path = join(laboratory.temporaryFolder, `${workload.name}.${kind}`);
    writeFileSync(path, bytes);
    return path;
  };
  const socket = workload.socket && {
    frameFile: file('frame', workload.socket.frame),
    answerFile: file('answer', workload.socket.answer),
    isToAll: workload.socket.isToAll,
  };
  const requestFile = file('request', request);
  return { port: server.port, requestFile, socket, connections, pipeline, rate, tls, seconds: laboratory.seconds };
}

function loadFor({ load, socketLoad, tlsLoad }: Laboratory, { socket, tls }: Workload): LoadGenerator {
  if (socket === null && tls === null) return load;
  const special = socket === null ? tlsLoad : socketLoad;
  if (special === null) throw new Error('there is no load generator for HTTPS, or for WebSocket');
  return special;
}

/** Returns the server, checked and warm. A paced workload is warmed up without a rate, because more requests warm up more. */
export async function startServer(
  laboratory: Laboratory,
  peer: Peer,
  prepared: PreparedPeer,
  workload: Workload,
): Promise<ServerProcess> {
  const { cores, filesFolder, warmUpSeconds } = laboratory;
  const tlsFile = workload.tls === null ? null : laboratory.tlsFile;
  const server = await ServerProcess.start(peer, prepared.command, filesFolder, tlsFile, cores?.server);
  try {
    const difference = await checkWork(server.port, workload);
    if (difference !== null) throw new DifferentWork(difference);
    const request = workload.warmUpRequest ?? workload.request;
    const order = { ...orderFor(laboratory, server, workload, request), rate: null, seconds: warmUpSeconds };
    const connections = workload.figure === 'memory' ? WARM_UP_CONNECTIONS : workload.connections;
    await loadFor(laboratory, workload).run({ ...order, connections }, noWatch);
    return server;
  } catch (error) {
    await server.stop();
    throw error;
  }
}

export async function runRound(laboratory: Laboratory, server: ServerProcess, workload: Workload): Promise<Round> {
  const order = orderFor(laboratory, server, workload, workload.request);
  if (workload.figure === 'memory') {
    const figure = await idleBytes(server, order, laboratory);
    const none = { cpuUs: null, requestsPerSecond: null, p50Us: null, p99Us: null, p999Us: null };
    return { figure, ...none, residentBytes: server.residentBytes(), errors: 0, refused: 0 };
  }
  const readings: CpuReading[] = [];
  const read = () => void readings.push(server.readCpu());
  const { requests, seconds, refused, ...figures } = await loadFor(laboratory, workload).run(order, {
    begin: read,
    end: read,
  });
  const [before, after] = readings as [CpuReading, CpuReading];
  const cpuUs = cpuBetween(before, after) / Math.max(1, requests);
  return {
    ...figures,
    // Without a response there is no percentile, and the round does not count.
    figure: workload.figure === 'cpu' ? cpuUs : (figures.p99Us ?? 0),
    cpuUs,
    requestsPerSecond: requests / seconds,
    residentBytes: server.residentBytes(),
    // A round without a response is a failure, even if the generator reports no error.
    refused: requests === 0 ? Math.max(1, refused) : refused,
  };
}
