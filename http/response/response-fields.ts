/**
 * Response fields: the header lines of a response, their checks, and what a handler may ask of them.
 *
 * A field is kept as the line that will be sent, beside its name in lower case. Most handlers set fields and never read one, so the value
 * is cut out of its line when somebody asks. The functions here work on a plain array: a response without fields has none.
 *
 * Next: response-head.ts
 */

import { isSameCookie } from '../content/set-cookie.ts';
import { isFieldValue, isToken, tokensOf } from '../grammar.ts';

/** The name in lower case, and the line with its CRLF. */
export type FieldLine = readonly [name: string, line: string];

/**
 * One value of a field, or one line for each of several.
 *
 * ```ts
 * import { type FieldValue, Router } from 'simplenet/http';
 *
 * const links: FieldValue = ['</a.css>; rel=preload; as=style', '</b.js>; rel=preload; as=script'];
 * new Router().get('/', (_request, response) => response.header('Link', links).html('<p>hello</p>'));
 * ```
 */
export type FieldValue = string | number | readonly string[];

/** Length of `: ` in front of a value. */
const SEPARATOR = 2;

/**
 * The texts of a value. Each is made once: what is checked must be what is sent, and an object may return another text the second time. A
 * missing value throws, because the client would get the word `undefined`.
 */
export function textsOf(name: string, value: FieldValue): readonly string[] {
  const values: readonly unknown[] = Array.isArray(value) ? value : [value];
  return values.map((each) => {
    if (each !== undefined && typeof each !== 'object') return String(each);
    throw new TypeError(
      `the value of ${name} must be a string or a number, not ${each === null ? 'null' : typeof each}`,
    );
  });
}

/** Throws if the field cannot be sent. Returns its name in lower case. */
export function checkField(name: string, value: string): string {
  if (!isToken(name)) throw new TypeError(`'${name}' is not a valid header name`);
  if (!isFieldValue(value)) throw new TypeError(`the value of ${name} has a character that a header must not contain`);
  return name.toLowerCase();
}

/** Replaces the field of that name, in its place, or adds it. Set-Cookie is added, because a response may have several. */
export function setField(fields: FieldLine[], lower: string, line: string): void {
  const at = lower === 'set-cookie' ? -1 : fields.findIndex(([name]) => name === lower);
  if (at === -1) {
    fields.push([lower, line]);
    return;
  }
  fields[at] = [lower, line];
  for (let i = fields.length - 1; i > at; i--) if (fields[i]?.[0] === lower) fields.splice(i, 1); // one of several lines
}

export function removeField(fields: FieldLine[], lower: string): void {
  for (let i = fields.length - 1; i >= 0; i--) if (fields[i]?.[0] === lower) fields.splice(i, 1);
}

export function hasField(fields: readonly FieldLine[], lower: string): boolean {
  return fields.some(([name]) => name === lower);
}

function textOf([name, line]: FieldLine): string {
  return line.slice(name.length + SEPARATOR, -2);
}

/** The value, or all values of that name joined by ", " (RFC 9110 section 5.3); null if the field is missing. */
export function fieldOf(fields: readonly FieldLine[], lower: string): string | null {
  const values = fields.filter(([name]) => name === lower).map(textOf);
  return values.length === 0 ? null : values.join(', ');
}

/** Names as they were given. */
export function* entriesOf(fields: readonly FieldLine[]): IterableIterator<[name: string, value: string]> {
  for (const field of fields) yield [field[1].slice(0, field[0].length), textOf(field)];
}

/** Fields that are not lists: a second member would make them invalid. */
const singletons = new Set(['content-type', 'content-range', 'date', 'etag', 'expires', 'last-modified', 'location']);

/** Their members contain commas, and many clients do not read several in one line. */
const ownLines = new Set(['set-cookie', 'www-authenticate', 'proxy-authenticate']);

/** Adds a member to a field that is a list. Vary does not get a name twice, and stays `*`. */
export function appendField(fields: FieldLine[], name: string, lower: string, value: string): void {
  if (singletons.has(lower)) throw new TypeError(`${name} is not a list: use header()`);
  // The last line, because the order of the members counts (RFC 9110 section 5.3).
  const at = ownLines.has(lower) ? -1 : fields.findLastIndex(([each]) => each === lower);
  const old = fields[at];
  if (old === undefined) {
    fields.push([lower, `${name}: ${value}\r\n`]);
    return;
  }
  let more = value;
  if (lower === 'vary') {
    const known = tokensOf(fieldOf(fields, lower) as string);
    if (known.includes('*')) return;
    more = value
      .split(',')
      .filter((member) => !known.includes(member.trim().toLowerCase()))
      .join(',')
      .trim();
  }
  if (more === '') return;
  const before = old[1].slice(0, -2);
  fields[at] = [lower, textOf(old) === '' ? `${before}${more}\r\n` : `${before}, ${more}\r\n`];
}

/** Adds a cookie, and removes an earlier one of the same name, domain and path. */
export function setCookieField(fields: FieldLine[], value: string): void {
  for (let i = fields.length - 1; i >= 0; i--) {
    const field = fields[i] as FieldLine;
    if (field[0] === 'set-cookie' && isSameCookie(textOf(field), value)) fields.splice(i, 1);
  }
  fields.push(['set-cookie', `Set-Cookie: ${value}\r\n`]);
}

/**
 * Fields that describe the body which an error response replaces, and those of a 101. Content-Security-Policy describes no body: a site
 * that sets it for all pages needs it on its error pages too.
 */
const OF_CONTENT = /^(?:content-(?!security-policy)|sec-websocket-)|^(?:etag|last-modified|cache-control|expires)$/;

/** What stays for an error response: what middleware has set, such as CORS, a request id or a cookie. */
export function withoutContent(fields: readonly FieldLine[] | null): FieldLine[] | null {
  const kept = fields?.filter(([name]) => !OF_CONTENT.test(name)) ?? [];
  return kept.length === 0 ? null : kept;
}
