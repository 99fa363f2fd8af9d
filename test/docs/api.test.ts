/** docs/api.md has every exported name, every member of the public objects and every option, with the default that it has. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import * as fetchServer from '../../fetch/index.ts';
import * as http from '../../http/index.ts';
import { serve } from '../../http/index.ts';
import * as simplenet from '../../simplenet/index.ts';
import { abi, createEventLoop } from '../../simplenet/index.ts';
import { defaultLoopLimits } from '../../simplenet/loop/loop-limits.ts';
import { defaultStackLimits } from '../../simplenet/tcpip/stack-limits.ts';
import { membersOf } from './declarations.ts';
import { root, textOf } from './pages.ts';

const page = 'docs/api.md';

interface Table {
  readonly mark: string;
  readonly rows: readonly (readonly string[])[];
}

/** The names in code, without arguments and without the class in front. */
function namesIn(text: string): string[] {
  const spans = [...text.matchAll(/`([^`]+)`/g)].map((match) => match[1] as string);
  return spans.map((span) => span.replace(/\(.*$/, '').replace(/^[A-Z]\w+\./, ''));
}

function tablesOf(text: string): Table[] {
  const tables: Table[] = [];
  for (const match of text.matchAll(/^<!-- ((?:members|names): .*) -->\n((?:\|.*\n)+)/gm)) {
    const [, mark = '', lines = ''] = match;
    const rows = lines.trimEnd().split('\n').slice(2);
    tables.push({ mark, rows: rows.map((row) => row.split('|').map((cell) => cell.trim())) });
  }
  return tables;
}

const tables = tablesOf(textOf(page));

function namesOf({ rows }: Table): string[] {
  return rows.flatMap((row) => namesIn(row[1] as string));
}

const units: Readonly<Record<string, number>> = { '': 1, ms: 1, s: 1_000, min: 60_000, KiB: 1_024, MiB: 1_024 ** 2 };

/** `8 KiB`, `10 s`, `240`, `none`, `never`. */
function amountOf(cell: string): number {
  if (cell === 'none') return Number.MAX_SAFE_INTEGER;
  if (cell === 'never') return Number.POSITIVE_INFINITY;
  const [, number, unit = ''] = /^(\d+)(?: (ms|s|min|KiB|MiB))?$/.exec(cell) ?? [];
  return Number(number) * (units[unit] as number);
}

/** Those that a stack has beside the limits of every loop. */
const stackLimits = Object.fromEntries(
  Object.entries(defaultStackLimits).filter(([name]) => !(name in defaultLoopLimits)),
);

const defaults: Readonly<Record<string, object>> = {
  defaultLimits: http.defaultLimits,
  defaultTimeouts: http.defaultTimeouts,
  defaultLoopLimits,
  stackLimits,
};

test('each table has all members of what it is about, and no other', async (t) => {
  const marked = tables.filter(({ mark }) => mark.startsWith('members'));
  t.ok(marked.length > 20);
  for (const table of marked) {
    const types = (table.mark.replace(/^members: |, defaults.*$/g, '') as string).split(' + ');
    const members = types.flatMap((type) => membersOf(...(type.split(' ') as [string, string])));
    t.same([...new Set(namesOf(table))].sort(), [...new Set(members)].sort(), table.mark);
  }
});

test('the defaults of limits are those of the code', async (t) => {
  let count = 0;
  for (const { mark, rows } of tables) {
    const values = defaults[/, defaults: (\w+)/.exec(mark)?.[1] ?? ''] as Readonly<Record<string, number>> | undefined;
    for (const [name, value] of Object.entries(values ?? {})) {
      const row = rows.find((cells) => cells[1] === `\`${name}\``);
      t.equal(amountOf(row?.[2] ?? ''), value, name);
      count++;
    }
  }
  t.equal(count, Object.values(defaults).flatMap((values) => Object.keys(values)).length);
});

/** The cell of a default, by the name of its option. */
function defaultOf(option: string): string {
  const row = tables.flatMap(({ rows }) => rows).find((cells) => cells[1] === `\`${option}\``);
  return (row?.[2] ?? '').replaceAll('`', '');
}

test('the other defaults are true', async (t) => {
  const source = ['http/serve-options.ts', 'http/serve.ts']
    .map((file) => readFileSync(join(root, file), 'utf8'))
    .join();
  const constant = (name: string) => /= (.*);/.exec(source.slice(source.indexOf(`const ${name} =`)))?.[1];
  t.equal(`'${defaultOf('host')}'`, constant('DEFAULT_HOST'));
  t.equal(amountOf(defaultOf('graceMs')), Number(constant('DEFAULT_GRACE_MS')?.replaceAll('_', '')));
  t.equal(amountOf(defaultOf('idleGraceMs')), Number(constant('DEFAULT_IDLE_GRACE_MS')));
  t.equal(Number(defaultOf('backlog')), abi.SOMAXCONN);
  let seen: simplenet.OptionTarget | undefined;
  let noDelay = 0;
  const control = (socket: simplenet.OptionTarget) => {
    seen = socket;
    noDelay = socket.getOption(abi.IPPROTO_TCP, abi.TCP_NODELAY);
  };
  const server = serve(() => {}, { socket: { control } });
  t.ok(seen);
  t.match(server.address, { address: defaultOf('host') });
  t.equal(noDelay, 1, defaultOf('socket'));
  await server.close({ idleGraceMs: 1 });
  const loop = createEventLoop({ backend: defaultOf('backend') as simplenet.Backend });
  loop.close();
});

/** What an index file exports: values and types. */
function exportsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');
  const names = [...text.matchAll(/export (?:type )?\{([^}]*)\}/g)].flatMap((match) => (match[1] as string).split(','));
  const spaces = [...text.matchAll(/export \* as (\w+)/g)].map((match) => match[1] as string);
  return [...names.map((name) => name.trim().replace(/^type /, '')).filter((name) => name !== ''), ...spaces];
}

test('the page lists all exported names', async (t) => {
  for (const [file, module] of [
    ['http/index.ts', http],
    ['fetch/index.ts', fetchServer],
    ['simplenet/index.ts', simplenet],
  ] as const) {
    const table = tables.find(({ mark }) => mark === `names: ${file}`) as Table;
    t.same(namesOf(table).sort(), exportsOf(file).sort(), file);
    for (const name of Object.keys(module)) t.ok(exportsOf(file).includes(name), name);
  }
});
