/**
 * Cookies of a request, as the field Cookie has them: `name=value; name=value` (RFC 6265bis section 4.2).
 *
 * A server must not trust them more than other input: they say nothing about who has set them or when, and a client can send any. Where a
 * name comes twice, the first one counts, because browsers send the cookie with the longest path first (RFC 6265bis section 5.7.3).
 *
 * The result is a Map and not an object, so that a cookie named `__proto__` is a name like any other.
 *
 * Next: structured-fields.ts
 */

import { trimBlanks } from '../grammar.ts';

/**
 * Values lose the quotes around them, and are percent-decoded if that gives valid UTF-8. A pair without `=` or without a name is left
 * out: of a cookie without a name a browser sends the value alone, and that could look like the cookie `__Host-id` (RFC 6265bis
 * section 8.8).
 */
export function parseCookies(field: string): ReadonlyMap<string, string> {
  const cookies = new Map<string, string>();
  for (const pair of field.split(';')) {
    const equals = pair.indexOf('=');
    const name = trimBlanks(pair.slice(0, Math.max(0, equals)));
    if (name !== '' && !cookies.has(name)) cookies.set(name, decodedValue(trimBlanks(pair.slice(equals + 1))));
  }
  return cookies;
}

function decodedValue(text: string): string {
  const isQuoted = text.length >= 2 && text.startsWith('"') && text.endsWith('"');
  const value = isQuoted ? text.slice(1, -1) : text;
  if (!value.includes('%')) return value;
  try {
    return decodeURIComponent(value);
  } catch {
    return value; // the program that has set it did not encode it
  }
}
