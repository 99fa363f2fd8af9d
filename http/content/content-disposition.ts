/**
 * Content-Disposition of a form part: `form-data; name="field"; filename="photo.png"` (RFC 7578 section 4.2).
 *
 * Clients write names in three ways. Browsers write UTF-8, with `%22` for a quote and `%0D%0A` for a line end (the WHATWG form standard).
 * Older clients put a backslash before a quote. `filename*` has an encoding of its own (RFC 8187); RFC 7578 forbids it, but clients send it.
 * A browser leaves a backslash at the end of a name as it is. Then the quote behind it may or may not end the name, and the part is refused.
 *
 * A file name is a suggestion of the client (RFC 2183 section 2.3). Folders are cut off, because `../../etc/passwd` would leave the
 * folder of a program that joins paths. A control character in it is refused.
 *
 * Next: multipart.ts
 */

import { HttpError } from '../http-error.ts';
import { parseParameters } from './content-types.ts';

export interface Disposition {
  readonly name: string;
  /** The last name of the path, '' if the client has chosen no file; null for a field that is not a file. */
  readonly filename: string | null;
}

/** Throws a 400 whose message ends in `place`. */
export function parseDisposition(text: string, place: string): Disposition {
  const refuse = (what: string) => new HttpError(400, `${what} in Content-Disposition ${place}`);
  const semicolon = text.indexOf(';');
  const kind = (semicolon === -1 ? text : text.slice(0, semicolon)).trim().toLowerCase();
  if (kind !== 'form-data') throw refuse('a type other than form-data');
  const parameters = parseParameters(semicolon === -1 ? '' : text.slice(semicolon), unquote);
  if (parameters === null) throw refuse('parameters that are malformed, or come twice,');
  const name = parameters.get('name');
  if (name === undefined) throw refuse('no name');
  const extended = parameters.get('filename*');
  const path = extended === undefined ? parameters.get('filename') : decodeExtended(extended);
  if (path === null) throw refuse('a malformed filename*');
  if (path === undefined) return { name: unescapeName(name), filename: null };
  const filename = lastNameOf(unescapeName(path));
  if (hasControls(filename)) throw refuse('a control character in the file name');
  return { name: unescapeName(name), filename };
}

/** Only `\"` is an escape. Browsers send other backslashes as they are, and older ones send the folders of Windows. */
function unquote(inner: string): string {
  return inner.replaceAll('\\"', '"');
}

/** A browser writes a literal `%22` in the same way as a quote, so nobody can tell them apart. */
function unescapeName(name: string): string {
  return name.replace(/%22|%0D|%0A/gi, decodeURIComponent);
}

/** RFC 8187 section 3.2.1: `UTF-8'language'percent-encoded`. Returns null for anything else. */
function decodeExtended(value: string): string | null {
  const encoded = /^utf-8'[^']*'([^']*)$/i.exec(value)?.[1];
  if (encoded === undefined) return null;
  try {
    return decodeURIComponent(encoded);
  } catch {
    return null;
  }
}

function lastNameOf(path: string): string {
  const name = path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1);
  return name === '.' || name === '..' ? '' : name;
}

function hasControls(text: string): boolean {
  return /[\u0000-\u001f\u007f]/.test(text);
}
