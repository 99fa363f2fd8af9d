/** The chapters of docs/tcpip/: each file of simplenet/tcpip in one of them, in the order of the tour, and a picture that its command still makes. */

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import { test } from 'tap';
import { runExample } from '../support/examples.ts';
import { expectedOutput, root, teachingPages, textOf } from './pages.ts';

const folder = 'simplenet/tcpip/';
const chapters = teachingPages.filter((page) => /^docs\/tcpip\/\d/.test(page));

/** The files to which a part of a page links, in their order. */
function linkedFiles(page: string, text: string): string[] {
  const targets = [...text.matchAll(/\]\(([^)]+\.ts)\)/g)].map((match) =>
    normalize(join(dirname(page), match[1] as string)),
  );
  return targets.filter((file) => file.startsWith(folder));
}

function readingPathOf(page: string): string[] {
  const part = /^## The files, in reading order\n([\s\S]*?)^## /m.exec(textOf(page))?.[1] ?? '';
  return linkedFiles(page, part);
}

test('the reading paths visit each file of the stack, in the order of the tour', async (t) => {
  const tour = linkedFiles('docs/tour/6-our-own-tcpip.md', textOf('docs/tour/6-our-own-tcpip.md'));
  t.ok(tour.length > 50);
  t.same(chapters.flatMap(readingPathOf), tour);
});

test('each experiment is in a chapter, and each chapter has one', async (t) => {
  const names = readdirSync(join(root, 'examples/tcpip')).map((file) => file.replace('.ts', ''));
  const all = teachingPages.filter((page) => page.startsWith('docs/tcpip/'));
  const text = all.map(textOf).join('\n');
  for (const name of names) t.ok(text.includes(`$ npm run example -- tcpip/${name}`), name);
  for (const page of chapters) t.match(textOf(page), /\$ npm run example -- tcpip\//, page);
});

test('each chapter links to the one before and the one behind', async (t) => {
  for (const [i, page] of chapters.entries()) {
    const lines = textOf(page).trimEnd().split('\n');
    t.equal(lines.at(-1), lines[2], page);
    for (const [word, other] of [
      ['Previous', chapters[i - 1]],
      ['Next', chapters[i + 1]],
    ] as const) {
      const target = new RegExp(`${word}: \\[[^\\]]+\\]\\(([^)]+)\\)`).exec(lines[2] as string)?.[1];
      t.equal(target === undefined ? undefined : `docs/tcpip/${target}`, other, `${page}, ${word}`);
    }
  }
});

test('plot-congestion prints what docs/tcpip/7-congestion.md says, and draws its picture, byte for byte', async (t) => {
  const place = mkdtempSync(join(tmpdir(), 'simplenet-'));
  t.teardown(() => rmSync(place, { recursive: true }));
  const path = join(place, 'congestion.svg');
  const { code, stdout, stderr } = await runExample('tcpip/plot-congestion', path).ends();
  t.equal(code, 0, stderr);
  const command = 'npm run example -- tcpip/plot-congestion /tmp/congestion.svg';
  t.equal(stdout.trimEnd(), expectedOutput('docs/tcpip/7-congestion.md', command));
  t.equal(readFileSync(path, 'utf8'), textOf('docs/tcpip/congestion.svg'));
});

test('without a file, plot-congestion says how it is called', async (t) => {
  const { code, stderr } = await runExample('tcpip/plot-congestion').ends();
  t.same([code, stderr], [1, 'name the file: npm run example -- tcpip/plot-congestion OUT.svg\n']);
});
