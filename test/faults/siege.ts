/**
 * Siege: what every attack has in common. While it goes on, a client that behaves is served as if nothing were; when it is
 * over, the server has no connection, no handler at work and no descriptor more than before, and has found no error in itself.
 */

import type { Test } from 'tap';
import { Bystander } from '../support/bystander.ts';
import type { ServerProcess } from '../support/server-process.ts';

export async function siege(t: Test, server: ServerProcess, attack: () => Promise<void>): Promise<void> {
  await server.quiet();
  const before = server.descriptors;
  const bystander = new Bystander(server);
  let wrong: string | null;
  try {
    await attack();
  } finally {
    wrong = await bystander.verdict();
  }
  t.equal(wrong, null, `${bystander.latencies.length} requests of a client that behaves are answered meanwhile`);
  const { connections, atWork, errors } = await server.quiet();
  t.same({ connections, atWork, errors }, { connections: 0, atWork: 0, errors: [] }, 'nothing is left of it');
  t.same(server.descriptors, before, 'nor any descriptor');
  t.equal(server.stderr, '');
}

const MEGABYTE = 1024 * 1024;

/** By how many megabytes the server may grow while something goes on that must cost no memory. */
export async function growthOf(server: ServerProcess, action: () => Promise<void>): Promise<number> {
  await server.state(); // collects garbage
  const before = server.rssBytes;
  await action();
  return (server.rssBytes - before) / MEGABYTE;
}
