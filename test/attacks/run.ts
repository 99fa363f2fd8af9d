/**
 * `npm run attack -- NAME [--backend epoll|io_uring] [--short]`: runs one attack, on both loops unless one is named, and prints
 * what it found. The exit code is 1 where a finding is above its limit. Without a name it lists all attacks.
 */

import { readdirSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { backends, missingBackend } from '../support/backends.ts';
import type { Attack, AttackOptions, Finding } from './attack.ts';

const names = readdirSync(import.meta.dirname)
  .flatMap((file) => /^([a-z-]+)\.js$/.exec(file)?.[1] ?? [])
  .filter((name) => name !== 'attack' && name !== 'run')
  .sort();

async function load(name: string): Promise<Attack> {
  const module = (await import(`./${name}.js`)) as { readonly attack: Attack };
  return module.attack;
}

function lineOf({ what, value, atMost }: Finding): string {
  const limit = atMost === Number.POSITIVE_INFINITY ? '' : `   at most ${atMost}${value > atMost ? '   TOO MUCH' : ''}`;
  return `  ${what}: ${value}${limit}`;
}

async function list(): Promise<void> {
  console.log('npm run attack -- NAME [--backend epoll|io_uring] [--short]\n');
  for (const name of names) console.log(`${name.padEnd(22)}${(await load(name)).title}`);
}

async function runOne(name: string, options: AttackOptions): Promise<void> {
  const { backend } = options;
  if (missingBackend[backend] !== false) {
    console.log(`${name} on ${backend}: skipped, ${missingBackend[backend]}`);
    return;
  }
  const findings = await (await load(name)).run(options);
  console.log(`${name} on ${backend}, Node ${process.versions.node}`);
  for (const finding of findings) console.log(lineOf(finding));
  if (findings.some(({ value, atMost }) => value > atMost)) process.exitCode = 1;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { backend: { type: 'string' }, short: { type: 'boolean', default: false } },
  });
  if (positionals.length === 0) return list();
  const chosen = backends.filter((backend) => values.backend === undefined || values.backend === backend);
  if (chosen.length === 0) throw new RangeError(`--backend must be epoll or io_uring, not '${values.backend}'`);
  for (const name of positionals) {
    if (!names.includes(name)) throw new RangeError(`there is no attack '${name}'; there are: ${names.join(', ')}`);
    for (const backend of chosen) await runOne(name, { backend, size: values.short ? 'short' : 'full' });
  }
}

try {
  await main();
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 2;
}
