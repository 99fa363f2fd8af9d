/**
 * The line of the default log about an error: the request, and the place in the program.
 *
 *     POST /users/7 failed at file:///srv/app/users.ts:12:5
 *
 * The path is the client's, so only printable ASCII of it is written, and not all of a long one: a terminal obeys control characters, and a line
 * break would let a client write lines of its own.
 *
 * Next: exchange-connection.ts
 */

import { fileURLToPath } from 'node:url';
import type { HttpRequest } from '../request/http-request.ts';

const MAX_PATH_LENGTH = 200;

/** The folder of this library. Errors that it throws are about the call that led to them. */
const OWN_FOLDER = fileURLToPath(new URL('../', import.meta.url));

export function errorLine(error: unknown, request: HttpRequest): string {
  const place = placeOf(error);
  return `${request.method} ${printable(request.path)} failed${place === null ? '' : ` at ${place}`}`;
}

function printable(path: string): string {
  const escaped = path.replace(/[^\x21-\x7e]/g, (character) => encodeURIComponent(character));
  return escaped.length > MAX_PATH_LENGTH ? `${escaped.slice(0, MAX_PATH_LENGTH)}...` : escaped;
}

/** The innermost place in the program's own code, or null. */
function placeOf(error: unknown): string | null {
  if (!(error instanceof Error) || typeof error.stack !== 'string') return null;
  for (const line of error.stack.split('\n')) {
    const place = /^\s+at (?:.*\()?([^()]+:\d+:\d+)\)?$/.exec(line)?.[1];
    if (place === undefined || place.startsWith('node:') || place.includes(OWN_FOLDER)) continue;
    return place.replace(/^async /, '');
  }
  return null;
}
