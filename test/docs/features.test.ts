/** docs/features.md: each feature that we say we have leads to a test that is there. */

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'tap';
import { root, textOf } from './pages.ts';

const page = 'docs/features.md';

/** The cells of each row, without those of the heads. */
const rows = textOf(page)
  .split('\n')
  .filter((line) => /^\| [^|]/.test(line) && !line.startsWith('| |'))
  .map((line) => line.slice(2, -2).split(' | '));

/** Whether a test of this name is in the file. A name that is made of parts may be given by its first one. */
function hasTest(file: string, name: string): boolean {
  const calls = [...textOf(file).matchAll(/\btest\(\s*(?:'([^'\n]+)'|`([^`\n]+)`)/g)];
  return calls.some(([, plain, template]) => plain === name || template?.split('${')[0]?.replace(/ \(?$/, '') === name);
}

test('each row has a cell for each server', async (t) => {
  t.ok(rows.length > 40);
  for (const cells of rows) t.equal(cells.length, 5, cells.join(' | '));
});

test('each cell says y, n, partly or that it is not known', async (t) => {
  for (const [feature, ...cells] of rows) {
    if (feature === 'Runs on') continue;
    for (const cell of cells) t.match(cell, /^(\[y\]|\[partly\]|y\b|n\b|partly:|\?$)/, `${feature}: ${cell}`);
  }
});

test('what we have is shown by a test that is there', async (t) => {
  for (const [feature = '', ...cells] of rows) {
    const ours = cells[3] as string;
    if (feature === 'Runs on' || /^n\b/.test(ours)) continue;
    const [, target = '', name = ''] = /^\[(?:y|partly)\]\((\S+) "([^"]+)"\)/.exec(ours) ?? [];
    const file = join(dirname(page), target);
    t.ok(file.startsWith('test/') && existsSync(join(root, file)), `${feature}: ${file}`);
    t.ok(hasTest(file, name), `${feature}: '${name}' in ${file}`);
  }
});

test('the versions are those of the lists of packages', async (t) => {
  const { packages } = JSON.parse(textOf('benchmarks/peers/package-lock.json')) as {
    packages: Readonly<Record<string, { readonly version: string }>>;
  };
  const versions = ['hono', '@hono/node-server', 'srvx', 'bun'].map(
    (name) => packages[`node_modules/${name}`]?.version,
  );
  const said = [...textOf(page).matchAll(/ (\d+\.\d+\.\d+)\b/g)].map((match) => match[1]);
  t.same(said, versions);
});
