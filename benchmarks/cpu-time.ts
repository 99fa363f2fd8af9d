/**
 * CpuTime: the CPU time that a server has used so far, as counted by the kernel: user and system time of all its threads, and of
 * all processes that it has started.
 *
 * /proc/PID/task/TID/schedstat counts each thread in nanoseconds, but the figure of a thread disappears when the thread ends. /proc/PID/stat
 * keeps the time of ended threads, but counts in ticks of 10 ms. So both are read. The nanoseconds count, and a thread that has ended in
 * between counts up to the first reading. If the ticks show clearly more, then the ended thread has used it, or the kernel has no schedstat:
 * then the ticks count.
 *
 * Next: cores.ts
 */

import { readdirSync, readFileSync } from 'node:fs';

/** USER_HZ, which is 100 on every Linux that Node runs on, whatever the kernel's own tick is. */
const TICKS_PER_SECOND = 100;
const MICROSECONDS_PER_TICK = 1_000_000 / TICKS_PER_SECOND;

/**
 * User time and system time are each rounded down to a tick, so the difference of two readings is wrong by less than two ticks. A larger
 * surplus of the ticks is the time of a thread that has ended.
 */
const MAX_ROUNDING_US = 3 * MICROSECONDS_PER_TICK;

/** Fields of proc_pid_stat(5), counted from the field after the name of the command. */
const UTIME = 11;
const STIME = 12;
const CUTIME = 13;
const CSTIME = 14;

/** Microseconds since the server was started. */
export interface CpuReading {
  /** Of each thread that runs now, by its id. */
  readonly threadsUs: ReadonlyMap<number, number>;
  /** Of all threads, in ticks of 10 ms. */
  readonly ticksUs: number;
}

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

/** Returns microseconds from the text of schedstat: "time on the CPU, time in its queue, number of times", the times in nanoseconds. */
export function parseThreadMicroseconds(schedstat: string): number {
  const match = /^(\d+) \d+ \d+\s*$/.exec(schedstat);
  if (match === null) throw new TypeError(`not a line of schedstat: ${schedstat.slice(0, 60)}`);
  return Number(match[1]) / 1_000;
}

/** Returns the microseconds between two readings. */
export function cpuBetween(before: CpuReading, after: CpuReading): number {
  const threads = sum([...after.threadsUs], ([thread, us]) => us - (before.threadsUs.get(thread) ?? 0));
  const ticks = after.ticksUs - before.ticksUs;
  return ticks - threads > MAX_ROUNDING_US ? ticks : threads;
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

/** Returns 0 for a thread that has just ended, or without schedstat: then the ticks count. */
function threadMicroseconds(pid: number, thread: string): number {
  try {
    return parseThreadMicroseconds(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    return 0;
  }
}

export function readCpu(pid: number): CpuReading {
  const tree = processTree(pid);
  const threads = tree.flatMap((each) => readdirSync(`/proc/${each}/task`).map((thread) => [each, thread] as const));
  return {
    threadsUs: new Map(threads.map(([each, thread]) => [Number(thread), threadMicroseconds(each, thread)])),
    ticksUs: sum(tree, (each) => parseCpuMicroseconds(readFileSync(`/proc/${each}/stat`, 'utf8'))),
  };
}

export function residentBytes(pid: number): number {
  return sum(processTree(pid), (each) => parseResidentBytes(readFileSync(`/proc/${each}/status`, 'utf8')));
}

function sum<T>(values: readonly T[], measure: (value: T) => number): number {
  return values.reduce((total, value) => total + measure(value), 0);
}
