/**
 * Every name that a front door exports has a doc comment with an example, which an editor shows, and which compiles. Every member of a
 * public class has a comment as well.
 */

import { readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'tap';
import { buildFolder } from '../support/programs.ts';
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
  for (const [, name = ''] of text.matchAll(/export \* as (\w+)/g)) files.set(name, index);
  return files;
}

/** The example in the comment right before the declaration, or null. */
function exampleOf(name: string, file: string): Block | null {
  const text = readFileSync(join(root, file), 'utf8');
  const declaration = new RegExp(
    `^export (?:class|interface|type|(?:async )?function|const|\\* as) ${name}\\b`,
    'm',
  ).exec(text);
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

/** By the name of a program's import, the folder of the front door. */
const doors = { simplenet: 'simplenet', 'simplenet/http': 'http', 'simplenet/fetch': 'fetch' };

test('each has an example, and the examples compile', async (t) => {
  const examples: Block[] = [];
  for (const [door, folder] of Object.entries(doors)) {
    for (const [name, file] of declaringFiles(`${folder}/index.ts`)) {
      if (file === 'http/index.ts') continue; // `simplenet/fetch` passes it on
      const example = exampleOf(name, file);
      t.ok(example?.text.includes(`from '${door}'`), `${name} in ${file}`);
      if (example !== null) examples.push(example);
    }
  }
  t.ok(examples.length > 100);
  await compileBlocks(t, examples);
});

interface Member {
  readonly name: string;
  /** Whether a comment is right before it. */
  readonly isExplained: boolean;
}

/** The members of a class, and of its bases in other files, as the compiler declares them; none for an interface. */
function classMembers(name: string, file: string): Member[] {
  const text = readFileSync(join(buildFolder, file.replace(/\.ts$/, '.d.ts')), 'utf8');
  const declaration = new RegExp(
    `^export declare class ${name}\\b(?:<[^>]*>)?(?: extends (\\w+))?.*\\{\n([^]*?)^\\}`,
    'm',
  ).exec(text);
  if (declaration === null) return [];
  const [, base, body = ''] = declaration;
  const members: Member[] = [];
  let before = '';
  for (const line of body.split('\n')) {
    const member = /^ {4}(?!private )(?:(?:static|readonly|get) )*([\w[][\w.\]]*)/.exec(line)?.[1];
    if (member !== undefined) members.push({ name: `${name}.${member}`, isExplained: before.endsWith('*/') });
    before = line;
  }
  const baseFile = new RegExp(`import \\{[^}]*\\b${base}\\b[^}]*\\} from '([^']+)'`).exec(text)?.[1];
  return baseFile === undefined
    ? members
    : [...members, ...classMembers(base as string, join(dirname(file), baseFile))];
}

test('each member of a public class has a comment', async (t) => {
  const folders = Object.values(doors);
  const declared = folders.flatMap((folder) => [...declaringFiles(`${folder}/index.ts`)]);
  // `simplenet/fetch` passes names of `http/index.ts` on.
  const members = declared.filter(([, file]) => file !== 'http/index.ts').flatMap((each) => classMembers(...each));
  const names = members.map(({ name }) => name);
  for (const name of [
    'Epoll.wait',
    'Descriptor.fd',
    'Socket.bind',
    'SystemError.code',
    'HeaderList.get',
    'Listener.close',
  ])
    t.ok(names.includes(name), name);
  t.same(
    members.filter(({ isExplained }) => !isExplained).map(({ name }) => name),
    [],
  );
});
