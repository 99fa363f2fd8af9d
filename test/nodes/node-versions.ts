/**
 * The versions of Node that are tested, and where they come from: the npm packages that hold one program each, installed apart from
 * the project.
 */

import { execFile } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** All even versions that are maintained, the oldest first. `engines` in package.json says the same. */
export const testedVersions = ['20', '22', '24', '26'] as const;

/** `build` is emptied by each build, so what takes minutes to fetch lies elsewhere. */
const cacheFolder = join(tmpdir(), 'simplenet-node-versions');

const INSTALL_LIMIT_MS = 180_000;

/** Fetches the newest program of that version (or of that exact one, as 20.20.2). Returns its path. Throws where it cannot be had. */
export async function installNode(version: string, arch: string = process.arch): Promise<string> {
  const name = `node-linux-${arch}`;
  const folder = join(cacheFolder, `${arch}-${version}`);
  const program = join(folder, 'node_modules', name, 'bin', 'node');
  mkdirSync(folder, { recursive: true });
  try {
    // --force: the package of another architecture is refused otherwise. No scripts: the package needs none.
    const how = [
      '--no-save',
      '--no-audit',
      '--no-fund',
      '--no-package-lock',
      '--ignore-scripts',
      '--force',
      '--loglevel=error',
    ];
    await promisify(execFile)('npm', ['install', '--prefix', folder, ...how, `${name}@${version}`], {
      timeout: INSTALL_LIMIT_MS,
    });
  } catch (error) {
    if (existsSync(program)) return program; // from an earlier run: a registry that is away now need not stop the tests
    const { stderr = '', message } = error as Error & { stderr?: string };
    throw new Error(stderr.trim().split('\n')[0] || message, { cause: error });
  }
  return program;
}
