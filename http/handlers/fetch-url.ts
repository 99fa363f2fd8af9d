/**
 * The absolute URL of a request, in the form that `new URL(url).href` has: a Fetch app compares and cuts it as text.
 *
 * Nearly all targets are in that form already, so two patterns are tested and no URL object is made. The host that was valid last is
 * kept in its final form. A host or a target that is not valid in a URL is 400: the rules of HTTP allow some that the URL standard refuses,
 * such as `1.2.3.4.5`, and an app that calls `new URL(request.url)` would fail.
 *
 * Next: fetch-headers.ts
 */

import type { HttpRequest } from '../handler.ts';
import { HttpError } from '../http-error.ts';

/** Characters that the URL standard leaves as they are in a path and in a query. */
const PLAIN_TARGET = /^\/[\w\-.~!$&'()*+,;=:@%/]*(?:\?[\w\-.~!$&()*+,;=:@%/?]*)?$/;

/** A segment that may be a dot segment, which the URL standard resolves: `.`, `..`, and with `%2e` for a dot. */
const MAY_BE_DOT_SEGMENT = /\/(?:\.|%2e)/i;

/** HTTP/1.0 has no Host. */
const DEFAULT_HOST = 'localhost';

/** The cache. It nearly always hits, because most requests to a server name the same host. */
let lastAuthority: string | null = null;
let lastOrigin = '';

/** Throws HttpError for a host or a target that cannot be in a URL. */
export function fetchUrlOf(request: HttpRequest): string {
  const { authority, target } = request;
  if (authority !== lastAuthority) {
    lastOrigin = parsed(`http://${authority === '' ? DEFAULT_HOST : authority}`, 'Host').origin;
    lastAuthority = authority;
  }
  if (PLAIN_TARGET.test(target) && !MAY_BE_DOT_SEGMENT.test(target)) return lastOrigin + target;
  if (target.charCodeAt(0) === SLASH) return parsed(lastOrigin + target, 'the target').href;
  // The asterisk of OPTIONS has no URL of its own.
  return target === '*' ? `${lastOrigin}/*` : parsed(target, 'the target').href;
}

const SLASH = 0x2f;

function parsed(url: string, what: string): URL {
  try {
    return new URL(url);
  } catch (cause) {
    throw new HttpError(400, `${what} is not valid in a URL`, { cause });
  }
}
