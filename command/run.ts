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
import { accessLog, type ServeOptions, type Server, serve } from '../http/index.ts';
import { type Backend, SystemError, trace } from '../simplenet/index.ts';
import { certificateOf } from './certificate.ts';
import { CommandError, FAILED, WRONG_USE } from './command-error.ts';
import { listenFrom } from './free-port.ts';
import { networkUrls } from './network-urls.ts';
import { type CommandOptions, parseOptions, USAGE } from './options.ts';
import { createReporter, type Reporter } from './reporter.ts';
import { type Site, siteOf } from './site.ts';
import { type Signals, untilStopped } from './stop.ts';

const DEFAULT_PORT = 8080;
const DEFAULT_TLS_PORT = 8443;

/** How the error ends that is about an encrypted key: the command takes none, because a passphrase in its arguments could be read by all users. */
const NO_PASSPHRASE = 'there is no passphrase';

/** What the command needs of `process`. */
export interface Surroundings extends Signals {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
}

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
      surroundings,
      reporter,
      firstPort ?? (tls ? DEFAULT_TLS_PORT : DEFAULT_PORT),
    );
  } catch (error) {
    if (error instanceof CommandError) {
      reporter.failed(error.message);
      return error.exitCode;
    }
    if (error instanceof SystemError) {
      reporter.failed(error.message);
      return FAILED;
    }
    throw error;
  }
}

async function serveUntilStopped(
  options: CommandOptions,
  surroundings: Surroundings,
  reporter: Reporter,
  firstPort: number,
): Promise<number> {
  const { stdout, stderr } = surroundings;
  const stopTracing = options.trace ? trace({ write: (line) => stderr.write(`${line}\n`) }) : () => {};
  // Signals are this command's own business; at any other end the log is written as well.
  const log =
    options.log === 'none'
      ? undefined
      : accessLog({ format: options.log, to: (lines) => void stderr.write(lines), signals: false });
  try {
    const site = await siteOf(options);
    const certificate = certificateOf(options);
    const tls = certificate?.tls;
    const server = listen(site, options, { tls, onError: reporter.onError, onDone: log }, reporter, firstPort);
    const { address, url } = server;
    const stopped = untilStopped(server, surroundings, reporter); // first: whoever reads the URL may send a signal at once
    stdout.write(`${url}\n`);
    const { what, hint } = site;
    reporter.started({
      what,
      url,
      networkUrls: networkUrls(address, networkInterfaces(), tls === undefined ? 'http' : 'https'),
      hint,
      certificate: certificate?.notes ?? [],
    });
    return await stopped;
  } finally {
    log?.close();
    stopTracing();
  }
}

function listen(
  site: Site,
  options: CommandOptions,
  hooks: Pick<ServeOptions, 'tls' | 'onError' | 'onDone'>,
  reporter: Reporter,
  firstPort: number,
): Server {
  const { host, port, unix: path, trustProxy, backend } = options;
  const serveOptions: ServeOptions = {
    host,
    port,
    path,
    trustProxy,
    backend: backend as Backend | undefined,
    ...hooks,
  };
  try {
    if (port !== undefined || path !== undefined) return serve(site.source, serveOptions);
    const server = listenFrom(firstPort, (each) => serve(site.source, { ...serveOptions, port: each }));
    if (server.port !== firstPort) reporter.portTaken(firstPort, server.port as number);
    return server;
  } catch (error) {
    // `serve` throws these for a value of an option that makes no sense.
    if (error instanceof RangeError || error instanceof TypeError) {
      const message = error.message.replace(/^tls\.(?=cert|key)/, '--');
      const advice = message.endsWith(NO_PASSPHRASE) ? ` (openssl pkey -in ${options.key} -out FILE decrypts it)` : '';
      throw new CommandError(`${message}${advice}`, WRONG_USE);
    }
    throw error;
  }
}

function versionOfPackage(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}
