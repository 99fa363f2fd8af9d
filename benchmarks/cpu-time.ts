/**
 * CpuTime: the CPU time that a server has used so far, as counted by the kernel: user and system time of all its threads, and of
 * all processes that it has started.
 *
 * proc_pid_stat(5) counts in ticks of 10 ms. Linux scales them so that user + system is the time that the scheduler has measured. So
 * over a round of two seconds the error of the sum is at most one per cent. User time alone, or system time alone, is an estimate.
 *
 * Next: cores.ts
 */

import { readdirSync, readFileSync } from 'node:fs';

/** USER_HZ, which is 100 on every Linux that Node runs on, whatever the kernel's own tick is. */
const TICKS_PER_SECOND = 100;
const MICROSECONDS_PER_TICK = 1_000_000 / TICKS_PER_SECOND;

/** Fields of proc_pid_stat(5), counted from the field after the name of the command. */
const UTIME = 11;
const STIME = 12;
const CUTIME = 13;
const CSTIME = 14;

/** Returns microseconds from the text of /proc/PID/stat: of the process itself, and of the children that it has waited for. */
export function parseCpuMicroseconds(stat: string): number {
  // The name is in parentheses, and may itself contain spaces and parentheses: it ends at the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  let ticks = 0;
  for (const field of [UTIME, STIME, CUTIME, CSTIME]) {
    const value = Number(fields[field]);
    if (!Number.isInteger(value)) throw new TypeError(`not a line of /proc/PID/stat: ${stat.slice(0, 60)}`);
    ticks += value;
  }
  return ticks * MICROSECONDS_PER_TICK;
}

/** Returns resident bytes from the text of /proc/PID/status. */
export function parseResidentBytes(status: string): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(status);
  if (match === null) throw new TypeError('not the /proc/PID/status of a process with memory');
  return Number(match[1]) * 1024;
}

/** Returns the process and all its running descendants. */
function processTree(pid: number): number[] {
  const tree = [pid];
  for (const parent of tree) {
    for (const thread of readdirSync(`/proc/${parent}/task`)) {
      const children = readFileSync(`/proc/${parent}/task/${thread}/children`, 'utf8');
      tree.push(...children.split(' ').filter(Boolean).map(Number));
    }
  }
  return tree;
}

export function cpuMicroseconds(pid: number): number {
  return sum(processTree(pid), (each) => parseCpuMicroseconds(readFileSync(`/proc/${each}/stat`, 'utf8')));
}

export function residentBytes(pid: number): number {
  return sum(processTree(pid), (each) => parseResidentBytes(readFileSync(`/proc/${each}/status`, 'utf8')));
}

function sum(pids: readonly number[], measure: (pid: number) => number): number {
  return pids.reduce((total, pid) => total + measure(pid), 0);
}
