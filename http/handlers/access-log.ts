/**
 * accessLog: an `onDone` of `serve` that writes a line for each answer, also for those that no handler gave.
 *
 *     serve(site, { onDone: accessLog() })                               combined, to standard output
 *     serve(site, { onDone: accessLog({ format: 'json', to: file }) })
 *
 * It is not a middleware: the bytes and the time of an answer are known when it is over, and a middleware does not get requests that are refused at their head.
 * The query is left out unless it is asked for, because it may contain secrets.
 *
 * Next: ../own-protocol.ts
 */

import { formats, type LogEntry, type LogFormat } from '../content/log-line.ts';
import { adviceFor, checkOptionNames, described } from '../nearest-name.ts';
import type { Outcome } from '../request/http-request.ts';
import { LogSink, type LogTarget } from './log-sink.ts';
import { REQUEST_ID } from './request-id.ts';
import { TRACE } from './trace-context.ts';

/**
 * How and where an access log is written.
 *
 * ```ts
 * import { type AccessLogOptions, accessLog, Router, serve } from 'simplenet/http';
 *
 * const options: AccessLogOptions = { format: 'json', to: '/var/log/site.log' };
 * serve(new Router(), { onDone: accessLog(options) });
 * ```
 */
export interface AccessLogOptions {
  /** `combined` unless given. */
  readonly format?: LogFormat;
  /** A path, a descriptor, a stream or a function that gets text: descriptor 1, standard output, unless given. */
  readonly to?: LogTarget;
  /** Lines have the query of the target: false unless given. */
  readonly query?: boolean;
  /** What may wait for a sink that is slow: 1 MiB unless given. Lines above that are dropped and counted. */
  readonly maxQueuedBytes?: number;
  /** Signals that would end the process wait until the log is written: true unless given. */
  readonly signals?: boolean;
}

/**
 * What `accessLog` returns: an `onDone`, with functions for the life of the log.
 *
 * ```ts
 * import { type AccessLog, accessLog, Router, serve } from 'simplenet/http';
 *
 * const log: AccessLog = accessLog({ to: '/var/log/site.log' });
 * process.on('SIGHUP', () => log.reopen()); // logrotate has renamed the file
 * serve(new Router(), { onDone: log });
 * ```
 */
export interface AccessLog {
  (outcome: Outcome): void;
  /** Writes what waits, as far as the sink takes it. It happens by itself at the end of each turn. */
  flush(): void;
  /** Opens the file again, after another program has renamed it. Throws if the log does not go to a path. */
  reopen(): void;
  /** Writes what waits, and closes a file. Later lines are dropped. */
  close(): void;
}

const optionNames: { readonly [Name in keyof Required<AccessLogOptions>]: true } = {
  format: true,
  to: true,
  query: true,
  maxQueuedBytes: true,
  signals: true,
};

const STANDARD_OUTPUT = 1;
const DEFAULT_MAX_QUEUED_BYTES = 1_048_576;

/**
 * Returns an `onDone` that logs each answer.
 *
 * ```ts
 * import { accessLog, Router, serve } from 'simplenet/http';
 *
 * serve(new Router(), { onDone: accessLog({ format: 'common' }) });
 * ```
 */
export function accessLog(options: AccessLogOptions = {}): AccessLog {
  checkOptionNames('accessLog', options, optionNames);
  const { format = 'combined', to = STANDARD_OUTPUT, query = false, signals = true } = options;
  const maxQueuedBytes = options.maxQueuedBytes ?? DEFAULT_MAX_QUEUED_BYTES;
  if (typeof maxQueuedBytes !== 'number' || !(maxQueuedBytes > 0)) {
    throw new RangeError(`maxQueuedBytes of accessLog must be a number above 0, not ${described(maxQueuedBytes)}`);
  }
  if (!Object.hasOwn(formats, format)) {
    throw new RangeError(`unknown format ${described(format)}: ${adviceFor(String(format), Object.keys(formats))}`);
  }
  const { line, gap } = formats[format];
  const sink = new LogSink({ to, maxQueuedBytes, signals, gap });
  const log = (outcome: Outcome): void => sink.write(line(entryOf(outcome, query)));
  return Object.assign(log, {
    flush: () => sink.flush(),
    reopen: () => sink.reopen(),
    close: () => sink.close(),
  });
}

function entryOf(outcome: Outcome, query: boolean): LogEntry {
  const { request, error } = outcome;
  return {
    startedAt: outcome.startedAt,
    client: request?.clientAddress || null, // that of a Unix socket is empty, and a line must begin with a word
    method: outcome.method,
    target: query && request !== null ? request.path + request.search : outcome.path,
    httpVersion: request?.httpVersion ?? '',
    route: outcome.route,
    status: outcome.status,
    bytes: outcome.bytesOut,
    durationMs: outcome.durationMs,
    referrer: request?.headers.get('referer') ?? null,
    agent: request?.headers.get('user-agent') ?? null,
    id: request?.state.get(REQUEST_ID) ?? null,
    trace: request?.state.get(TRACE)?.traceId ?? null,
    clientGone: outcome.clientGone,
    error: error === null ? null : String(error),
  };
}
