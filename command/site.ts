/**
 * The site: what the options say to serve, as one handler with the middleware that they ask for. Without such an option nothing stands around the
 * program, so it costs nothing.
 *
 * Next: standard-streams.ts
 */

import { access, constants, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { compress, cors, type HandlerSource, type Middleware, staticFiles, withMiddleware } from '../http/index.ts';
import { CommandError, FAILED, WRONG_USE } from './command-error.ts';
import { loadModule } from './module-loader.ts';
import type { CommandOptions } from './options.ts';

const INDEX = 'index.html';

export interface Site {
  readonly source: HandlerSource;
  /** For a person: `the directory public`. */
  readonly what: string;
  /** What a person may wonder about, or null. */
  readonly hint: string | null;
}

export async function siteOf(options: CommandOptions): Promise<Site> {
  const { target } = options;
  if (await isDirectory(options)) return directorySite(options);
  const source = withOptions(options, await loadModule(target));
  return { source, ...moduleTarget(target) };
}

/** What workers serve. The module is loaded there and not here. */
export async function targetOf(options: CommandOptions): Promise<Omit<Site, 'source'>> {
  if (!(await isDirectory(options))) return moduleTarget(options.target);
  const { what, hint } = await directorySite(options);
  return { what, hint };
}

function moduleTarget(target: string): Omit<Site, 'source'> {
  return { what: `the module ${target}`, hint: null };
}

async function isDirectory(options: CommandOptions): Promise<boolean> {
  const { target } = options;
  const stats = await readable(target, () => stat(target));
  if (stats.isDirectory()) return true;
  if (!stats.isFile()) throw new CommandError(`'${target}' is neither a directory nor a file`, FAILED);
  for (const name of ['spa', 'listing'] as const) {
    if (options[name]) throw new CommandError(`--${name} is for a directory, and '${target}' is a file`, WRONG_USE);
  }
  return false;
}

async function directorySite(options: CommandOptions): Promise<Site> {
  const { target, spa, listing } = options;
  await readable(target, () => access(target, constants.R_OK | constants.X_OK));
  const hasIndex = await access(join(target, INDEX)).then(
    () => true,
    () => false,
  );
  const files = staticFiles(target, { spa: spa ? INDEX : null, listing });
  const hint = listing || hasIndex ? null : `There is no ${INDEX}${spa ? '' : ': --listing shows the files'}.`;
  return { source: withOptions(options, files), what: `the directory ${target}`, hint };
}

async function readable<Result>(path: string, read: () => Promise<Result>): Promise<Result> {
  try {
    return await read();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new CommandError(
      code === 'ENOENT' ? `there is no directory or module '${path}'` : `cannot read '${path}': ${message}`,
      FAILED,
    );
  }
}

function withOptions({ cors: allowsAll, compress: compresses }: CommandOptions, source: HandlerSource): HandlerSource {
  const middleware: Middleware[] = [];
  if (allowsAll) middleware.push(cors({ origin: '*' }));
  if (compresses) middleware.push(compress());
  return middleware.length === 0 ? source : withMiddleware(source, ...middleware);
}
