/**
 * Paths: percent-decoding, once and safely. Pure.
 *
 * Attacks on paths have one pattern: two parties decode the same path differently. `%2e%2e%2fadmin` passes a check, and is
 * `../admin` after it. `%252f` becomes `%2f`, and `/` for a program that decodes twice. An overlong `%c0%af` is a slash for lenient
 * decoders only. So a path is decoded only here, once, as strict UTF-8. A `/` separates names, and `%2F` is a character of a name
 * (RFC 3986 section 2.2). Routes and middleware both get the result.
 *
 * A path that is not valid percent-encoded UTF-8 is 400, for every set of routes. `.` and `..` are names like any other for a router: a
 * program that makes a file name of a param must refuse them.
 *
 * Next: route-pattern.ts
 */

import { HttpError } from '../http-error.ts';

/** Stands for a slash that was encoded. No other character becomes NUL: `%00` is refused here, NUL itself by the head parser. */
const ENCODED_SLASH = '\0';

/**
 * Returns the decoded path, which can be cut at each `/`. A name cut from it may contain ENCODED_SLASH: `decodedName` returns its
 * text. No route contains that character, so such a name matches only a param or a wildcard.
 */
export function decodePath(path: string): string {
  if (!path.includes('%')) return path;
  if (path.includes('%00') || path.includes('\0')) throw new HttpError(400, 'The path contains NUL');
  try {
    // Every `%` begins an escape of three characters, so the pattern cannot match across two of them.
    return decodeURIComponent(path.replace(/%2f/gi, ENCODED_SLASH));
  } catch (error) {
    throw new HttpError(400, 'The path is not valid percent-encoded UTF-8', { cause: error });
  }
}

/** Returns the text of a name that was cut from a decoded path. */
export function decodedName(name: string): string {
  return name.includes(ENCODED_SLASH) ? name.replaceAll(ENCODED_SLASH, '/') : name;
}
