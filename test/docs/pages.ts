/**
 * The documents of this project: their headings, their code blocks, and the mark that says how a block is checked.
 *
 * A mark is a comment in the line before a block, which no reader of the page sees:
 *
 *     <!-- run -->                           its commands are run, and print what stands there
 *     <!-- run, figures differ -->           numbers, dates and hashes may be others
 *     <!-- run, stays -->                    the command, or the TypeScript program, runs to the end of the section
 *     <!-- run, asked by: curl ... -->       the same, and this command is run meanwhile
 *     <!-- run, needs io_uring -->           where the kernel allows it
 *     <!-- compared by test/... -->          that test runs the command and compares what it prints with the page
 *     <!-- not run: reason -->
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildFolder } from '../support/programs.ts';

export const root = join(buildFolder, '..');

export interface Mark {
  readonly kind: 'run' | 'compared' | 'not run' | 'none';
  /** The file of the test, or the reason. */
  readonly text: string;
  readonly figuresDiffer: boolean;
  readonly stays: boolean;
  readonly needsUring: boolean;
  readonly askedBy: string | null;
}

export interface Block {
  readonly page: string;
  /** The line of its fence. */
  readonly line: number;
  readonly section: string;
  readonly language: string;
  readonly mark: Mark;
  readonly text: string;
}

/** `$ command`, and what it prints. */
export interface Command {
  readonly command: string;
  readonly output: string;
}

/** Chapter 10 comes after chapter 9. */
const inOrder = new Intl.Collator('en', { numeric: true }).compare;

function pagesIn(folder: string): string[] {
  const names = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' });
  return names.filter((name) => name.endsWith('.md')).map((name) => join(folder, name));
}

/** The pages whose blocks are checked. */
export const teachingPages: readonly string[] = ['README.md', 'CONTRIBUTING.md', ...pagesIn('docs').sort(inOrder)];

export const allPages: readonly string[] = [
  ...teachingPages,
  ...['ARCHITECTURE.md', 'SECURITY.md', 'CHANGELOG.md', 'benchmarks/README.md'],
];

export function textOf(page: string): string {
  return readFileSync(join(root, page), 'utf8');
}

function markOf(comment: string): Mark {
  const content = /^<!-- (.*) -->$/.exec(comment)?.[1] ?? '';
  const kind = /^(run|compared|not run)\b/.exec(content)?.[1] ?? 'none';
  return {
    kind: kind as Mark['kind'],
    text: content.replace(/^(compared by |not run: )/, ''),
    figuresDiffer: content.includes(', figures differ'),
    stays: content.includes(', stays'),
    needsUring: content.includes(', needs io_uring'),
    askedBy: /, asked by: (.*)$/.exec(content)?.[1] ?? null,
  };
}

export function blocksOf(page: string): Block[] {
  const lines = textOf(page).split('\n');
  const blocks: Block[] = [];
  let section = '';
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] as string;
    if (line.startsWith('#')) section = line;
    const fence = /^(`{3,})(\w*)$/.exec(line);
    if (fence === null) continue;
    const end = lines.indexOf(fence[1] as string, i + 1);
    if (end === -1) throw new Error(`${page}:${i + 1}: this block has no end`);
    const text = lines.slice(i + 1, end).join('\n');
    blocks.push({ page, line: i + 1, section, language: fence[2] as string, mark: markOf(lines[i - 1] ?? ''), text });
    i = end;
  }
  return blocks;
}

export function commandsOf(block: Block): Command[] {
  const parts = block.text.split(/^\$ /m);
  if (parts.shift()?.trim() !== '') throw new Error(`${block.page}:${block.line}: it does not begin with a command`);
  return parts.map((part) => {
    const [command, ...output] = part.split('\n');
    return { command: command as string, output: output.join('\n').trimEnd() };
  });
}

/** What a page says that this command prints. */
export function expectedOutput(page: string, command: string): string {
  const found = blocksOf(page)
    .filter((block) => block.language === 'console')
    .flatMap(commandsOf)
    .find((each) => each.command === command);
  if (found === undefined) throw new Error(`${page} has no command '${command}'`);
  return found.output;
}

const WEEKDAY = /\b(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?\b/g;
const MONTH =
  /\b(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:tember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\b/g;

/** The text with a placeholder for each number, date and hash. A frame around them is as wide as they are. */
export function shapeOf(text: string): string {
  return text
    .replace(/\b[0-9a-f]{64}\b/g, '<hash>')
    .replace(WEEKDAY, '<day>')
    .replace(MONTH, '<month>')
    .replace(/\d+/g, '<n>')
    .replace(/─+/g, '─')
    .replace(/ +│$/gm, ' │')
    .replace(/(Date: <day>, <n> )[A-Z](?=")/g, '$1<month>'); // a trace cuts what is sent
}

/** A line `...` stands for any lines. */
export function matches(actual: string, expected: string): boolean {
  const pattern = expected
    .split('\n')
    .map((line) => (line === '...' ? '(?:.*\\n)*?' : `${line.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}\\n`))
    .join('');
  return new RegExp(`^${pattern}$`).test(`${actual}\n`);
}

/** For a test that runs an example itself: whether it has printed what docs/examples.md says, figures aside. */
export function printsAsInPage(command: string, printed: string): boolean {
  return matches(shapeOf(printed.trimEnd()), shapeOf(expectedOutput('docs/examples.md', command)));
}
