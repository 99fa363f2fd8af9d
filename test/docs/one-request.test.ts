/** The walk through one request names functions that exist, and tells the truth about its system calls. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { root, textOf } from './pages.ts';

const page = 'docs/one-request.md';

test('each function is in the file that is named before it', async (t) => {
  let count = 0;
  for (const [line] of textOf(page).matchAll(/^\|.*$/gm)) {
    for (const part of line.split(/(?=\[`)/)) {
      const file = /^\[`[\w.-]+`\]\(\.\.\/([\w/.-]+)\)/.exec(part)?.[1];
      if (file === undefined) continue;
      const text = readFileSync(join(root, file), 'utf8');
      const names = (part.split('|')[0] as string).matchAll(/`(#?[a-zA-Z]\w*)`/g);
      for (const [, name = ''] of names) {
        count++;
        const defined = new RegExp(`(^|[^\\w#.])${name}\\b(: \\w+)?( =|\\(|: Handler| implements)`, 'm');
        t.ok(defined.test(text), `${name} is in ${file}`);
      }
    }
  }
  t.ok(count > 60, `${count} functions are named`);
});

test('the drawing names files that exist, and the calls that the README traces', async (t) => {
  const drawing = textOf('docs/one-request.svg');
  const files = [...drawing.matchAll(/>((?:simplenet|http)\/[\w/.-]+\.ts)</g)].map((match) => match[1] as string);
  t.ok(files.length > 10);
  for (const file of files) t.doesNotThrow(() => readFileSync(join(root, file)), file);
  const drawn = [...drawing.matchAll(/class="call">(\w+)\(/g)].map((match) => match[1]);
  const traced = /npm start -- --trace\n([\s\S]*?)```/.exec(textOf('README.md'))?.[1] ?? '';
  t.same(
    drawn,
    [...traced.matchAll(/^(\w+)\(/gm)].map((match) => match[1]),
  );
  const walked = textOf(page).split('## The same request')[0] as string;
  t.same(
    drawn,
    [...walked.matchAll(/^\| `(\w+)\(/gm)].map((match) => match[1]),
  );
});
