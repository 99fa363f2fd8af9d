/**
 * How deeply a JSON text nests, asked before it is parsed.
 *
 * JSON.parse itself survives a million open brackets. The handler does not: code that walks the value calls itself once for each
 * level, and JSON.stringify does the same. So the text is scanned first. The scan knows brackets and strings and nothing else of
 * the grammar. Whether the text is JSON at all is for JSON.parse to say.
 *
 * Next: form-fields.ts
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

/** Where the string's closing quote stands, or the end of the text. */
function endOfString(text: string, start: number): number {
  let at = start;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return at;
    at += code === BACKSLASH ? 2 : 1;
  }
  return at;
}
