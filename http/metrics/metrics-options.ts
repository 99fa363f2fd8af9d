/**
 * MetricsOptions: where a server tells about itself.
 *
 * Next: ../serve-options.ts
 */

import { checkOptionNames, described } from '../nearest-name.ts';

/**
 * Where /metrics, /healthz and /readyz are: on a port of their own, or on the port of the site.
 *
 * ```ts
 * import { type MetricsOptions, Router, serve } from 'simplenet/http';
 *
 * const metrics: MetricsOptions = { port: 9100, host: '0.0.0.0' };
 * serve(new Router(), { port: 8080, metrics });
 * ```
 */
export interface MetricsOptions {
  /** The port of their own; 0 for any that is free. Without it they are on the port of the site, where everybody can read them. */
  readonly port?: number | undefined;
  /** The address of that port: 127.0.0.1 unless given. */
  readonly host?: string | undefined;
  /** A socket that listens on that port already: that of a predecessor (`takeOver`). If it listens elsewhere it is closed. */
  readonly fd?: number | null | undefined;
  /** The path of the metrics: /metrics unless given. */
  readonly path?: string | undefined;
}

const names: { readonly [Name in keyof Required<MetricsOptions>]: true } = {
  port: true,
  host: true,
  fd: true,
  path: true,
};

export const DEFAULT_METRICS_PATH = '/metrics';

const MAX_PORT = 65_535;

/** Throws for a wrong name or value. */
export function checkMetricsOptions(value: unknown): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TypeError(`metrics must be an object such as { port: 9100 }, not ${described(value)}`);
  }
  checkOptionNames('metrics', value, names);
  const { port, host, fd = null, path } = value as Partial<Record<keyof MetricsOptions, unknown>>;
  if (port !== undefined && !(Number.isInteger(port) && (port as number) >= 0 && (port as number) <= MAX_PORT)) {
    throw new RangeError(`metrics.port must be an integer from 0 to ${MAX_PORT}, not ${described(port)}`);
  }
  if (host !== undefined && typeof host !== 'string') {
    throw new TypeError(`metrics.host must be a string, not ${described(host)}`);
  }
  if (fd !== null && !(Number.isInteger(fd) && (fd as number) >= 0)) {
    throw new TypeError(`metrics.fd must be an integer >= 0, not ${described(fd)}`);
  }
  if (port === undefined && (host !== undefined || fd !== null))
    throw new RangeError(`metrics.${fd === null ? 'host' : 'fd'} is for metrics.port, which is not given`);
  if (path !== undefined && !(typeof path === 'string' && path.startsWith('/'))) {
    throw new RangeError(`metrics.path must begin with /, not ${described(path)}`);
  }
}
