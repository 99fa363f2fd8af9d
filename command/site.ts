/**
 * The site: what the options say to serve, as one handler with the middleware that they ask for. Without such an option nothing stands around the
 * program, so it costs nothing.
 *
 * Next: run.ts
 */

import { stat } from 'node:fs/promises';
import { compress, cors, fetchHandler, type Handler, type HandlerSource, Router, staticFiles } from '../http/index.ts';
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
    return { source: withMiddleware(options, files), what: `the directory ${target}` };
  }
  for (const name of ['spa', 'listing'] as const) {
    if (options[name]) throw new CommandError(`--${name} is for a directory, and '${target}' is a file`, WRONG_USE);
  }
  return { source: withMiddleware(options, await loadModule(target)), what: `the module ${target}` };
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

function withMiddleware(options: CommandOptions, source: HandlerSource): HandlerSource {
  if (!options.cors && !options.compress) return source;
  const router = new Router();
  if (options.cors) router.use(cors({ origin: '*' }));
  if (options.compress) router.use(compress());
  router.all('/*', handlerOf(source));
  const limitsFor = (method: string, path: string) =>
    'limitsFor' in source ? (source.limitsFor?.(method, path) ?? null) : null;
  return { handle: router.handle, limitsFor };
}

function handlerOf(source: HandlerSource): Handler {
  if (typeof source === 'function') return source;
  if ('handle' in source) return (request, response) => source.handle(request, response);
  return fetchHandler((request, info, context) => source.fetch(request, info, context));
}
