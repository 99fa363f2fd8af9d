/** How each example introduces itself. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { runExample } from '../support/examples.ts';
import { buildFolder } from '../support/programs.ts';

test('every example opens with an essay, whose first sentence the list shows', async (t) => {
  const { stdout } = await runExample().ends();
  const names = ['', 'cookbook/'].flatMap((folder) =>
    readdirSync(join(buildFolder, 'examples', folder))
      .filter((file) => /^(?!run\.).*\.js$/.test(file))
      .map((file) => folder + file),
  );
  for (const file of names) {
    const source = join(buildFolder, '../examples', file.replace(/js$/, 'ts'));
    t.ok(existsSync(source), `${file} is of this tree`);
    t.match(readFileSync(source, 'utf8'), /^\/\*\*\n \* \S[^\n]+\n(?: \*[^\n]*\n)+ \*\/\n/, file);
    t.match(stdout, new RegExp(`^  ${file.replace('.js', '')} +\\S.*\\.$`, 'm'));
  }
});
