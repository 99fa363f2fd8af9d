/**
 * Paths: percent-decoding, once and safely. Pure.
 *
 * The attack has one pattern: two parties decode the same path differently. `%2e%2e%2fadmin` passes a check and means
 * `../admin` behind it; `%252f` becomes `%2f` becomes `/` for those who decode twice; an overlong `%c0%af` is a slash to
 * lenient decoders only. So a path is decoded in one place, one time, as strict UTF-8, after the segments are known: `/` cuts
 * a path, `%2F` is a character of a name (RFC 3986 section 2.2). Routes and middleware both look at the result.
 *
 * It refuses to guess: what is no valid encoding is answered with 400, whatever the routes are. It leaves `.` and `..`
 * alone, which are names like any other for a router. Whoever makes a file name of a param must refuse them.
 *
 * Next: route-pattern.ts
 */

import { HttpError } from '../http-error.ts';

/** Stands for a slash that was encoded. Nothing else is NUL: `%00` is refused here, NUL itself by the head parser. */
const ENCODED_SLASH = '\0';

/**
 * The decoded path, which may be cut at each `/`. A name cut from it may hold ENCODED_SLASH: `decodedName` gives its
 * text. No route contains that character as text, so such a name matches only a param or a wildcard.
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

/** The text of a name cut from a decoded path. */
export function decodedName(name: string): string {
  return name.includes(ENCODED_SLASH) ? name.replaceAll(ENCODED_SLASH, '/') : name;
}
