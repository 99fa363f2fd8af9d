/**
 * Round: one peer, one workload, once: start it, check it, warm it up, load it, and divide its CPU time by its requests.
 *
 * Next: machine.ts
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Cores } from './cores.ts';
import { idleBytes } from './idle-memory.ts';
import type { LoadGenerator } from './load.ts';
import type { Peer, PreparedPeer } from './peers.ts';
import type { Round } from './results.ts';
import { checkWork } from './same-work.ts';
import { ServerProcess } from './server-process.ts';
import type { Workload } from './workloads.ts';

export interface Laboratory {
  readonly load: LoadGenerator;
  readonly cores: Cores | null;
  readonly temporaryFolder: string;
  readonly seconds: number;
  readonly warmUpSeconds: number;
}

/** Many requests warm up the server before it is timed. The idle workload is warmed up with the requests of hello. */
const WARM_UP_CONNECTIONS = 64;

/** Throws DifferentWork if the responses of the server are wrong: then its figures could not be compared. */
export class DifferentWork extends Error {}

export async function runRound(
  laboratory: Laboratory,
  peer: Peer,
  prepared: PreparedPeer,
  workload: Workload,
): Promise<Round> {
  const { load, cores, temporaryFolder, seconds, warmUpSeconds } = laboratory;
  const requestFile = join(temporaryFolder, `${workload.name}.request`);
  writeFileSync(requestFile, workload.request);
  const server = await ServerProcess.start(peer, prepared.command, cores?.server);
  try {
    const difference = await checkWork(server.port, workload);
    if (difference !== null) throw new DifferentWork(difference);
    const { pipeline } = workload;
    const order = { port: server.port, requestFile, connections: workload.connections, pipeline, seconds };
    const isIdle = workload.figure === 'memory';
    const warmUpConnections = isIdle ? WARM_UP_CONNECTIONS : workload.connections;
    await load.run({ ...order, connections: warmUpConnections, seconds: warmUpSeconds });
    if (isIdle) {
      const figure = await idleBytes(server, order, cores?.load);
      const residentBytes = server.residentBytes();
      return { figure, requestsPerSecond: null, p50Us: null, p99Us: null, residentBytes, errors: 0, refused: 0 };
    }
    const before = server.cpuMicroseconds();
    const result = await load.run(order);
    const spent = server.cpuMicroseconds() - before;
    const { requests, p50Us, p99Us, errors, refused } = result;
    return {
      figure: spent / Math.max(1, requests),
      requestsPerSecond: requests / result.seconds,
      p50Us,
      p99Us,
      residentBytes: server.residentBytes(),
      errors,
      // A round without a response is a failure, even if the generator reports no error.
      refused: requests === 0 ? Math.max(1, refused) : refused,
    };
  } finally {
    await server.stop();
  }
}
