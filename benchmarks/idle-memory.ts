/**
 * IdleMemory: the memory of an idle connection, which most connections of most servers are.
 *
 * Clients on the other core connect, send one request each as a browser would, and then nothing. Those of HTTPS are the load generator itself. The growth of the server's resident
 * memory is divided by their number. If the server supports it, garbage is collected before both measurements, because the garbage of
 * a request does not belong to the connection. The memory of the kernel for a socket is not included; it is the same for all servers.
 *
 * Next: results.ts
 */

import { join } from 'node:path';
import { endChild, firstLineOf, startChild } from './children.ts';
import { pinned } from './cores.ts';
import type { LoadOrder } from './load.ts';
import type { ServerProcess } from './server-process.ts';
import type { TlsLoad } from './tls-load.ts';

const CONNECTING_MS = 90_000;

/** Returns bytes for each connection. */
export async function idleBytes(
  server: ServerProcess,
  order: LoadOrder,
  tlsLoad: TlsLoad | null,
  cpu: number | undefined,
): Promise<number> {
  const before = await server.settledBytes();
  const program = join(import.meta.dirname, 'load/clients.js');
  const own = [process.execPath, program, JSON.stringify({ ...order, pipeline: 1, holds: true })];
  const clients = startChild(order.tls === null || tlsLoad === null ? pinned(own, cpu) : tlsLoad.command(order));
  try {
    await firstLineOf(clients, CONNECTING_MS);
    return ((await server.settledBytes()) - before) / order.connections;
  } finally {
    await endChild(clients);
  }
}
