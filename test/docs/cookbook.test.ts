/** docs/cookbook.md has each program of examples/cookbook/ as it is, but for what it imports the server from, and each has a test. */

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { blocksOf, root, textOf } from './pages.ts';

const page = 'docs/cookbook.md';
const HONO = 'test/peers/cookbook-hono.mjs';

/** The program without the comment that it opens with. */
function programOf(file: string): string {
  const text = textOf(file).replace(/^(\/\*\*[\s\S]*?\*\/|\/\/.*)\n+/, '');
  return text.replace(/'(\.\.\/)+(build\/)?http\/index\.[tj]s'/, "'simplenet/http'").trimEnd();
}

/** The comment that it opens with, as text. */
function essayOf(file: string): string {
  const [, comment = ''] = /^\/\*\*\n([\s\S]*?) \*\/\n/.exec(textOf(file)) ?? [];
  return comment.replace(/^ \* ?/gm, '').trim();
}

const names = readdirSync(join(root, 'examples/cookbook')).map((file) => file.replace('.ts', ''));

test('the page quotes each program whole', async (t) => {
  const quoted = blocksOf(page).filter(({ language }) => language !== 'console');
  const files = [...names.map((name) => `examples/cookbook/${name}.ts`), HONO];
  t.same(quoted.map(({ text }) => text).sort(), files.map(programOf).sort());
  for (const name of names) t.ok(textOf(page).includes(essayOf(`examples/cookbook/${name}.ts`)), name);
});

test('each program has a test of its name', async (t) => {
  const tests = textOf('test/examples/cookbook.test.ts');
  for (const name of names) t.ok(tests.includes(`\ntest('${name}', `), name);
  t.ok(tests.includes('cookbook-hono.mjs'));
});
