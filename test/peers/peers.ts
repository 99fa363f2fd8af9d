/** The frameworks of test/peers/package.json. Without them their tests are skipped, with a line that says how to get them. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Where their programs are: JavaScript that needs no build. */
export const peersFolder = join(import.meta.dirname, '../../../test/peers');

/** What `skip` of a test takes: false if the package is there. */
export function missingPeer(name: string): string | false {
  return existsSync(join(peersFolder, 'node_modules', name))
    ? false
    : `${name} is not installed; get it with: npm --prefix test/peers ci`;
}

/** Imports a file of the folder, which may import the packages. */
export function importPeer<T>(file: string): Promise<T> {
  return import(pathToFileURL(join(peersFolder, file)).href) as Promise<T>;
}
