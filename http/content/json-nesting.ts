/**
 * How deeply a JSON text nests, checked before it is parsed.
 *
 * JSON.parse survives a million open brackets. A handler may not: code that walks the value recurses once for each level, and so does
 * JSON.stringify. So the text is scanned first. The scan reads only brackets and strings; JSON.parse checks the rest of the grammar.
 *
 * Next: json-fault.ts
 */

const QUOTE = 0x22;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

export function nestsDeeperThan(text: string, depth: number): boolean {
  if (text.length <= depth) return false; // each level takes a character
  let open = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = endOfString(text, at + 1);
        break;
      case OPEN_ARRAY:
      case OPEN_OBJECT:
        if (++open > depth) return true;
        break;
      case CLOSE_ARRAY:
      case CLOSE_OBJECT:
        open--;
        break;
    }
  }
  return false;
}

/** The offset of the closing quote, or an offset at or after the end of the text. */
function endOfString(text: string, start: number): number {
  let at = start;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return at;
    at += code === BACKSLASH ? 2 : 1;
  }
  return at;
}
