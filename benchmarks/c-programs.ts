/**
 * CPrograms: the programs under c/, which are compiled when they are needed. They depend on libc and the kernel's headers, and the load generator for HTTPS on
 * OpenSSL.
 *
 * Next: peers.ts
 */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

/** The root of the repository: this file runs as build/benchmarks/c-programs.js. */
export const root = join(import.meta.dirname, '../..');

/** The message continues the name of the program: how to get the compiler, or what it says. */
export class NotCompiled extends Error {}

/** Returns the path of the program that `c/NAME.c` becomes, with these libraries. Throws NotCompiled. */
export function compileC(name: string, folder: string, libraries: readonly string[] = []): string {
  const program = join(folder, name);
  const path = join(root, `benchmarks/c/${name}.c`);
  const options = ['-O2', '-o', program, path, ...libraries.map((library) => `-l${library}`)];
  const { error, status, stderr } = spawnSync('cc', options, { encoding: 'utf8' });
  if (error !== undefined) throw new NotCompiled('needs a C compiler; get it with: apt-get install gcc libc6-dev');
  if (status !== 0) throw new NotCompiled(`is not compiled by cc: ${/^.*\berror: .*$/m.exec(stderr)?.[0] ?? stderr}`);
  return program;
}

export function compilerVersion(): string {
  return spawnSync('cc', ['-dumpfullversion'], { encoding: 'utf8' }).stdout.trim();
}
