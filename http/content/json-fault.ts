/**
 * Where a JSON text breaks the grammar of RFC 8259. It is called after JSON.parse has refused the text.
 *
 * The messages of JSON.parse differ between versions of Node, often name no place, and contain text of the client. A body may hold
 * a password, so the place is found here, and the message names a line and a column only. The scan does not recurse: a recursive one
 * could overflow the stack where `jsonDepth` is high.
 *
 * Next: form-fields.ts
 */

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const WORD = /true|false|null/y;
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
/** What ends a run of plain characters in a string. */
const SPECIAL = /["\\\u0000-\u001f]/g;
const BLANKS = ' \t\n\r';

/** What may come next. `end` is the end of a value: `,`, a closing bracket, or the end of the text. */
type Expected = 'value' | 'value or ]' | 'name' | 'name or }' | ':' | 'end';

/** Returns the offset of the first character that cannot stand there, the length if the text ends too early, or -1 if it is valid. */
export function jsonFaultOf(text: string): number {
  const open: string[] = [];
  let expected: Expected = 'value';
  let at = 0;
  for (;;) {
    while (at < text.length && BLANKS.includes(text[at] as string)) at++;
    if (at === text.length) return expected === 'end' && open.length === 0 ? -1 : at;
    const character = text[at] as string;
    const opener = open.at(-1);
    let end = at + 1;
    if (expected === ':') {
      if (character !== ':') return at;
      expected = 'value';
    } else if (isCloser(expected, opener, character)) {
      open.pop();
      expected = 'end';
    } else if (expected === 'end') {
      if (character !== ',' || opener === undefined) return at;
      expected = opener === '[' ? 'value' : 'name';
    } else if (character === '"') {
      end = endOfString(text, end);
      if (text[end] !== '"') return end;
      end++;
      expected = isName(expected) ? ':' : 'end';
    } else if (isName(expected)) {
      return at;
    } else if (character === '[' || character === '{') {
      open.push(character);
      expected = character === '[' ? 'value or ]' : 'name or }';
    } else {
      end = endOf(isDigitOrMinus(character) ? NUMBER : WORD, text, at);
      if (end === at) return at;
      expected = 'end';
    }
    at = end;
  }
}

function isCloser(expected: Expected, opener: string | undefined, character: string): boolean {
  if (character === ']') return expected === 'value or ]' || (expected === 'end' && opener === '[');
  return character === '}' && (expected === 'name or }' || (expected === 'end' && opener === '{'));
}

function isName(expected: Expected): boolean {
  return expected === 'name' || expected === 'name or }';
}

function isDigitOrMinus(character: string): boolean {
  return character === '-' || (character >= '0' && character <= '9');
}

/** Returns the end of what the pattern matches at that offset, or the offset itself. */
function endOf(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : at;
}

/** Returns the offset of the closing quote, or of the character that cannot stand in a string. */
function endOfString(text: string, start: number): number {
  let at = start;
  for (;;) {
    SPECIAL.lastIndex = at;
    if (!SPECIAL.test(text)) return text.length;
    const special = SPECIAL.lastIndex - 1;
    at = endOf(ESCAPE, text, special);
    if (at === special) return special; // the quote, a control character, or a wrong escape
  }
}

/** Describes the place of the fault: `unexpected character at line 2, column 7`. Both count from 1. */
export function describeJsonFault(text: string): string {
  const at = Math.max(0, jsonFaultOf(text));
  let line = 1;
  let lineStart = 0;
  for (let end = text.indexOf('\n'); end !== -1 && end < at; end = text.indexOf('\n', lineStart)) {
    line++;
    lineStart = end + 1;
  }
  const what = at === text.length ? 'it ends too early' : 'unexpected character';
  return `${what} at line ${line}, column ${at - lineStart + 1}`;
}
