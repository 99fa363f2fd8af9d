/**
 * Schedule: in which order the peers are measured. In both ways they take turns, so a disturbance of the machine affects all of them.
 *
 * In slices, all servers are alive at once. Each gets the load for a short slice, and the order turns round after each cycle: A B C, C B A. The
 * slices of a cycle lie close together, so their ratio is steady even where the speed of the machine changes. But V8 optimises
 * differently in each process: one process stands for all processes only if several are measured, which `processes` does.
 *
 * With fresh processes, each round starts its server, and ends it. The rounds then differ by what V8 makes of each process as well.
 * Memory of idle connections is always measured so: it does not shrink when a round ends.
 *
 * Next: syscall-price.ts
 */

import type { Peer, PreparedPeer } from './peers.ts';
import type { Round } from './results.ts';
import { DifferentWork, type Laboratory, runRound, startServer } from './round.ts';
import type { ServerProcess } from './server-process.ts';
import type { Workload } from './workloads.ts';

/** A peer that takes part in a workload, and what it has reached so far. */
export interface Entrant {
  readonly peer: Peer;
  readonly prepared: PreparedPeer;
  /** What it is asked, which for a reference may be another request than that of the others. */
  readonly workload: Workload;
  /** In order; null for a round that failed. Rounds of two entrants with the same index ran close together. */
  readonly rounds: (Round | null)[];
  readonly remarks: string[];
}

export interface Schedule {
  readonly isFresh: boolean;
  readonly processes: number;
  readonly rounds: number;
}

/** Memory differs less between rounds than time does. */
const MEMORY_ROUNDS = 5;

export type Progress = (line: string) => void;

/** Returns the entrants in the order of a cycle. */
export function orderOf<T>(entrants: readonly T[], cycle: number): readonly T[] {
  return cycle % 2 === 0 ? entrants : [...entrants].reverse();
}

export async function runSchedule(
  schedule: Schedule,
  laboratory: Laboratory,
  workload: Workload,
  entrants: readonly Entrant[],
  progress: Progress,
): Promise<void> {
  if (workload.figure === 'memory') {
    const rounds = Math.min(schedule.rounds, MEMORY_ROUNDS);
    return inFreshProcesses({ ...schedule, rounds }, laboratory, workload, entrants, progress);
  }
  await (schedule.isFresh ? inFreshProcesses : inSlices)(schedule, laboratory, workload, entrants, progress);
}

function remarkOn(error: unknown, what: string): string {
  return `${error instanceof DifferentWork ? 'does not do the same work' : what}: ${(error as Error).message}`;
}

async function inSlices(
  { processes, rounds }: Schedule,
  laboratory: Laboratory,
  workload: Workload,
  entrants: readonly Entrant[],
  progress: Progress,
): Promise<void> {
  const running: { entrant: Entrant; server: ServerProcess | null }[] = [];
  try {
    for (let process = 1; process <= processes; process++) {
      for (const entrant of entrants) {
        progress(`${workload.name}: ${entrant.peer.title} starts`);
        const server = await startServer(laboratory, entrant.peer, entrant.prepared, entrant.workload).catch(
          (error) => {
            entrant.remarks.push(remarkOn(error, 'does not start'));
            return null;
          },
        );
        running.push({ entrant, server });
      }
    }
    for (let cycle = 0; cycle < rounds; cycle++) {
      for (const each of orderOf(running, cycle)) {
        const { entrant, server } = each;
        progress(`${workload.name}, cycle ${cycle + 1} of ${rounds}: ${entrant.peer.title}`);
        let round: Round | null = null;
        try {
          if (server !== null) round = await runRound(laboratory, server, entrant.workload);
        } catch (error) {
          entrant.remarks.push(remarkOn(error, `cycle ${cycle + 1} failed`));
          await server?.stop();
          each.server = null;
        }
        entrant.rounds.push(round);
      }
    }
  } finally {
    for (const { server } of running) await server?.stop();
  }
}

async function inFreshProcesses(
  { rounds }: Schedule,
  laboratory: Laboratory,
  workload: Workload,
  entrants: readonly Entrant[],
  progress: Progress,
): Promise<void> {
  const out = new Set<Entrant>();
  for (let round = 1; round <= rounds; round++) {
    for (const entrant of entrants) {
      if (out.has(entrant)) continue;
      progress(`${workload.name}, round ${round} of ${rounds}: ${entrant.peer.title}`);
      let server: ServerProcess | null = null;
      try {
        server = await startServer(laboratory, entrant.peer, entrant.prepared, entrant.workload);
        entrant.rounds.push(await runRound(laboratory, server, entrant.workload));
      } catch (error) {
        entrant.rounds.push(null);
        if (error instanceof DifferentWork) out.add(entrant);
        entrant.remarks.push(remarkOn(error, `round ${round} failed`));
      } finally {
        await server?.stop();
      }
    }
  }
}
