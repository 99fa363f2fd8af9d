/**
 * Writes deploy/seccomp.json: the system calls of the server, of Node and of what applications do (site.ts), as strace sees them.
 *
 *     node build/test/e2e/seccomp/record.js [NODE ...]
 *
 * Each NODE is another version to record, too. Names that the profile has already stay: another version, C library or machine may need them.
 */

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildFolder } from '../../support/programs.ts';
import { exercise } from './exercise.ts';

interface Profile {
  readonly syscalls: readonly { readonly names: readonly string[]; readonly action: string }[];
}

const path = join(buildFolder, '../deploy/seccomp.json');
const profile = JSON.parse(readFileSync(path, 'utf8')) as Profile;
const names = new Set(profile.syscalls[0]?.names);
const folder = mkdtempSync(join(tmpdir(), 'simplenet-strace-'));
for (const node of [process.execPath, ...process.argv.slice(2)]) {
  await exercise(['strace', '-D', '-ff', '-qq', '-o', join(folder, 'calls')], node);
}
for (const file of readdirSync(folder)) {
  for (const [, name = ''] of readFileSync(join(folder, file), 'latin1').matchAll(/^(\w+)\(/gm)) names.add(name);
}
rmSync(folder, { recursive: true });
const [rule, ...others] = profile.syscalls;
writeFileSync(
  path,
  `${JSON.stringify({ ...profile, syscalls: [{ ...rule, names: [...names].sort() }, ...others] }, null, 2)}\n`,
);
console.log(`${names.size} system calls`);
