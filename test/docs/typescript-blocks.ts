/**
 * The TypeScript of the documents, compiled as a program that uses this package would be: a block that does not compile fails.
 *
 * A block that lacks something, such as a `request` to show a method of, gets it from a comment before it: `<!-- with: declare const ... -->`.
 */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { buildFolder, Program } from '../support/programs.ts';
import { type Block, root, textOf } from './pages.ts';

function nameOf({ page, line }: Block): string {
  return `${page.replace(/\W/g, '_')}_${line}`;
}

/** What a block lacks. */
function preludeOf({ page, line }: Block): string {
  const before = textOf(page).split('\n')[line - 2] ?? '';
  return /^<!-- with: (.*) -->$/.exec(before)?.[1] ?? '';
}

const settings = {
  extends: join(root, 'tsconfig.json'),
  compilerOptions: {
    rootDir: '.',
    outDir: 'out',
    noUnusedLocals: false,
    noUnusedParameters: false,
    declaration: false,
    declarationMap: false,
  },
  include: ['*.ts'],
};

/** Compiles all blocks at once. The folder lies in this package, so that `simplenet/http` in it means this package. */
export async function compileBlocks(t: Test, blocks: readonly Block[]): Promise<{ compiled(block: Block): string }> {
  const folder = mkdtempSync(join(buildFolder, 'documents-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, 'out'));
  for (const block of blocks) {
    if (block.language !== 'ts') continue;
    writeFileSync(join(folder, `${nameOf(block)}.ts`), `${preludeOf(block)}\n${block.text}\nexport {};\n`);
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(settings));
  const { PATH = '' } = process.env; // without what tap slips into the environment of its children
  const command = [process.execPath, join(root, 'node_modules/typescript/bin/tsc'), '-p', folder];
  const compiler = new Program('env', ['-i', `PATH=${PATH}`, ...command]);
  const { code, stdout, stderr } = await compiler.ends();
  t.equal(code, 0, stdout + stderr);
  return { compiled: (block) => join(folder, 'out', `${nameOf(block)}.js`) };
}
