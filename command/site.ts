/**
 * The site: what the options say to serve.
 *
 * Next: run.ts
 */

import { stat } from 'node:fs/promises';
import type { HandlerSource } from '../http/index.ts';
import { CommandError, FAILED } from './command-error.ts';
import { loadModule } from './module-loader.ts';
import type { CommandOptions } from './options.ts';

export interface Site {
  readonly source: HandlerSource;
  /** For a person: `the module site.js`. */
  readonly what: string;
}

export async function siteOf({ target }: CommandOptions): Promise<Site> {
  if (await isDirectory(target)) throw new CommandError(`'${target}' is a directory, not a module`, FAILED);
  return { source: await loadModule(target), what: `the module ${target}` };
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
