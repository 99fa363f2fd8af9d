/**
 * The site: what the options say to serve, as one handler with the middleware that they ask for. Without such an option nothing stands around the
 * program, so it costs nothing.
 *
 * Next: run.ts
 */

import { stat } from 'node:fs/promises';
import { cors, fetchHandler, type Handler, type HandlerSource, Router } from '../http/index.ts';
import { CommandError, FAILED } from './command-error.ts';
import { loadModule } from './module-loader.ts';
import type { CommandOptions } from './options.ts';

export interface Site {
  readonly source: HandlerSource;
  /** For a person: `the module site.js`. */
  readonly what: string;
}

export async function siteOf(options: CommandOptions): Promise<Site> {
  const { target } = options;
  if (await isDirectory(target)) throw new CommandError(`'${target}' is a directory, not a module`, FAILED);
  return { source: withMiddleware(options, await loadModule(target)), what: `the module ${target}` };
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new CommandError(
      code === 'ENOENT' ? `there is no module '${path}'` : `cannot read '${path}': ${message}`,
      FAILED,
    );
  }
}

function withMiddleware(options: CommandOptions, source: HandlerSource): HandlerSource {
  if (!options.cors) return source;
  const router = new Router().use(cors({ origin: '*' })).all('/*', handlerOf(source));
  const limitsFor = (method: string, path: string) =>
    'limitsFor' in source ? (source.limitsFor?.(method, path) ?? null) : null;
  return { handle: router.handle, limitsFor };
}

function handlerOf(source: HandlerSource): Handler {
  if (typeof source === 'function') return source;
  if ('handle' in source) return (request, response) => source.handle(request, response);
  return fetchHandler((request, info, context) => source.fetch(request, info, context));
}
