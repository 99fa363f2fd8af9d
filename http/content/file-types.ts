/**
 * File types: the Content-Type of a file, by the end of its name.
 *
 * mrmime has the table: that of the IANA, without types that nobody serves. Text gets a charset, because a browser would guess one otherwise. A name that says
 * nothing becomes application/octet-stream, which a browser does not show: a type that is guessed from the bytes could be HTML of a stranger.
 *
 * Next: attachment.ts
 */

import { mimes } from 'mrmime';

const UNKNOWN = 'application/octet-stream';

/** `name` is the last name of a path. */
export function typeOfFile(name: string): string {
  const dot = name.lastIndexOf('.');
  const extension = name.slice(dot + 1).toLowerCase();
  // `.txt` is the whole name of a hidden file. `x.constructor` must not find what every object has.
  if (dot <= 0 || !Object.hasOwn(mimes, extension)) return UNKNOWN;
  const type = mimes[extension] as string;
  return type.startsWith('text/') ? `${type}; charset=utf-8` : type;
}
