/**
 * The site: what the options say to serve, as one handler with the middleware that they ask for. Without such an option nothing stands around the
 * program, so it costs nothing.
 *
 * Next: run.ts
 */

import { stat } from 'node:fs/promises';
import { compress, cors, type HandlerSource, type Middleware, staticFiles, withMiddleware } from '../http/index.ts';
import { CommandError, FAILED, WRONG_USE } from './command-error.ts';
import { loadModule } from './module-loader.ts';
import type { CommandOptions } from './options.ts';

export interface Site {
  readonly source: HandlerSource;
  /** For a person: `the directory public`. */
  readonly what: string;
}

export async function siteOf(options: CommandOptions): Promise<Site> {
  const { target } = options;
  if (await isDirectory(target)) {
    const { spa, listing } = options;
    const files = staticFiles(target, { spa: spa ? 'index.html' : null, listing });
    return { source: withOptions(options, files), what: `the directory ${target}` };
  }
  for (const name of ['spa', 'listing'] as const) {
    if (options[name]) throw new CommandError(`--${name} is for a directory, and '${target}' is a file`, WRONG_USE);
  }
  return { source: withOptions(options, await loadModule(target)), what: `the module ${target}` };
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
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
