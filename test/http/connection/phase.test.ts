/** Phase: each step that the table of the file allows, and no other. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import * as phases from '../../../http/connection/phase.ts';
import { buildFolder } from '../../support/programs.ts';

const { step, ...numbers } = phases;
const names = Object.keys(numbers) as (keyof typeof numbers)[];

/** The table as it stands in the comment: the names in its last column. */
function allowedAfter(name: string): readonly string[] {
  const source = readFileSync(join(buildFolder, '../http/connection/phase.ts'), 'utf8');
  const line = source.split('\n').find((text) => text.startsWith(` *     ${name} `)) ?? '';
  const last = line.split(/ {2,}/).at(-1) as string;
  return last === '-' ? [] : last.split(', ');
}

test('the steps are those that the comment says', (t) => {
  t.equal(names.length, 9);
  for (const from of names) {
    const allowed = from === 'CLOSED' ? [] : [...allowedAfter(from), 'CLOSED'];
    for (const to of names) {
      if (allowed.includes(to)) t.equal(step(numbers[from], numbers[to]), numbers[to], `${from} to ${to}`);
      else t.throws(() => step(numbers[from], numbers[to]), { message: `from ${from} to ${to}` }, `${from} to ${to}`);
    }
  }
  t.end();
});
