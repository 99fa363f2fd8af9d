/**
 * IdleMemory: the memory of an idle connection, which most connections of most servers are.
 *
 * Clients on the other core connect, send one request each as a browser would, and then nothing. Those of HTTPS and of WebSocket are the load generator itself. The growth of the server's resident
 * memory is divided by their number. If the server supports it, garbage is collected before both measurements, because the garbage of
 * a request does not belong to the connection. The memory of the kernel for a socket is not included; it is the same for all servers.
 *
 * Next: results.ts
 */

import { join } from 'node:path';
import { endChild, firstLineOf, startChild } from './children.ts';
import { type Cores, pinned } from './cores.ts';
import type { LoadOrder } from './load.ts';
import type { ServerProcess } from './server-process.ts';
import type { SocketLoad } from './socket-load.ts';
import type { TlsLoad } from './tls-load.ts';

const CONNECTING_MS = 90_000;

/** What can hold idle connections. */
export interface Holders {
  readonly cores: Cores | null;
  /** For WebSocket. */
  readonly socketLoad: SocketLoad | null;
  /** For HTTPS. */
  readonly tlsLoad: TlsLoad | null;
}

/** Returns bytes for each connection. */
export async function idleBytes(server: ServerProcess, order: LoadOrder, holders: Holders): Promise<number> {
  const before = await server.settledBytes();
  const clients = startChild(commandFor({ ...order, pipeline: 1 }, holders));
  try {
    await firstLineOf(clients, CONNECTING_MS);
    return ((await server.settledBytes()) - before) / order.connections;
  } finally {
    await endChild(clients);
  }
}

function commandFor(order: LoadOrder, { cores, socketLoad, tlsLoad }: Holders): readonly string[] {
  if (order.tls !== null && tlsLoad !== null) return tlsLoad.command(order);
  if (order.socket !== null && socketLoad !== null) return socketLoad.command(order);
  const program = join(import.meta.dirname, 'load/clients.js');
  return pinned([process.execPath, program, JSON.stringify({ ...order, holds: true })], cores?.load);
}
