/** docs/fetch-server-api.md: each clause that is said to be done names a test that exists, and the page names the draft of the code. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { FETCH_SERVER_DRAFT } from '../../fetch/index.ts';
import { root, textOf } from './pages.ts';

const page = textOf('docs/fetch-server-api.md');

const folders: Readonly<Record<string, string>> = {
  server: 'test/fetch',
  'listen-options': 'test/fetch',
  'context-web-socket': 'test/http/websocket',
};

function titlesOf(file: string): string[] {
  const text = readFileSync(join(root, folders[file] ?? 'test/http/handlers', `${file}.test.ts`), 'utf8');
  return [...text.matchAll(/^test\((['`])(.*?)\1/gm)].map((match) => match[2] as string);
}

test('each clause has a test', async (t) => {
  const rows = [...page.matchAll(/^\| (.+) \| (.+) \| (.*) \|$/gm)].filter((row) => row[1] !== 'clause');
  t.ok(rows.length > 70);
  for (const [, clause = '', here = '', test = ''] of rows) {
    if (test === '') t.match(here, /^no\b/, `${clause}: only what cannot be done has no test`);
    const [, file = '', title = ''] = /^`([\w-]+)`: (.+)$/.exec(test) ?? [];
    if (test !== '')
      t.ok(
        titlesOf(file).some((each) => each.startsWith(title)),
        `${clause}: ${test}`,
      );
  }
});

test('the page names the draft that the code follows', async (t) => {
  t.ok(page.includes(FETCH_SERVER_DRAFT.commit));
  t.ok(page.includes('August 2026') && FETCH_SERVER_DRAFT.date === '2026-08');
});
