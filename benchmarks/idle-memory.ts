/**
 * IdleMemory: what a connection costs that says nothing: most connections of most servers.
 *
 * Clients on the other core connect, ask once each as a browser would, and fall silent. What the server's resident memory
 * has grown by is divided by their number. Both times garbage is collected first, where the server can be asked to: what a
 * request left behind is no matter of the connection. The kernel's own memory for a socket is not in it; it is the same for
 * all.
 *
 * Next: results.ts
 */

import { join } from 'node:path';
import { endChild, firstLineOf, startChild } from './children.ts';
import { pinned } from './cores.ts';
import type { LoadOrder } from './load.ts';
import type { ServerProcess } from './server-process.ts';

const CONNECTING_MS = 30_000;

/** Bytes for each connection. */
export async function idleBytes(server: ServerProcess, order: LoadOrder, cpu: number | undefined): Promise<number> {
  const before = await server.settledBytes();
  const program = join(import.meta.dirname, 'load/clients.js');
  const clients = startChild(
    pinned([process.execPath, program, JSON.stringify({ ...order, pipeline: 1, holds: true })], cpu),
  );
  try {
    await firstLineOf(clients, CONNECTING_MS);
    return ((await server.settledBytes()) - before) / order.connections;
  } finally {
    await endChild(clients);
  }
}
