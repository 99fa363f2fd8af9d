/** Every name that `simplenet/http` and `simplenet/fetch` export has a doc comment with an example, which an editor shows, and which compiles. */

import { readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'tap';
import { type Block, root } from './pages.ts';
import { compileBlocks } from './typescript-blocks.ts';

/** By exported name, the file that declares it. */
function declaringFiles(index: string): Map<string, string> {
  const files = new Map<string, string>();
  const text = readFileSync(join(root, index), 'utf8');
  for (const [, names = '', file = ''] of text.matchAll(/export (?:type )?\{([^}]*)\} from '([^']+)'/g)) {
    for (const name of names.split(',').map((each) => each.trim().replace(/^type /, ''))) {
      if (name !== '') files.set(name, normalize(join(dirname(index), file)));
    }
  }
  return files;
}

/** The example in the comment right before the declaration, or null. */
function exampleOf(name: string, file: string): Block | null {
  const text = readFileSync(join(root, file), 'utf8');
  const declaration = new RegExp(`^export (?:class|interface|type|(?:async )?function|const) ${name}\\b`, 'm').exec(
    text,
  );
  if (declaration === null) return null;
  const before = text.slice(0, declaration.index);
  const comment = before.endsWith('*/\n') ? before.slice(before.lastIndexOf('/**')) : '';
  const example = /^ \* ```ts\n([\s\S]*?)^ \* ```$/m.exec(comment)?.[1];
  if (example === undefined) return null;
  const mark = {
    kind: 'none',
    text: '',
    figuresDiffer: false,
    stays: false,
    needsUring: false,
    askedBy: null,
  } as const;
  const line = before.split('\n').length;
  return { page: file, line, section: name, language: 'ts', mark, text: example.replace(/^ \* ?/gm, '') };
}

test('each has an example, and the examples compile', async (t) => {
  const examples: Block[] = [];
  for (const door of ['http', 'fetch']) {
    for (const [name, file] of declaringFiles(`${door}/index.ts`)) {
      if (file === 'http/index.ts') continue; // `simplenet/fetch` passes it on
      const example = exampleOf(name, file);
      t.ok(example?.text.includes(`from 'simplenet/${door}'`), `${name} in ${file}`);
      if (example !== null) examples.push(example);
    }
  }
  t.ok(examples.length > 15);
  await compileBlocks(t, examples);
});
