/**
 * The command, from its arguments to its exit code.
 *
 *     options -> site -> listen -> the URL on standard output -> a signal -> exit code
 *
 * What a person can mend is one line on standard error: exit code 2 if the command makes no sense, 1 if it cannot be done. Any other error is one of
 * this code, and keeps its stack.
 *
 * Next: main.ts
 */

import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import {
  accessLog,
  HandOverError,
  type Inheritance,
  passedSockets,
  type ServeOptions,
  type Server,
  serve,
  WorkerError,
  Workers,
} from '../http/index.ts';
import { type Backend, SystemError, trace } from '../simplenet/index.ts';
import { certificateOf, renewalOf, sayingOptions } from './certificate.ts';
import { CommandError, FAILED, WRONG_USE } from './command-error.ts';
import { listenFrom } from './free-port.ts';
import { inheritedSockets, Life, type Surroundings, takeWay } from './life.ts';
import { networkUrls } from './network-urls.ts';
import { type CommandOptions, parseOptions, USAGE } from './options.ts';
import { createReporter, type Reporter } from './reporter.ts';
import { type Site, siteOf, targetOf } from './site.ts';
import { untilStopped } from './stop.ts';
import { Notifier } from './systemd.ts';

const DEFAULT_PORT = 8080;
const DEFAULT_TLS_PORT = 8443;

const WORKER_SITE = new URL(`./worker-site${import.meta.url.slice(import.meta.url.lastIndexOf('.'))}`, import.meta.url);

/** Resolves with the exit code. `firstPort` is tried first if the arguments name no port. */
export async function run(args: readonly string[], surroundings: Surroundings, firstPort?: number): Promise<number> {
  const { stdout, stderr } = surroundings;
  let reporter = createReporter('common', (text) => stderr.write(text));
  try {
    const options = parseOptions(args);
    if (options === 'help') {
      stdout.write(USAGE);
      return 0;
    }
    if (options === 'version') {
      stdout.write(`${versionOfPackage()}\n`);
      return 0;
    }
    reporter = createReporter(options.log, (text) => stderr.write(text));
    const { tls } = options;
    return await serveUntilStopped(
      options,
      args,
      surroundings,
      reporter,
      firstPort ?? (tls ? DEFAULT_TLS_PORT : DEFAULT_PORT),
    );
  } catch (error) {
    if (error instanceof CommandError || error instanceof WorkerError) {
      reporter.failed(error.message);
      return error.exitCode;
    }
    if (error instanceof SystemError || error instanceof HandOverError) {
      reporter.failed(error.message);
      return FAILED;
    }
    throw error;
  }
}

async function serveUntilStopped(
  options: CommandOptions,
  args: readonly string[],
  surroundings: Surroundings,
  reporter: Reporter,
  firstPort: number,
): Promise<number> {
  const { stdout, stderr } = surroundings;
  const { env = {}, pid = process.pid, networkInterfaces: interfaces = networkInterfaces } = surroundings;
  const way = takeWay(env, pid);
  const notifier = new Notifier(env, pid);
  const stopTracing = options.trace ? trace({ write: (line) => stderr.write(`${line}\n`) }) : () => {};
  // Signals are this command's own business; at any other end the log is written as well.
  const log =
    options.log === 'none' || options.workers !== undefined
      ? undefined
      : accessLog({ format: options.log, to: stderr, signals: false });
  try {
    const site = options.workers === undefined ? await siteOf(options) : await targetOf(options);
    const certificate = certificateOf(options);
    const tls = certificate?.tls;
    const { fds, inheritance } = inheritedSockets(options, way, env, pid);
    const metrics = options.metrics && { ...options.metrics, fd: inheritance?.takeMetricsFd() };
    const server = listen(
      site,
      { ...options, metrics, fds },
      args,
      { tls, onError: reporter.onError, onDone: log },
      reporter,
      firstPort,
    );
    const { address, url, urls } = server;
    const renew = renewalOf(options, certificate);
    const ofModule = passedSockets(env, pid).filter(({ fd }) => !fds.includes(fd));
    const life = new Life(server, { takeOver: options.takeOver, renew, ofModule }, surroundings, notifier, reporter);
    // Before the URL is written: a program that reads it may send a signal at once.
    const stopped = untilStopped(server, surroundings, reporter, {
      noticeMs: options.notice * 1_000,
      onHangUp: life.onHangUp,
    });
    try {
      await begin(server, inheritance, reporter);
      life.begun(inheritance !== null);
    } catch (error) {
      await server.close();
      const code = await stopped;
      if (code === FAILED) throw error;
      return code; // a signal came first
    }
    stdout.write(`${url}\n`);
    notifier.ready(`serving ${urls.join(' ')}`);
    const { what, hint } = site;
    reporter.started({
      what,
      url,
      otherUrls: urls.slice(1),
      networkUrls: options.log === 'none' ? [] : networkUrls(address, interfaces, tls === undefined ? 'http' : 'https'),
      hint,
      certificate: certificate?.notes ?? [],
    });
    const code = await stopped;
    return life.isTaken ? 0 : code;
  } finally {
    notifier.close();
    log?.close();
    stopTracing();
  }
}

/** `serve` says what is wrong with other texts. */
function numberOf(workers: string): number | 'auto' {
  return /^\d+$/.test(workers) ? Number(workers) : (workers as 'auto');
}

/** Resolves when this process serves in the place of its predecessor. If it is stopped before, the predecessor goes on. */
async function begin(server: Server | Workers, inheritance: Inheritance | null, reporter: Reporter): Promise<void> {
  server.closing.addEventListener('abort', () => inheritance?.abandon(), { once: true });
  if (server instanceof Workers) await server.ready;
  if (inheritance === null || (await inheritance.begun(server))) return;
  reporter.said('This process serves. Its predecessor has got the word but stands still: both serve until it stops.');
}

function listen(
  site: Omit<Site, 'source'> & Partial<Site>,
  options: CommandOptions & { readonly fds: readonly number[] },
  args: readonly string[],
  hooks: Pick<ServeOptions, 'tls' | 'onError' | 'onDone'>,
  reporter: Reporter,
  firstPort: number,
): Server | Workers {
  const { host, port, unix: path, trustProxy, proxyProtocol, metrics, backend, fds, workers } = options;
  const place = fds.length === 0 ? { host, port, path } : { fd: fds };
  const shared = { backend: backend as Backend | undefined, tls: hooks.tls, trustProxy, proxyProtocol, metrics };
  const start = (where: Pick<ServeOptions, 'host' | 'port' | 'path' | 'fd'>) =>
    site.source === undefined
      ? serve(WORKER_SITE, {
          ...where,
          ...shared,
          workers: numberOf(workers as string),
          workerArguments: args,
          log: (line) => reporter.said(line),
        })
      : serve(site.source, { ...where, ...shared, ...hooks });
  try {
    if (fds.length > 0 || port !== undefined || path !== undefined) return start(place);
    const server = listenFrom(firstPort, (each) => start({ ...place, port: each }));
    if (server.port !== firstPort) reporter.portTaken(firstPort, server.port as number);
    return server;
  } catch (error) {
    // `serve` throws these for a value of an option that makes no sense.
    if (error instanceof RangeError || error instanceof TypeError) {
      const message = error.message.replace(/^(workers|metrics)\S* /, '--$1 ');
      throw new CommandError(sayingOptions(message, options), WRONG_USE);
    }
    // The kernel forbids the event loop, and the message says what to do.
    if (error instanceof Error && error.cause instanceof SystemError) throw new CommandError(error.message, FAILED);
    throw error;
  }
}

function versionOfPackage(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}
