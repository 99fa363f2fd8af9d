/** The chapters of the tour: every file in one of them, in the order of the `Next:` lines, and each chapter leads to the next. */

import { readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'tap';
import { root, teachingPages, textOf } from './pages.ts';

const chapters = teachingPages.filter((page) => page.startsWith('docs/tour/'));

/** The files in the order in which each names the next. */
function filesOfTour(): string[] {
  const files: string[] = [];
  let file: string | undefined = 'simplenet/kernel/abi.ts';
  while (file !== undefined && !files.includes(file)) {
    files.push(file);
    const next: string | undefined = /^ \* Next: (\S+)$/m.exec(readFileSync(join(root, file), 'utf8'))?.[1];
    file = next === undefined ? undefined : normalize(join(dirname(file), next));
  }
  return files;
}

test('the chapters name each file of the tour, in its order', async (t) => {
  const named = chapters.flatMap((page) =>
    [...textOf(page).matchAll(/^\d+\. \[`[^`]+`\]\(([^)]+)\): \S/gm)].map((match) =>
      normalize(join(dirname(page), match[1] as string)),
    ),
  );
  t.same(named, filesOfTour());
});

test('each chapter links to the one before and the one behind, at its top and at its end', async (t) => {
  for (const [i, page] of chapters.entries()) {
    const lines = textOf(page).trimEnd().split('\n');
    const links = lines[2] as string;
    t.equal(lines.at(-1), links, page);
    for (const [word, other] of [
      ['Previous', chapters[i - 1]],
      ['Next', chapters[i + 1]],
    ] as const) {
      const target = new RegExp(`${word}: \\[[^\\]]+\\]\\(([^)]+)\\)`).exec(links)?.[1];
      t.equal(target === undefined ? undefined : `docs/tour/${target}`, other, `${page}, ${word}`);
    }
  }
});
