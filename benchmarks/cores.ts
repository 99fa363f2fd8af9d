/**
 * Cores: one for the server, another one for the load, so that neither takes time from the other.
 *
 * Two hardware threads of one core share its units and disturb each other. They are chosen only if no other core is allowed. The
 * first core handles most interrupts of a machine, so the server gets the last one.
 *
 * Next: children.ts
 */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface Cores {
  readonly server: number;
  readonly load: number;
}

/** Returns the numbers of a list in the format of the kernel: `0-3,8`. */
export function parseCpuList(list: string): number[] {
  return list
    .trim()
    .split(',')
    .flatMap((range) => {
      const [first = Number.NaN, last = first] = range.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    });
}

/** Returns null if there are not two cores, or if taskset is missing: then the kernel decides. */
export function chooseCores(): Cores | null {
  if (spawnSync('taskset', ['--version']).error !== undefined) return null;
  const allowed = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  const cpus = parseCpuList(allowed ?? '0');
  const server = cpus.at(-1) as number;
  const others = cpus.filter((cpu) => cpu !== server);
  const siblings = siblingsOf(server);
  const load = others.find((cpu) => !siblings.includes(cpu)) ?? others[0];
  return load === undefined ? null : { server, load };
}

function siblingsOf(cpu: number): number[] {
  try {
    return parseCpuList(readFileSync(`/sys/devices/system/cpu/cpu${cpu}/topology/thread_siblings_list`, 'utf8'));
  } catch {
    return [cpu]; // containers may hide it; then siblings are unknown
  }
}

export function pinned(command: readonly string[], cpu: number | undefined): readonly string[] {
  return cpu === undefined ? command : ['taskset', '-c', String(cpu), ...command];
}
