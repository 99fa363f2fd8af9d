/**
 * Site: what every server of the benchmark serves, so that all do the same work.
 *
 * Texts, sizes, a hundred routes, and the record that they answer. Only how a server finds the route and writes the answer
 * is its own. The servers under peers/ import the compiled form of this file through the SITE variable.
 *
 * Next: workloads.ts
 */

export const HELLO = 'Hello, world!\n';

export const LARGE = Buffer.alloc(1024 * 1024, 'simplenet simplenet simplenet\n');

export const STREAM_CHUNK = Buffer.alloc(1024, 'a line of a stream, and one more\n');
export const STREAM_CHUNKS = 16;

/** Clients of the idle workload are counted after they have been idle for a while: nobody may hang up on them. */
export const IDLE_TIMEOUT_MS = 60_000;

const RESOURCES = [
  ...['accounts', 'addresses', 'articles', 'authors', 'baskets', 'brands', 'categories', 'comments', 'coupons'],
  ...['customers', 'images', 'invoices', 'messages', 'orders', 'payments', 'products', 'refunds', 'reviews'],
  ...['shipments', 'suppliers'],
];

export type SiteMethod = 'GET' | 'POST' | 'PUT' | 'DELETE';

export interface SiteRoute {
  readonly method: SiteMethod;
  /** In the way that all the routers here understand: `/api/orders/:id`. */
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

/** What a route answers, as JSON. */
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

/** Tells the benchmark where to find the server, and ends the server when the benchmark is gone, however it ended. */
export function announce(port: number): void {
  process.stdout.write(`${port}\n`);
  process.stdin.on('end', () => process.exit(0)).resume();
  // Before memory is compared, garbage is no matter of connections.
  process.on('SIGUSR2', () => globalThis.gc?.());
}
