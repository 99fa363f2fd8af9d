/**
 * Structured fields: parses a dictionary, such as `u=1, i` (RFC 9651 section 4.2.2).
 *
 * The RFC has one grammar for all such fields, and a field with one error is ignored as a whole (section 4.2). So every type of value is
 * parsed, although few are used. Parameters are checked and dropped: no field that is read here has any with a meaning.
 *
 * Next: request-priority.ts
 */

export type StructuredItem =
  | { readonly kind: 'integer' | 'decimal' | 'date'; readonly value: number }
  | { readonly kind: 'string' | 'token' | 'display'; readonly value: string }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'bytes'; readonly value: Uint8Array };

export type StructuredValue = StructuredItem | { readonly kind: 'list'; readonly value: readonly StructuredItem[] };

/** Returns the members by key, of which a later one replaces an earlier one of its name; null if the text breaks the grammar. */
export function parseDictionary(text: string): ReadonlyMap<string, StructuredValue> | null {
  try {
    return new Parser(text.replace(/^ +| +$/g, '')).dictionary();
  } catch (error) {
    /* c8 ignore next -- a mistake of this file. */
    if (!(error instanceof Malformed)) throw error;
    return null;
  }
}

class Malformed extends Error {}

const KEY = /[a-z*][a-z0-9_\-.*]*/y;
const NUMBER = /-?\d+(?:\.\d+)?/y;
/** Section 4.2.4: 15 digits; with a point 12 before it and 3 behind it. */
const IN_RANGE = /^-?(?:\d{1,15}|\d{1,12}\.\d{1,3})$/;
const STRING = /"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"/y;
const TOKEN = /[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*/y;
const BYTES = /:([A-Za-z0-9+/=]*):/y;
const BOOLEAN = /\?([01])/y;
const DISPLAY = /%"((?:[\x20\x21\x23\x24\x26-\x7e]|%[0-9a-f]{2})*)"/y;
const SPACES = / */y;
const OPTIONAL_WHITESPACE = /[ \t]*/y;

const utf8 = new TextDecoder('utf-8', { fatal: true });

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  dictionary(): ReadonlyMap<string, StructuredValue> {
    const members = new Map<string, StructuredValue>();
    while (this.#at < this.#text.length) {
      const key = this.#must(KEY);
      if (this.#takes('=')) members.set(key, this.#value());
      else {
        this.#parameters();
        members.set(key, { kind: 'boolean', value: true });
      }
      this.#must(OPTIONAL_WHITESPACE);
      if (this.#at === this.#text.length) break;
      if (!this.#takes(',')) throw new Malformed();
      this.#must(OPTIONAL_WHITESPACE);
      if (this.#at === this.#text.length) throw new Malformed(); // a comma at the end
    }
    return members;
  }

  #value(): StructuredValue {
    if (!this.#takes('(')) return this.#item();
    const items: StructuredItem[] = [];
    while (true) {
      this.#must(SPACES);
      if (this.#takes(')')) break;
      items.push(this.#item());
      if (this.#next !== ' ' && this.#next !== ')') throw new Malformed();
    }
    this.#parameters();
    return { kind: 'list', value: items };
  }

  #item(): StructuredItem {
    const item = this.#bareItem();
    this.#parameters();
    return item;
  }

  #bareItem(): StructuredItem {
    const next = this.#next;
    if (next === '"') return { kind: 'string', value: this.#must(STRING).replace(/\\(.)/g, '$1') };
    if (next === ':') return { kind: 'bytes', value: Buffer.from(this.#must(BYTES), 'base64') };
    if (next === '?') return { kind: 'boolean', value: this.#must(BOOLEAN) === '1' };
    if (next === '%') return { kind: 'display', value: this.#display() };
    if (this.#takes('@')) {
      const date = this.#number();
      if (date.kind !== 'integer') throw new Malformed();
      return { kind: 'date', value: date.value };
    }
    return /[-\d]/.test(next) ? this.#number() : { kind: 'token', value: this.#must(TOKEN) };
  }

  #number(): StructuredItem & { readonly value: number } {
    const text = this.#must(NUMBER);
    if (!IN_RANGE.test(text) || this.#next === '.') throw new Malformed();
    return { kind: text.includes('.') ? 'decimal' : 'integer', value: Number(text) };
  }

  #display(): string {
    const encoded = this.#must(DISPLAY).replace(/%(..)/g, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
    try {
      return utf8.decode(Buffer.from(encoded, 'latin1'));
    } catch {
      throw new Malformed(); // not UTF-8
    }
  }

  #parameters(): void {
    while (this.#takes(';')) {
      this.#must(SPACES);
      this.#must(KEY);
      if (this.#takes('=')) this.#bareItem();
    }
  }

  /** The next character, or '' at the end. */
  get #next(): string {
    return this.#text.charAt(this.#at);
  }

  #takes(character: string): boolean {
    if (this.#next !== character) return false;
    this.#at++;
    return true;
  }

  /** Returns what the pattern matches here: its group, if it has one. */
  #must(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) throw new Malformed();
    this.#at = pattern.lastIndex;
    return match[1] ?? match[0];
  }
}
