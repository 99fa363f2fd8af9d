/**
 * Runs an example by its name, or lists them all: `npm run example`, `npm run example -- hello-server`. Those of docs/cookbook.md have a
 * folder of their own: `npm run example -- cookbook/session`. So have the experiments of docs/tcpip/.
 *
 * With SIMPLENET_SOCKETD=PATH in the environment, the example makes its system calls through the daemon on that path (socketd.ts).
 */

import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

const folder = import.meta.dirname;

function programsIn(...path: readonly string[]): string[] {
  const files = readdirSync(join(folder, ...path)).filter((file) => file.endsWith('.js'));
  return files.map((file) => join(...path, basename(file, '.js'))).sort();
}

const self = basename(import.meta.filename, '.js');
const names = [...programsIn().filter((name) => name !== self), ...programsIn('cookbook'), ...programsIn('tcpip')];

/** Returns the first sentence of the header of an example. */
function describe(name: string): string {
  const text = readFileSync(join(folder, `${name}.js`), 'utf8');
  return /^\/\*\*\n \* ([^.]*\.)/.exec(text)?.[1]?.replace(/\n \* /g, ' ') ?? '';
}

async function connectToSocketd(path: string): Promise<void> {
  const { useSocketd } = await import('./socketd/remote-libc.ts');
  try {
    useSocketd(path);
  } catch (error) {
    console.error(`There is no socketd on ${path}: ${(error as Error).message}`);
    process.exit(1);
  }
}

const [name, ...args] = process.argv.slice(2);
if (name === undefined) {
  console.log('Run one with: npm run example -- NAME\n');
  const width = Math.max(...names.map((each) => each.length));
  for (const each of names) console.log(`  ${each.padEnd(width)}  ${describe(each)}`);
} else if (!names.includes(name)) {
  console.error(`There is no example '${name}'. There are: ${names.join(', ')}.`);
  process.exitCode = 1;
} else {
  process.argv.splice(2, process.argv.length, ...args);
  try {
    const socketd = process.env.SIMPLENET_SOCKETD;
    if (socketd !== undefined && name !== 'socketd') await connectToSocketd(socketd);
    await import(`./${name}.js`);
  } catch (error) {
    // An error of the kernel or of the command line is printed as one sentence. A bug of the example keeps its stack trace.
    const isExpected = error instanceof Error && !(error instanceof TypeError || error instanceof ReferenceError);
    if (!isExpected) throw error;
    console.error(error.message);
    process.exit(1);
  }
}
