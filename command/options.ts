/**
 * The options of the command, out of its arguments. It checks names, lists of addresses and what makes no sense together. The values of --host, --port and
 * --backend are checked by `serve`, which says what is wrong with them.
 *
 * Next: module-loader.ts
 */

import { parseArgs } from 'node:util';
import { AddressRanges } from '../simplenet/index.ts';
import { CommandError, WRONG_USE } from './command-error.ts';

export const USAGE = `Usage: simplenet [DIRECTORY | MODULE] [options]

Serves a directory (the current one by default), or a module whose default export is a handler, a Router or { fetch }.

  --port NUMBER    the port, 0 for any that is free (8080, or the next free one)
  --host ADDRESS   the address (127.0.0.1); 0.0.0.0 for each network, :: for IPv6 too
  --unix PATH      a Unix socket instead of host and port
  --tls            HTTPS, with a certificate for development (port 8443)
  --cert FILE      HTTPS, with this certificate and those that lead to an authority (PEM);
                   SIGHUP reads it and its key again
  --key FILE       the key of --cert (PEM)
  --spa            a path that is not there gets index.html
  --listing        a folder without index.html is listed
  --cors           scripts of all origins may read the responses
  --compress       compresses what gains by it
  --log FORMAT     common, json or none (common)
  --trust-proxy RANGES
                   whose X-Forwarded-For and -Proto count: loopback, 10.0.0.0/8
  --proxy-protocol MODE
                   connections begin with a header of the PROXY protocol; required: all
                   others are closed, optional: they are taken as they are
  --proxy-from RANGES
                   from whom that header counts; all others are as without a header
  --metrics [HOST:]PORT
                   /metrics, /healthz and /readyz on a port of their own (127.0.0.1)
  --notice SECONDS when it is told to stop it goes on for so long, and /readyz says 503, so
                   that a balancer sends nothing more (0)
  --workers NUMBER so many processes serve, auto is one for each core
  --take-over PATH takes the socket over from the process that waits at PATH, then waits there itself
  --backend NAME   the event loop: epoll, io_uring or auto (auto)
  --trace          writes every system call to standard error
  --help           shows this
  --version        shows the version

-p, -h and -v are --port, --help and --version.
Standard output gets one line, the URL. All else is on standard error.
`;

const logFormats = ['common', 'json', 'none'] as const;

export type LogFormat = (typeof logFormats)[number];

const proxyModes = ['required', 'optional'] as const;

type ProxyMode = (typeof proxyModes)[number];

export interface CommandOptions {
  /** The directory or module. */
  readonly target: string;
  /** As it was typed; undefined if no port was named. */
  readonly port: string | undefined;
  readonly host: string | undefined;
  readonly unix: string | undefined;
  readonly tls: boolean;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly spa: boolean;
  readonly listing: boolean;
  readonly cors: boolean;
  readonly compress: boolean;
  readonly log: LogFormat;
  readonly trustProxy: string | undefined;
  readonly proxyProtocol: { readonly mode: ProxyMode; readonly from: string } | undefined;
  readonly metrics: { readonly host: string | undefined; readonly port: number } | undefined;
  /** How long it goes on when it is told to stop, in seconds. */
  readonly notice: number;
  readonly backend: string | undefined;
  /** As it was typed. */
  readonly workers: string | undefined;
  readonly takeOver: string | undefined;
  readonly trace: boolean;
}

/** Throws CommandError for what makes no sense. `--help` wins over everything that is well written beside it. */
export function parseOptions(args: readonly string[]): CommandOptions | 'help' | 'version' {
  const { values, positionals } = parsed(args);
  if (values.help) return 'help';
  if (values.version) return 'version';
  const [target = '.', ...others] = positionals;
  if (others.length > 0) throw misuse(`it serves one directory or module, not '${target}' and '${others[0]}'`);
  for (const [name, value] of [['target', target], ...Object.entries(values)]) {
    if (value === '') throw misuse(name === 'target' ? 'the name of the directory is empty' : `--${name} is empty`);
  }
  if (values.unix !== undefined && (values.port !== undefined || values.host !== undefined)) {
    throw misuse('--unix is instead of --host and --port');
  }
  if ((values.cert === undefined) !== (values.key === undefined)) throw misuse('--cert and --key belong together');
  if (!isLogFormat(values.log)) throw misuse(`--log is one of ${logFormats.join(', ')}, not '${values.log}'`);
  const {
    port,
    host,
    unix,
    'trust-proxy': trustProxy,
    backend,
    log,
    cert,
    key,
    workers,
    'take-over': takeOver,
  } = values;
  if (trustProxy !== undefined) checkRanges('trust-proxy', trustProxy);
  const proxyProtocol = proxyProtocolOf(values['proxy-protocol'], values['proxy-from']);
  const metrics = values.metrics === undefined ? undefined : metricsPlace(values.metrics);
  const notice = noticeOf(values.notice);
  const { spa, listing, cors, compress, trace } = values;
  const tls = values.tls || cert !== undefined;
  return {
    target,
    port,
    host,
    unix,
    tls,
    cert,
    key,
    spa,
    listing,
    cors,
    compress,
    log,
    trustProxy,
    proxyProtocol,
    metrics,
    notice,
    backend,
    workers,
    takeOver,
    trace,
  };
}

/** Supervisors wait for minutes at most. A longer notice is a mistake in the unit. */
const MAX_NOTICE_SECONDS = 3_600;

function noticeOf(text: string): number {
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY;
  if (seconds > MAX_NOTICE_SECONDS) {
    throw misuse(`--notice is a number of seconds from 0 to ${MAX_NOTICE_SECONDS}, not '${text}'`);
  }
  return seconds;
}

/** Nobody is believed by default, so the mode alone makes no sense. */
function proxyProtocolOf(mode: string | undefined, from: string | undefined): CommandOptions['proxyProtocol'] {
  if ((mode === undefined) !== (from === undefined)) throw misuse('--proxy-protocol and --proxy-from belong together');
  if (mode === undefined || from === undefined) return undefined;
  if (!isProxyMode(mode)) throw misuse(`--proxy-protocol is ${proxyModes.join(' or ')}, not '${mode}'`);
  checkRanges('proxy-from', from);
  return { mode, from };
}

function checkRanges(option: string, ranges: string): void {
  try {
    new AddressRanges(ranges);
  } catch (error) {
    throw misuse(`--${option}: ${(error as RangeError).message}`);
  }
}

function isProxyMode(text: string): text is ProxyMode {
  return (proxyModes as readonly string[]).includes(text);
}

/** An address of IPv6 stands in brackets. */
function metricsPlace(text: string): CommandOptions['metrics'] {
  const [, host, port] = /^(?:(\[[\da-f:.]+\]|[^:]+):)?(\d{1,5})$/i.exec(text) ?? [];
  if (port === undefined) throw misuse(`--metrics is a port, or an address and a port, not '${text}'`);
  return { host, port: Number(port) };
}

function parsed(args: readonly string[]) {
  const flag = { type: 'boolean', default: false } as const;
  const text = { type: 'string' } as const;
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        port: { ...text, short: 'p' },
        host: text,
        unix: text,
        tls: flag,
        cert: text,
        key: text,
        spa: flag,
        listing: flag,
        cors: flag,
        compress: flag,
        log: { type: 'string', default: 'common' },
        'trust-proxy': text,
        'proxy-protocol': text,
        'proxy-from': text,
        metrics: text,
        notice: { type: 'string', default: '0' },
        backend: text,
        workers: text,
        'take-over': text,
        trace: flag,
        help: { ...flag, short: 'h' },
        version: { ...flag, short: 'v' },
      },
    });
  } catch (error) {
    // Only the first sentence: the next ones advise on arguments that begin with a dash.
    const [sentence = ''] = (error as Error).message.split(/\.\s/);
    // parseArgs calls `--port -1` ambiguous, because -1 may be an option.
    const [, lacking] = /^Option '.*(--[a-z-]*[a-z]).*' argument (?:is ambiguous|missing)$/.exec(sentence) ?? [];
    if (lacking !== undefined) throw misuse(`${lacking} needs a value`);
    throw misuse(`${sentence.charAt(0).toLowerCase()}${sentence.slice(1)}`);
  }
}

function isLogFormat(text: string): text is LogFormat {
  return (logFormats as readonly string[]).includes(text);
}

function misuse(message: string): CommandError {
  return new CommandError(`${message} (simplenet --help shows the options)`, WRONG_USE);
}
