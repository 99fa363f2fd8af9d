/**
 * Media types, as Content-Type has them: `type/subtype; name=value; name="quoted value"` (RFC 9110 section 8.3.1).
 *
 * The parser is strict. Of `multipart/form-data; boundary=a; boundary=b` one program takes the first boundary and another the last, and
 * then they see different parts. So a parameter that comes twice, and text that does not fit the grammar, is not a media type.
 *
 * Next: content-disposition.ts
 */

import { isToken, trimBlanks } from '../grammar.ts';

export interface MediaType {
  /** `text/html`, in lower case. */
  readonly essence: string;
  /** Names in lower case, values without their quotes. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** How a quoted string is unquoted. */
export type Unquote = (inner: string) => string;

/** Returns null for text that is not a media type. */
export function parseMediaType(text: string): MediaType | null {
  const semicolon = text.indexOf(';');
  const essence = trimBlanks(semicolon === -1 ? text : text.slice(0, semicolon)).toLowerCase();
  const names = essence.split('/');
  if (names.length !== 2 || !names.every(isToken)) return null;
  const parameters = parseParameters(semicolon === -1 ? '' : text.slice(semicolon));
  return parameters === null ? null : { essence, parameters };
}

/** RFC 9110 section 5.6.4: a backslash stands before a character that is meant as it is. */
const unquotePairs: Unquote = (inner) => inner.replace(/\\([\s\S])/g, '$1');

/** `; name` and `=`, or a `;` alone: RFC 9110 section 5.6.6 allows empty parameters. */
const NAME = /[ \t]*;[ \t]*(?:([!#$%&'*+\-.^_`|~0-9A-Za-z]+)=)?/y;
const TOKEN_VALUE = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y;
/** Without backtracking: each character fits only one of the two. */
const QUOTED_VALUE = /"((?:[^"\\]|\\[\s\S])*)"/y;

/**
 * RFC 9110 section 5.6.6: parses `; name=value; ...`. Returns null for text that does not fit, and for a name that comes twice, in upper or
 * lower case.
 */
export function parseParameters(text: string, unquote: Unquote = unquotePairs): ReadonlyMap<string, string> | null {
  const parameters = new Map<string, string>();
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match !== null) at = pattern.lastIndex;
    return match;
  };
  while (at < text.length) {
    const parameter = take(NAME);
    if (parameter === null) return trimBlanks(text.slice(at)) === '' ? parameters : null;
    const name = parameter[1]?.toLowerCase();
    if (name === undefined) continue;
    const quoted = take(QUOTED_VALUE);
    const value = quoted === null ? take(TOKEN_VALUE)?.[0] : unquote(quoted[1] as string);
    if (value === undefined || parameters.has(name)) return null;
    parameters.set(name, value);
  }
  return parameters;
}
