/**
 * WatchHandler: what is asked about a server from outside: /metrics by Prometheus, /healthz and /readyz by whoever starts it and whoever sends it clients.
 *
 * Healthy is a process whose loop turns: it answers. Ready is one that takes new clients: not while it stops, so that a balancer sends them elsewhere before it closes, and not while it
 * turns requests away.
 *
 * Next: metrics-options.ts
 */

import type { Handler, HttpRequest, ResponseWriter } from '../handler.ts';
import { HttpError } from '../http-error.ts';
import { reasonOf } from '../status.ts';
import { expositionOf } from './exposition.ts';
import type { MetricFamily } from './metric-families.ts';

/** What the handler says. */
export interface Watched {
  /** Why new clients should go elsewhere; null if this process, or another worker, takes them. */
  whyNotReady(): Promise<string | null>;
  /** The metrics of all workers. */
  families(): Promise<readonly MetricFamily[]>;
}

const HEALTH = '/healthz';
const READINESS = '/readyz';

/** `path` is that of the metrics. */
export function watchHandler(watched: Watched, path: string): Handler {
  return (request, response) => {
    if (request.path === path) return withoutCache(request, response, () => answerMetrics(watched, request, response));
    if (request.path === HEALTH) return withoutCache(request, response, () => response.text('ok\n'));
    if (request.path === READINESS) return withoutCache(request, response, () => answerReadiness(watched, response));
    throw new HttpError(404, reasonOf(404));
  };
}

/** What it answers. */
export function watchedPaths(path: string): readonly string[] {
  return [path, HEALTH, READINESS];
}

/** A site whose port also answers those who watch it. */
export function watchedSite(watched: Watched, path: string, site: Handler): Handler {
  const watch = watchHandler(watched, path);
  const paths = watchedPaths(path);
  return (request, response) => (paths.includes(request.path) ? watch(request, response) : site(request, response));
}

function withoutCache<T>(request: HttpRequest, response: ResponseWriter, answer: () => T): T {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.header('Allow', 'GET, HEAD');
    throw new HttpError(405, reasonOf(405));
  }
  response.header('Cache-Control', 'no-store');
  return answer();
}

async function answerMetrics(watched: Watched, request: HttpRequest, response: ResponseWriter): Promise<void> {
  const { contentType, text } = expositionOf(await watched.families(), request.headers.get('accept'));
  response.header('Vary', 'Accept');
  response.whole(text, contentType);
}

async function answerReadiness(watched: Watched, response: ResponseWriter): Promise<void> {
  const reason = await watched.whyNotReady();
  if (reason !== null) response.status(503);
  response.text(`${reason ?? 'ready'}\n`);
}
