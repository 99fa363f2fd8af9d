/**
 * Waiting for what comes about by itself, on the real kernel.
 */

import { setTimeout as sleep } from 'node:timers/promises';

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(1);
}

const QUIET_TURNS = 5;

/** Loopback delivers within a system call: after this, all that can happen without deadlines has happened. */
export async function quiet(): Promise<void> {
  for (let i = 0; i < QUIET_TURNS; i++) await sleep(1);
}
