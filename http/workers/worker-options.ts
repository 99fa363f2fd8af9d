/**
 * The options of workers: those of `serve` that another process can have, and those that say how many workers there are and when one is replaced.
 *
 * Next: worker-process.ts
 */

import { randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { createEventLoop, type TlsOptions } from '../../simplenet/index.ts';
import { adviceFor, described } from '../nearest-name.ts';
import { checkServeOptions, checkTlsOptions, type ServeOptions } from '../serve-options.ts';

/**
 * The options of `serve` for a module and its workers. What is a function stays in the module: it may export `options` with `onDone`, `onError` and the
 * other options of `serve`.
 *
 * ```ts
 * import { serve, type WorkersOptions } from 'simplenet/http';
 *
 * const options: WorkersOptions = { port: 8080, workers: 'auto', workerMemoryBytes: 512 * 1024 ** 2 };
 * const site = serve(new URL('./site.js', import.meta.url), options);
 * await site.ready;
 * ```
 */
export interface WorkersOptions extends Omit<ServeOptions, 'loop' | 'onError' | 'onDone'> {
  /** How many processes serve, 1 to 256. `auto` is one for each core. */
  readonly workers: number | 'auto';
  /** A worker whose resident memory (RSS) grows beyond that is replaced, with grace. Infinity, the default, is no limit. */
  readonly workerMemoryBytes?: number | undefined;
  /** A worker that does not give a sign for so long is killed and replaced: 10 s by default. A handler must not compute for longer at a stretch. */
  readonly workerHangMs?: number | undefined;
  /** How long a worker may take from its start until it serves: 30 s by default. */
  readonly workerStartMs?: number | undefined;
  /** The arguments of the workers, `process.argv.slice(2)` there: none by default. */
  readonly workerArguments?: readonly string[] | undefined;
  /** Gets each line about a worker that ends or is replaced. The default writes it to standard error. */
  readonly log?: ((line: string) => void) | undefined;
}

/** The options in force. */
export interface WorkerSettings {
  readonly count: number;
  readonly memoryBytes: number;
  readonly hangMs: number;
  readonly startMs: number;
  readonly args: readonly string[];
  readonly log: (line: string) => void;
  /** What `serve` of a worker gets. */
  readonly serve: ServeOptions;
}

/**
 * How a predecessor drains. Nothing waits for its end, so idle connections may begin a request for longer than when a server stops: a client
 * that is merely slow gets a response that ends its connection, and not an end without a response.
 *
 * ```ts
 * import { HandOver, PREDECESSOR_CLOSE, serve } from 'simplenet/http';
 *
 * const server = serve((_request, response) => response.text('hello\n'), { port: 8080 });
 * new HandOver('/run/site.sock', server, () => void server.close(PREDECESSOR_CLOSE));
 * ```
 */
export const PREDECESSOR_CLOSE = { idleGraceMs: 2_000 } as const;

export const MAX_WORKERS = 256;
export const DEFAULT_HANG_MS = 10_000;
export const DEFAULT_START_MS = 30_000;

/** By option: why a worker cannot have it from another process. */
const inModule: readonly string[] = ['loop', 'onError', 'onDone'];

/** Throws RangeError or TypeError for a mistake. */
export function workerSettings(options: WorkersOptions): WorkerSettings {
  const { workers, workerMemoryBytes, workerHangMs, workerStartMs, workerArguments, log, ...serve } = options;
  for (const name of inModule) {
    if (name in serve)
      throw new RangeError(`${name} belongs into the module of the workers: export const options = { ${name} }`);
  }
  checkServeOptions(serve);
  if (serve.socket?.control !== undefined) throw new RangeError('socket.control makes no sense with workers');
  if (serve.tls !== undefined) checkWorkerTls(serve.tls);
  if (serve.backend !== undefined) createEventLoop({ backend: serve.backend }).close(); // throws as in the workers, but before there is one
  if (log !== undefined && typeof log !== 'function')
    throw new TypeError(`log must be a function, not ${described(log)}`);
  const args = workerArguments ?? [];
  if (!Array.isArray(args) || args.some((each) => typeof each !== 'string')) {
    throw new TypeError(`workerArguments must be an array of strings, not ${described(args)}`);
  }
  return {
    count: workerCount(workers),
    memoryBytes: positive('workerMemoryBytes', workerMemoryBytes ?? Number.POSITIVE_INFINITY),
    hangMs: positive('workerHangMs', workerHangMs ?? DEFAULT_HANG_MS),
    startMs: positive('workerStartMs', workerStartMs ?? DEFAULT_START_MS),
    args,
    log: log ?? ((line) => console.error(line)),
    serve,
  };
}

/** Throws for what is wrong in `tls`, and for what cannot be sent to another process. */
export function checkWorkerTls(tls: TlsOptions): void {
  checkTlsOptions(tls);
  if (tls.onKeyLog !== undefined) throw new RangeError('tls.onKeyLog makes no sense with workers');
  if (typeof tls.serverNames === 'function')
    throw new RangeError('tls.serverNames must be an object with workers: a function cannot be sent to them');
}

/** The number of workers: a number, its digits as text, or `auto`. */
export function workerCount(given: unknown): number {
  if (given === 'auto') return Math.min(availableParallelism(), MAX_WORKERS);
  const count = typeof given === 'string' && /^\d{1,4}$/.test(given) ? Number(given) : given;
  if (typeof count === 'number' && Number.isInteger(count) && count >= 1 && count <= MAX_WORKERS) return count;
  if (typeof given === 'string' && Number.isNaN(Number(given)))
    throw new RangeError(`workers is a number or 'auto', not '${given}': ${adviceFor(given, ['auto'])}`);
  throw new RangeError(`workers must be an integer from 1 to ${MAX_WORKERS}, or 'auto', not ${described(given)}`);
}

/** Where they listen, workers inherit. */
export function optionsForWorkers(options: ServeOptions): ServeOptions {
  const {
    host: _host,
    hostname: _hostname,
    port: _port,
    path: _path,
    fd: _fd,
    systemdSocket: _systemdSocket,
    redirectFrom: _redirectFrom,
    socket: _socket,
    tls,
    metrics,
    ...others
  } = options;
  return {
    ...others,
    ...(tls === undefined ? {} : { tls: withTickets(tls) }),
    ...(metrics === undefined ? {} : { metrics: { ...metrics, fd: undefined } }),
  };
}

const TICKET_KEY_BYTES = 80;

/** The same tickets for all, so that a client continues its session with whatever worker it meets. */
export function withTickets(tls: TlsOptions): TlsOptions {
  return { ticketKeys: randomBytes(TICKET_KEY_BYTES), ...tls };
}

function positive(name: string, value: unknown): number {
  if (typeof value === 'number' && value > 0) return value;
  throw new RangeError(`${name} must be a number > 0, not ${described(value)}`);
}
