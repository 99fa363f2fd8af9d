/** The public members of a class or an interface, as the compiler declares them. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildFolder } from '../support/programs.ts';

/** What stands between the braces of that declaration. */
function bodyOf(text: string, name: string): string {
  const start = new RegExp(`(?:class|interface|type) ${name}\\b[^{=]*=?[^{]*\\{`).exec(text);
  if (start === null) throw new Error(`no class or interface ${name}`);
  const from = start.index + start[0].length;
  let depth = 1;
  let at = from;
  for (; depth > 0; at++) depth += { '{': 1, '}': -1 }[text[at] as string] ?? 0;
  return text.slice(from, at - 1);
}

/** Without what stands in braces or parentheses, so that only the members themselves are left. */
function outermost(text: string): string {
  let depth = 0;
  let result = '';
  for (const character of text) {
    if ('{('.includes(character)) depth++;
    if (depth === 0) result += character;
    if ('})'.includes(character)) {
      depth--;
      if (depth === 0) result += ' ';
    }
  }
  return result;
}

/** `file` is of the source, such as `http/serve.ts`. */
export function membersOf(file: string, name: string): string[] {
  const text = readFileSync(join(buildFolder, file.replace(/\.ts$/, '.d.ts')), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
  const members = new Set<string>();
  for (const part of outermost(bodyOf(text, name)).split(';')) {
    const member = part.replace(/\s+/g, ' ').trim();
    if (member === '' || /^(private|protected|#)/.test(member)) continue;
    const found = /^(?:(?:static|readonly|get|set|abstract|declare) )*(\[[\w.]+\]|\w+)/.exec(member)?.[1];
    if (found !== undefined && found !== 'constructor') members.add(found);
  }
  return [...members];
}
