/** Every link of the documents leads somewhere: to a file, and to a heading of it. */

import { existsSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'tap';
import { allPages, root, textOf } from './pages.ts';

function withoutCode(text: string): string {
  return text.replace(/^(`{3,})[\s\S]*?^\1$/gm, '').replace(/`[^`\n]*`/g, 'code');
}

/** As GitHub makes them. */
function anchorsOf(page: string): string[] {
  const text = textOf(page).replace(/^(`{3,})[\s\S]*?^\1$/gm, '');
  const seen = new Map<string, number>();
  return [...text.matchAll(/^#+ (.*)$/gm)].map((match) => {
    const name = (match[1] as string)
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-');
    const count = seen.get(name) ?? 0;
    seen.set(name, count + 1);
    return count === 0 ? name : `${name}-${count}`;
  });
}

test('every relative link and every anchor resolves', async (t) => {
  for (const page of allPages) {
    for (const [, target = ''] of withoutCode(textOf(page)).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue;
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? page : normalize(join(dirname(page), path));
      t.ok(existsSync(join(root, file)), `${page}: ${target}`);
      if (anchor === undefined || !existsSync(join(root, file))) continue;
      t.ok(file.endsWith('.md') && anchorsOf(file).includes(anchor), `${page}: ${target} is a heading`);
    }
  }
});

test('every file that is named in code in the documents is there', async (t) => {
  const folders = 'simplenet|http|fetch|command|test|examples|benchmarks|docs';
  const pattern = new RegExp(`\`((?:${folders})/(?!(?:http|fetch|1\\.1)\`)[\\w./-]+)\``, 'g');
  for (const page of allPages) {
    if (page === 'CHANGELOG.md') continue; // it names what there was
    for (const [, file = ''] of textOf(page).matchAll(pattern)) {
      const path = join(root, file);
      const isThere = existsSync(path) || existsSync(path.replace(/\.js$/, '.ts'));
      t.ok(isThere && (!file.endsWith('/') || statSync(path).isDirectory()), `${page}: ${file}`);
    }
  }
});
