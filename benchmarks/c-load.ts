/**
 * Runs a load generator in C. Each opens its connections first, and keeps them until they are ended. So the CPU time of the server is read when
 * all connections stand and no request is under way, before and after.
 *
 * Next: uring-load.ts
 */

import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { endChild, startChild } from './children.ts';
import type { LoadResult, LoadWatch } from './load.ts';

/** The generator bounds its own waiting; this bounds ours, if it hangs. */
const SPARE_MS = 90_000;

/** The message continues the name of the generator. */
export class MissingLoad extends Error {}

export async function runLoad(command: readonly string[], seconds: number, watch: LoadWatch): Promise<LoadResult> {
  const child = startChild(command);
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]();
  const deadline = setTimeout(() => child.kill('SIGKILL'), seconds * 1_000 + SPARE_MS);
  try {
    const ready = await Promise.race([lines.next(), failureOf(child)]);
    if (ready.value !== 'ready') throw new Error('the load generator ended before it was ready');
    watch.begin();
    child.stdin?.write('\n');
    const { value } = await lines.next();
    watch.end();
    if (value === undefined) throw new Error(`the load generator ended with ${child.signalCode ?? child.exitCode}`);
    return JSON.parse(value) as LoadResult;
  } finally {
    clearTimeout(deadline);
    await endChild(child);
  }
}

async function failureOf(child: ReturnType<typeof startChild>): Promise<never> {
  const [error] = await once(child, 'error');
  throw error;
}
