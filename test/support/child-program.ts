/**
 * Small programs in a process of their own: for what cannot be tried in the process of a test, such as crashing.
 */

import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { plainEnvironment } from './programs.ts';

/** The folder of the compiled library, as a URL: `new URL('index.js', LIBRARY)`. */
export const LIBRARY = new URL('../../simplenet/', import.meta.url);

export interface ChildSetup {
  /** All the variables that it has, beside those of `plainEnvironment`. */
  readonly env?: Readonly<Record<string, string>>;
  /** What stands before `node` on the command line: `['strace', '-f']`. */
  readonly wrapper?: readonly string[];
  readonly nodeOptions?: readonly string[];
  readonly uid?: number;
}

/** It only ends what hangs: on a busy machine, a start of Node alone can take many seconds. */
const TIME_LIMIT_MS = 60_000;

/**
 * Runs an ES module, given as text, to its end. `env -i` takes out what tap slips into the environment of every child: with
 * it they would be slower, have more descriptors open, and fail as a user who may not write to tap's folder.
 */
export function runProgram(source: string, setup: ChildSetup = {}): SpawnSyncReturns<string> {
  const env = { ...plainEnvironment(), ...setup.env };
  const args = [
    '-i',
    ...Object.entries(env).map(([name, value]) => `${name}=${value}`),
    ...(setup.wrapper ?? []),
    process.execPath,
    ...(setup.nodeOptions ?? []),
    '--input-type=module',
    '-e',
    source,
  ];
  return spawnSync('env', args, {
    cwd: '/',
    encoding: 'utf8',
    timeout: TIME_LIMIT_MS,
    ...(setup.uid === undefined ? {} : { uid: setup.uid, gid: setup.uid }),
  });
}

/** The import statement for names of a file of the library. */
export function importing(names: string, file = 'index.js'): string {
  return `import { ${names} } from '${new URL(file, LIBRARY).href}';\n`;
}

/** Whether a command can be run here at all. */
export function isInstalled(command: string): boolean {
  return spawnSync(command, ['--version']).error === undefined;
}
