/**
 * The fields of a form that comes as application/x-www-form-urlencoded.
 *
 * URLSearchParams makes two strings and a list entry for each field, and `get` walks the list. A megabyte of `&a` has half a million
 * fields, and a handler that reads ten names of it blocks the thread for long. Counting the separators first costs very little.
 *
 * URLSearchParams accepts every text. It keeps a `%` that begins no escape, and replaces what is not UTF-8 by U+FFFD. Another program may
 * read another value, so both are refused here, as in a path (router/path.ts).
 *
 * Next: content-types.ts
 */

import { HttpError } from '../http-error.ts';

export function hasMoreFieldsThan(text: string, count: number): boolean {
  let separators = 0;
  for (let at = text.indexOf('&'); at !== -1; at = text.indexOf('&', at + 1)) {
    if (++separators >= count) return true;
  }
  return false;
}

/** Parses the text. Throws 413 for more than `maxFields` fields, and a 400 that names the place for a wrong escape. */
export function parseForm(text: string, maxFields: number): URLSearchParams {
  if (hasMoreFieldsThan(text, maxFields)) throw new HttpError(413, `a form of more than ${maxFields} fields`);
  if (text.includes('%')) checkEscapes(text);
  return new URLSearchParams(text);
}

function checkEscapes(text: string): void {
  const wrong = text.search(/%(?![0-9a-f]{2})/i);
  if (wrong !== -1) throw new HttpError(400, `the form has a % that begins no escape, at ${placeOf(text, wrong)}`);
  try {
    decodeURIComponent(text);
  } catch (cause) {
    throw new HttpError(400, `the form is not valid UTF-8, at ${placeOf(text, faultOf(text))}`, { cause });
  }
}

/** Returns where the first run of escapes begins that is not UTF-8. */
function faultOf(text: string): number {
  for (const { 0: run, index } of text.matchAll(/(?:%[0-9a-f]{2})+/gi)) {
    try {
      decodeURIComponent(run);
    } catch {
      return index;
    }
  }
  /* c8 ignore start -- never reached: the text has such a run. */
  return text.length;
}
/* c8 ignore stop */

function placeOf(text: string, at: number): string {
  return `byte ${Buffer.byteLength(text.slice(0, at))}`;
}
