/**
 * Site: the content of all servers of the benchmark, so that all do the same work.
 *
 * It has texts, sizes, files, a hundred routes, and the record that they send. Each server finds the route and writes the response in its own
 * way. The servers under peers/ import the compiled form of this file through the SITE variable.
 *
 * Next: workloads.ts
 */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const HELLO = 'Hello, world!\n';

export const LARGE = Buffer.alloc(1024 * 1024, 'simplenet simplenet simplenet\n');

export const STREAM_CHUNK = Buffer.alloc(1024, 'a line of a stream, and one more\n');
export const STREAM_CHUNKS = 16;

/** A page of 1 KB. */
export const PAGE = Buffer.alloc(1024, 'a line of a page that somebody reads\n');

/** Sent in the same way as a large file, and thirty times as often in the same time. */
const MIDDLE_BYTES = 32_768;

/** Writes the files that are served below `/files/`, and returns their folder. The servers get it in the variable FILES. */
export function writeFiles(temporaryFolder: string): string {
  const folder = join(temporaryFolder, 'files');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'page.txt'), PAGE);
  writeFileSync(join(folder, 'large.bin'), LARGE);
  writeFileSync(join(folder, 'middle.bin'), LARGE.subarray(0, MIDDLE_BYTES));
  return folder;
}

/** The file with the certificate and the key, if the workload is one of HTTPS. */
export const TLS_FILE = process.env.TLS ?? null;

/** Null without TLS. The file serves as both. The version and the cipher are those that the client offers. */
export function tlsOptions(): { readonly cert: Buffer; readonly key: Buffer } | null {
  if (TLS_FILE === null) return null;
  const pem = readFileSync(TLS_FILE);
  return { cert: pem, key: pem };
}

/** Connections of the idle workload are measured after they have been idle for a while. No server may close them before. */
export const IDLE_TIMEOUT_MS = 60_000;

const RESOURCES = [
  ...['accounts', 'addresses', 'articles', 'authors', 'baskets', 'brands', 'categories', 'comments', 'coupons'],
  ...['customers', 'images', 'invoices', 'messages', 'orders', 'payments', 'products', 'refunds', 'reviews'],
  ...['shipments', 'suppliers'],
];

export type SiteMethod = 'GET' | 'POST' | 'PUT' | 'DELETE';

export interface SiteRoute {
  readonly method: SiteMethod;
  /** In the syntax of all routers here: `/api/orders/:id`. */
  readonly path: string;
  readonly resource: string;
}

/** Five for each of twenty resources. */
export const routes: readonly SiteRoute[] = RESOURCES.flatMap((resource) => [
  { method: 'GET', path: `/api/${resource}`, resource },
  { method: 'POST', path: `/api/${resource}`, resource },
  { method: 'GET', path: `/api/${resource}/:id`, resource },
  { method: 'DELETE', path: `/api/${resource}/:id`, resource },
  { method: 'GET', path: `/api/${resource}/:id/items/:item`, resource },
]);

/** Returns the record that a route sends as JSON. */
export function recordOf(resource: string, params: Readonly<Record<string, string | undefined>>): object {
  return {
    resource,
    id: params.id ?? null,
    item: params.item ?? null,
    title: 'An item that somebody ordered',
    price: { amount: 1290, currency: 'EUR' },
    isAvailable: true,
    tags: ['new', 'small', 'blue'],
  };
}

const LIST_LENGTH = 54;

/** What is sent as JSON and compressed on the way: 10 KB. */
export const LIST: readonly object[] = Array.from({ length: LIST_LENGTH }, (_, i) => ({
  ...recordOf(RESOURCES[i % RESOURCES.length] as string, { id: `${4_711 + i}` }),
  stock: (i * 7_919) % 10_000, // a prime: no two are alike
}));

/** Writes the port for the benchmark, and ends the server when the benchmark has ended in any way. */
export function announce(port: number): void {
  process.stdin.on('end', () => process.exit(0)).resume();
  // Memory is compared without garbage, which does not belong to connections.
  process.on('SIGUSR2', () => globalThis.gc?.());
  process.stdout.write(`${port}\n`); // last, because the benchmark may send that signal at once
}
