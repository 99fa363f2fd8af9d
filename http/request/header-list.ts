/**
 * HeaderList: the fields of a message, in their order. Upper and lower case are equal in names.
 *
 * A parser has accepted the text already, so a HeaderList only cuts it into fields. It does that at the first call of a method, because
 * most handlers never read a field. Fields of one name are one list (RFC 9110 section 5.3): `get` joins them with commas.
 *
 * Next: body-framing.ts
 */

import { trimBlanks } from '../grammar.ts';

const LOWER_CASE = 0x2020;
const IF = 0x6966;
const RA = 0x7261;

/**
 * The fields of a message, in their order. Names match in any case.
 *
 * ```ts
 * import { Router } from 'simplenet/http';
 *
 * new Router().get('/', ({ headers }, response) => {
 *   const agent = headers.get('user-agent') ?? 'unknown'; // several are joined by ', '
 *   response.json({ agent, all: [...headers] });
 * });
 * ```
 */
export class HeaderList implements Iterable<readonly [name: string, value: string]> {
  /** A list without fields. */
  static readonly empty = new HeaderList('', 0);

  readonly #text: string;
  readonly #from: number;
  readonly #host: string | null;
  #fields: (readonly [name: string, value: string])[] | null = null;

  /**
   * `text` holds field lines from `from` on, each ending in CRLF, up to an empty line or its end. `host` replaces the value of Host:
   * the host of an absolute target takes precedence (RFC 9112 section 3.2.2).
   * @internal
   */
  constructor(text: string, from: number, host: string | null = null) {
    this.#text = text;
    this.#from = from;
    this.#host = host;
  }

  /** How many field lines there are. */
  get size(): number {
    return this.#cut().length;
  }

  /** Whether a field of this name is there, in any case. */
  has(name: string): boolean {
    const wanted = name.toLowerCase();
    return this.#cut().some((field) => isNamed(field[0], wanted));
  }

  /** The value, or all values of that name joined by ", "; null if the name is missing. */
  get(name: string): string | null {
    const values = this.getAll(name);
    return values.length === 0 ? null : values.join(', ');
  }

  /** All values of that name, each as it was sent. */
  getAll(name: string): string[] {
    const wanted = name.toLowerCase();
    const values: string[] = [];
    for (const [each, value] of this.#cut()) if (isNamed(each, wanted)) values.push(value);
    return values;
  }

  /**
   * Whether there may be a field that asks for a part or for another version: `If-...` or Range. Most requests have none, and six calls of `get` would cut
   * all lines apart to find that.
   * @internal
   */
  get mayHaveConditions(): boolean {
    const text = this.#text;
    for (let start = this.#from; start < text.length; ) {
      const letters = (text.charCodeAt(start) << 8) | text.charCodeAt(start + 1) | LOWER_CASE;
      if (letters === IF || letters === RA) return true;
      const end = text.indexOf('\r\n', start);
      if (end === start) break;
      start = end + 2;
    }
    return false;
  }

  /** Names as they were sent. */
  [Symbol.iterator](): Iterator<readonly [name: string, value: string]> {
    return this.#cut()[Symbol.iterator]();
  }

  #cut(): (readonly [name: string, value: string])[] {
    if (this.#fields !== null) return this.#fields;
    const fields: (readonly [name: string, value: string])[] = [];
    const text = this.#text;
    for (let start = this.#from; start < text.length; ) {
      const end = text.indexOf('\r\n', start);
      if (end === start) break;
      const colon = text.indexOf(':', start);
      const name = text.slice(start, colon);
      const isHost = this.#host !== null && isNamed(name, 'host');
      fields.push([name, isHost ? (this.#host as string) : trimBlanks(text.slice(colon + 1, end))]);
      start = end + 2;
    }
    this.#fields = fields;
    return fields;
  }
}

function isNamed(name: string, wanted: string): boolean {
  return name.length === wanted.length && name.toLowerCase() === wanted;
}
